"""Many pictures through a pipeline, beside a loop that is written by hand; and the memory that they take.

    python benchmarks/many_inputs.py [--pictures 1000] [--workers 2] [--repeats 3] [resnet18 …]
    python benchmarks/many_inputs.py --memory [--pictures 5000]

The loop is what a careful user writes: a Dataset that opens and prepares a picture, a DataLoader with worker processes,
the model in inference mode, its outputs read; with zoo's model and, where it imports, torchvision's. Both get the same
files (JPEG, 1280×960), batch and number of workers, and models with random numbers in them, since speed is all that
counts. They run in turns, so that the machine's drift cancels; shown are the median of pictures a second by the wall
clock, of the CPU time a picture in all processes, and of how busy the cores were.

With --memory: the peak of a process that keeps all results, of 50 pictures and of many.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import zoo
from zoo.running.ahead import cores

BATCH = 8
SIZE = (1280, 960)
ORIGINALS = 100  # different ones; the others are links to them
MODELS = ("resnet18", "ssdlite320_mobilenet_v3_large")


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
    """Pictures a second, CPU milliseconds a picture, share of the cores that was busy."""
    before, start = os.times(), time.perf_counter()
    count = run()
    seconds, after = time.perf_counter() - start, os.times()
    used = sum(after[:4]) - sum(before[:4])
    return count / seconds, 1000 * used / count, used / seconds / cores()


def speed(names: list[str], files: list[Path], workers: int, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        bare = {"weights_backbone": None} if zoo.model_info(name).task == "object-detection" else {}
        detector = bool(bare)
        weights = zoo.get_model_weights(name).DEFAULT
        torch.manual_seed(0)
        model = zoo.get_model(name, weights=None, **bare).eval()
        prepare = weights.transforms()
        pipe = zoo.pipeline(model, weights, "cpu", workers=workers)
        ways = {
            "zoo.pipeline": lambda pipe=pipe: sum(1 for _ in pipe.stream(files, batch_size=BATCH, progress=False)),
            "loop, zoo's model": lambda model=model, prepare=prepare, detector=detector: by_hand(
                model, prepare, files, workers, detector
            ),
        }
        try:
            import torchvision

            theirs = torchvision.models.get_model(name, weights=None, **bare).eval()
            theirs.load_state_dict(model.state_dict())
            there = torchvision.models.get_model_weights(name).DEFAULT.transforms()
            ways["loop, torchvision's model"] = lambda theirs=theirs, there=there, detector=detector: by_hand(
                theirs, there, files, workers, detector
            )
        except (ImportError, RuntimeError) as e:
            print(f"torchvision is not measured: {e}", file=sys.stderr)
        runs: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
        pipe(files[:40], batch_size=BATCH, progress=False)  # is optimised
        for _ in range(repeats):
            for way, run in ways.items():
                runs[way].append(measured(run))
        for way, found in runs.items():
            per_second, cpu, busy = (statistics.median(column) for column in zip(*found, strict=True))
            rows.append({"model": name, "way": way, "per_second": per_second, "cpu_ms": cpu, "busy": busy})
            print(f"{name:32}{way:28}{per_second:8.1f}/s{cpu:8.1f} ms CPU{busy:7.0%} busy", flush=True)
    return rows


PEAK = """
import resource, sys, zoo
from pathlib import Path
files = sorted(Path(sys.argv[1]).glob("*.jpg"))[:int(sys.argv[2])]
weights = zoo.get_model_weights("resnet18").DEFAULT
pipe = zoo.pipeline(zoo.get_model("resnet18", weights=None), weights, "cpu", workers=int(sys.argv[3]))
results = pipe(files, progress=False)
print(len(results), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def memory(folder: Path, counts: tuple[int, int], workers: int) -> dict[str, float]:
    peaks = {}
    for count in counts:
        command = [sys.executable, "-c", PEAK, str(folder), str(count), str(workers)]
        found, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        peaks[found] = float(peak)
        print(f"resnet18, {found:>6} pictures: peak {float(peak):8.1f} MB", flush=True)
    return peaks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = options.pictures or (5000 if options.memory else 1000)
    print(f"torch {torch.__version__}, {platform.machine()}, {cores()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        files = pictures(Path(folder), count)
        found: Any
        if options.memory:
            found = memory(Path(folder), (50, count), options.workers)
        else:
            found = speed(options.models, files, options.workers, options.repeats)
    print(f"peak of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "pictures": count, "found": found}, indent=2))


if __name__ == "__main__":
    main()
