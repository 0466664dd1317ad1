"""``zoo batch`` on a local cluster of Ray, beside the same chunks in one process.

    python benchmarks/cluster.py [--pictures 1000 10000 20000] [--actors 2] [--chunk 256]

Pictures are links to examples/images/digits, of 8 × 8 pixels, so that little hides what a cluster costs;
the model is squeezenet1_1 with DIGITS_V1. For each number of them: seconds from the started cluster to the last row,
the peak memory of the driver, and the CPU time of the driver, of Ray's processes and of the workers together. The CPU
time of one picture more, which leaves out the start of the cluster and the building of models, stands beside that of
one process that does the same chunks (predicts and writes Parquet) with its model resident. CPU time is compared
since it is the same on a busy machine; both have a thread a process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

DIGITS = Path(__file__).parents[1] / "examples/images/digits"
ARGUMENTS = {"model": "squeezenet1_1", "weights": "DIGITS_V1", "device": "cpu", "workers": 0}


def make(folder: Path, count: int) -> list[str]:
    folder.mkdir()
    files = [folder / f"{i:06}.png" for i in range(count)]
    for i, file in enumerate(files):
        file.symlink_to(DIGITS / f"digit_{i % 10}.png")
    return [str(file) for file in files]


def drive(folder: Path, count: int, actors: int, chunk: int) -> dict[str, float]:
    """In a process of its own: a cluster, and what it took."""
    from zoo_serving.rays import batch

    spent: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:  # processes of the cluster, whose time is lost when they end
        while not done.wait(0.25):
            for process in psutil.Process().children(recursive=True):
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                spent[process.pid] = times.user + times.system

    watching = threading.Thread(target=watch)
    watching.start()
    found = batch(make(folder / "in", count), folder / "out", {}, ARGUMENTS, actors=actors, chunk=chunk)
    done.set()
    watching.join()
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return {"seconds": found.seconds, "peak": peak, "cpu": time.process_time() + sum(spent.values())}


def alone(folder: Path, count: int, chunk: int) -> tuple[float, float]:
    """CPU and wall seconds of a picture in one process, the model resident."""
    from zoo_serving import rays

    offsets, _ = rays._plan(make(folder / "in", count), folder / "out", {"chunk": chunk}, False)
    worker = rays.Worker(str(folder / "out"), ARGUMENTS)
    chunks = [{"chunk": [i], "offset": [at], "count": [min(chunk, count - i * chunk)]} for i, at in enumerate(offsets)]
    worker(chunks[0])
    cpu, wall = time.process_time(), time.perf_counter()
    for one in chunks[1:]:
        worker(one)
    rest = count - chunk
    return (time.process_time() - cpu) / rest, (time.perf_counter() - wall) / rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 10_000, 20_000])
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        print(json.dumps(drive(given.drive, given.pictures[0], given.actors, given.chunk)))
        return
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    found: dict[int, Any] = {}
    print(f"{'pictures':>10}{'seconds':>10}{'driver, MB':>12}{'CPU, s':>10}")
    for count in given.pictures:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--drive", folder, "--pictures", str(count)]
            command += ["--actors", str(given.actors), "--chunk", str(given.chunk)]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[count] = json.loads(run.stdout.splitlines()[-1])
        one = found[count]
        print(f"{count:>10}{one['seconds']:>10.1f}{one['peak']:>12.0f}{one['cpu']:>10.1f}", flush=True)
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = alone(Path(folder), max(given.chunk * 4, min(given.pictures[-1] // 4, 5000)), given.chunk)
    few, many = given.pictures[0], given.pictures[-1]
    print(f"one process: {1000 * cpu:.2f} ms of CPU a picture, {1000 * wall:.2f} ms by the clock")
    if many > few:
        more = (found[many]["cpu"] - found[few]["cpu"]) / (many - few)
        print(f"the cluster: {1000 * more:.2f} ms of CPU for a picture more, {100 * (more / cpu - 1):+.0f} %")


if __name__ == "__main__":
    main()
