"""``zoo batch`` on a local Ray cluster, compared with the same chunks in one process.

    python benchmarks/cluster.py [--pictures 1000 10000 20000] [--actors 2] [--chunk 256]

The pictures are links to examples/images/digits, of 8 × 8 pixels, so that the cost of the cluster dominates; the model
is squeezenet1_1 with DIGITS_V1. For each number of pictures: seconds from the started cluster to the last row, peak
memory of the driver, and total CPU time of the driver, Ray's processes and the workers. The CPU time of one additional
picture, which excludes the start of the cluster and building models, is compared with one process that computes the
same chunks (predicts and writes Parquet) with a loaded model. CPU time is compared since it is the same on a busy
machine; both use one thread per process.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import harness
import psutil
from harness import Report, alone

DIGITS = Path(__file__).parents[1] / "examples/images/digits"
ARGUMENTS = {"model": "squeezenet1_1", "weights": "DIGITS_V1", "device": "cpu", "workers": 0}


def make(folder: Path, count: int) -> list[str]:
    folder.mkdir()
    files = [folder / f"{i:06}.png" for i in range(count)]
    for i, file in enumerate(files):
        file.symlink_to(DIGITS / f"digit_{i % 10}.png")
    return [str(file) for file in files]


def drive(folder: str, count: int, actors: int, chunk: int) -> dict[str, float]:
    """Run the cluster and measure it; called in a separate process."""
    from zoo_serving.rays import batch

    spent: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:  # record the time of the cluster's processes before they end
        while not done.wait(0.25):
            for process in psutil.Process().children(recursive=True):
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                spent[process.pid] = times.user + times.system

    watching = threading.Thread(target=watch)
    watching.start()
    place = Path(folder)
    found = batch(make(place / "in", count), place / "out", {}, ARGUMENTS, actors=actors, chunk=chunk)
    done.set()
    watching.join()
    return {
        "seconds": found.seconds,
        "peak": harness.resident("VmHWM"),
        "cpu": time.process_time() + sum(spent.values()),
    }


def one_process(folder: str, count: int, chunk: int) -> tuple[float, float]:
    """CPU and wall seconds per picture in one process with a loaded model."""
    import torch

    from zoo_serving import rays

    torch.set_num_threads(1)
    place = Path(folder)
    offsets, _ = rays._plan(make(place / "in", count), place / "out", {"chunk": chunk}, False)
    worker = rays.Worker(str(place / "out"), ARGUMENTS)
    chunks = [{"chunk": [i], "offset": [at], "count": [min(chunk, count - i * chunk)]} for i, at in enumerate(offsets)]
    worker(chunks[0])
    cpu, wall = time.process_time(), time.perf_counter()
    for one in chunks[1:]:
        worker(one)
    rest = count - chunk
    return (time.process_time() - cpu) / rest, (time.perf_counter() - wall) / rest


def main() -> int:
    parser = harness.options(__doc__)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 10_000, 20_000])
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=256)
    given = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    report = Report(given, actors=given.actors, chunk=given.chunk)
    table = report.table("driver", cold=True, pictures="pictures", seconds="seconds|.1f", peak="driver's peak, MB|.0f")
    cpu = {}
    for count in given.pictures:
        with tempfile.TemporaryDirectory() as folder:
            found = alone(drive, folder, count, given.actors, given.chunk)
        cpu[count] = found["cpu"]
        table.row(pictures=count, seconds=found["seconds"], peak=found["peak"])
    few, many = given.pictures[0], given.pictures[-1]
    with tempfile.TemporaryDirectory() as folder:
        single, _ = alone(one_process, folder, max(given.chunk * 4, min(many // 4, 5000)), given.chunk)
    if many > few:
        more = (cpu[many] - cpu[few]) / (many - few)
        table = report.table("picture", cold=True, way="way", cpu="ms of the processor, a picture more|.2f")
        table.row(way="one process, the model resident", cpu=1000 * single)
        table.row(way="the cluster, its own processes included", cpu=1000 * more)
        report.target("a picture more on the cluster: processor time over one process's", more / single, most=1.15)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
