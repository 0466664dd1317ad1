"""Many pictures through a pipeline, compared with a hand-written loop; and the memory.

    python benchmarks/many_inputs.py [--pictures 1000] [--workers 2] [resnet18 …]
    python benchmarks/many_inputs.py --memory [--pictures 5000]

The loop is typical user code: a Dataset that opens and prepares a picture, a DataLoader with worker processes, the
model in inference mode, and reading its outputs; with zoo's model and, if it can be imported, torchvision's. All have
the same files (JPEG, 1280×960), batch size and number of workers, and models with random weights, since only speed
matters. They run alternately, so that changes of the machine cancel; reported are medians of pictures per second by the
wall clock, of CPU time per picture in all processes, and of the utilization of the cores.

With --memory: peak memory of a process that keeps all results, for 50 pictures and for many; also 2,500 and 5,000.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from harness import Report, alone, resident
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import zoo
from zoo.running.ahead import cores

BATCH = 8
SIZE = (1280, 960)
ORIGINALS = 100  # different files; the others are links to them
MODELS = ("resnet18", "ssdlite320_mobilenet_v3_large")
FEW, KEPT = 50, 50  # pictures, and allowed additional MB for more pictures
GOAL, BUSY = 1.0, 0.9  # speed relative to the loop; utilization of the cores


def pictures(folder: Path, count: int) -> list[Path]:
    """JPEG files with the detail of photographs: smooth shapes and some noise."""
    random = np.random.default_rng(0)
    files = [folder / f"{i:05}.jpg" for i in range(count)]
    for i, file in enumerate(files):
        if i >= ORIGINALS:
            os.link(files[i % ORIGINALS], file)
            continue
        smooth = Image.fromarray(random.integers(0, 256, (60, 80, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        noise = random.normal(0, 8, (SIZE[1], SIZE[0], 1))
        Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)).save(file, quality=88)
    return files


class Pictures(Dataset[Any]):
    def __init__(self, files: list[Path], prepare: Callable[[Any], Any]) -> None:
        self.files, self.prepare = files, prepare

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Any:
        with Image.open(self.files[i]) as image:
            return self.prepare(image.convert("RGB"))


def as_list(batch: list[Any]) -> list[Any]:
    return batch


def by_hand(model: torch.nn.Module, prepare: Any, files: list[Path], workers: int, detector: bool) -> int:
    loader = DataLoader(
        Pictures(files, prepare), batch_size=BATCH, num_workers=workers, collate_fn=as_list if detector else None
    )
    found = []
    with torch.inference_mode():
        for batch in loader:
            outputs = model(batch)
            if detector:
                found += [{k: v[one["scores"] > 0.5].tolist() for k, v in one.items()} for one in outputs]
            else:
                found += outputs.softmax(-1).topk(5).indices.tolist()
    return len(found)


def measured(run: Callable[[], int]) -> tuple[float, float, float]:
    """Pictures per second, processor milliseconds per picture, utilization of the cores."""
    before, start = os.times(), time.perf_counter()
    count = run()
    seconds, after = time.perf_counter() - start, os.times()
    used = sum(after[:4]) - sum(before[:4])  # including ended processes
    return count / seconds, 1000 * used / count, used / seconds / cores()


def ways_of(name: str, files: list[Path], workers: int) -> dict[str, Callable[[], int]]:
    """The pipeline and the loops of a model, each for all pictures."""
    bare = {"weights_backbone": None} if zoo.model_info(name).task == "object-detection" else {}
    weights = zoo.get_model_weights(name).DEFAULT
    torch.manual_seed(0)
    model = zoo.get_model(name, weights=None, **bare).eval()
    pipe = zoo.pipeline(model, weights, "cpu", workers=workers)
    pipe(files[:40], batch_size=BATCH, progress=False)  # runs the optimization

    def loop(model: torch.nn.Module, prepare: Any) -> Callable[[], int]:
        return lambda: by_hand(model, prepare, files, workers, bool(bare))

    ways = {
        "zoo.pipeline": lambda: sum(1 for _ in pipe.stream(files, batch_size=BATCH, progress=False)),
        "loop, zoo's model": loop(model, weights.transforms()),
    }
    if (found := harness.torchvision()) is not None:
        theirs = found.models.get_model(name, weights=None, **bare).eval()
        theirs.load_state_dict(model.state_dict())
        ways["loop, torchvision's model"] = loop(theirs, found.models.get_model_weights(name).DEFAULT.transforms())
    return ways


def speed(names: list[str], files: list[Path], workers: int, repeats: int, report: Report) -> None:
    table = report.table(
        "speed", way="pictures of 1280×960", per_second="a second|.1f", cpu="ms of the processor, each|.1f",
        busy="cores busy|.0%",
    )  # fmt: skip
    for name in names:
        ways = ways_of(name, files, workers)
        turns = [{way: measured(run) for way, run in ways.items()} for _ in range(repeats)]
        for way in ways:
            per_second, cpu, busy = (statistics.median(column) for column in zip(*(t[way] for t in turns), strict=True))
            table.row(way=f"{name}, {way}", per_second=per_second, cpu=cpu, busy=busy)
        first, *loops = ways
        for way in loops:
            ratio = statistics.median(t[first][0] / t[way][0] for t in turns)
            report.target(f"{name}: times as fast as the {way}", ratio, least=GOAL)
        busy = statistics.median(t[first][2] for t in turns)
        report.target(f"{name}: share of the cores that is busy", busy, least=BUSY)


def kept(folder: str, count: int, workers: int) -> float:
    """Peak memory in MB of a process that keeps the results of ``count`` pictures."""
    weights = zoo.get_model_weights("resnet18").DEFAULT
    pipe = zoo.pipeline(zoo.get_model("resnet18", weights=None), weights, "cpu", workers=workers)
    results = pipe(sorted(Path(folder).glob("*.jpg"))[:count], progress=False)
    if len(results) != count:
        raise RuntimeError(f"{len(results)} results for {count} pictures")
    return resident("VmHWM")


def memory(folder: str, count: int, workers: int, report: Report) -> None:
    table = report.table("memory", cold=True, pictures="pictures|,d", mb="peak, MB|.0f")
    peaks = {}
    for n in (FEW, *(n for n in (250, 1000, 2500) if n < count), count):
        peaks[n] = alone(kept, folder, n, workers)
        table.row(pictures=n, mb=peaks[n])
    report.target(f"MB of {count:,} pictures above those of {FEW}", peaks[count] - peaks[FEW], most=KEPT)


def main() -> int:
    parser = harness.options(__doc__, MODELS)
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    count = given.pictures or (5000 if given.memory else 1000)
    report = Report(given, workers=given.workers, batch=BATCH)
    with tempfile.TemporaryDirectory() as folder:
        files = pictures(Path(folder), count)
        if given.memory:
            memory(folder, count, given.workers, report)
        else:
            speed(given.models, files, given.workers, given.repeats, report)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
