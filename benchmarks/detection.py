"""How fast detectors are, in training and inference, and how much memory they take; beside torchvision's, where it is.

    python benchmarks/detection.py [model …] [--optimize] [--memory] [--size 800 1066] [--device cuda] [--threads N]

Seconds per image of a training step (forward, losses, backward; a batch of 2, of 4 for SSD, of 8 for SSDlite) and of
inference (one picture, from the picture to boxes, masks and keypoints in its pixels). The weights are random and the
same in both; thresholds are set where a hundred objects are found, so that nothing after the network is left out.
Libraries take turns in one process, and a ratio is the median of those within a turn. ``--optimize`` adds inference
with zoo.optimize. ``--memory`` measures the peak of a training step and of inference in place of time, each in a
process of its own: on the CPU what is resident above what the model itself takes, on CUDA what is allocated.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zoo

try:
    import torchvision
except ImportError:
    torchvision = None

MODELS = (
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn", "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large", "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn",
)  # fmt: skip
BATCH = {"ssd300_vgg16": 4, "ssdlite320_mobilenet_v3_large": 8}  # of a training step; the others 2
OBJECTS = 8  # on a picture to train on
FOUND = 100  # on a picture to predict
RANDOM = {"weights": None, "weights_backbone": None}
LIBRARIES = ("zoo", "torchvision") if torchvision else ("zoo",)

Call = Callable[[], Any]


def build(library: str, name: str, size: Sequence[int], device: str) -> nn.Module:
    torch.manual_seed(0)
    get = zoo.get_model if library == "zoo" else torchvision.models.get_model
    fixed = "ssd" in name or "320" in name  # these have a size of their own; the others see pictures as they are
    sizes = {} if fixed else {"min_size": min(size), "max_size": max(size)}
    model: nn.Module = get(name, **RANDOM, **sizes)
    return model.to(device)


def picture(size: Sequence[int], seed: int, device: str) -> Tensor:
    """Clouds and grain, [3, H, W] in 0 to 1: with something in it at every scale."""
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.rand(1, 3, size[0] // n, size[1] // n, generator=generator) for n in (2, 8, 32, 96)]
    layers = [nn.functional.interpolate(x, size=tuple(size), mode="bicubic") for x in layers]
    return torch.stack(layers).mean(0)[0].clamp(0, 1).to(device)


def truth(model: str, size: Sequence[int], seed: int, device: str) -> dict[str, Tensor]:
    """What there is on a picture, from small to large: boxes, labels, and masks or keypoints where they are learned."""
    generator = torch.Generator().manual_seed(seed)
    limits = torch.tensor([size[1], size[0]])
    sides = limits * torch.logspace(-1.3, -0.3, OBJECTS)[:, None]
    corners = (limits - sides) * torch.rand(OBJECTS, 2, generator=generator)
    boxes = torch.cat([corners, corners + sides], dim=1)
    labels = torch.ones(OBJECTS, dtype=torch.int64)
    target = {"boxes": boxes, "labels": labels}
    if model.startswith("mask"):
        y, x = torch.arange(size[0])[:, None], torch.arange(size[1])
        left, top, right, bottom = boxes[:, :, None, None].unbind(1)
        target["masks"] = ((x >= left) & (x < right) & (y >= top) & (y < bottom)).to(torch.uint8)
    if model.startswith("keypoint"):
        places = corners[:, None] + sides[:, None] * torch.rand(OBJECTS, 17, 2, generator=generator)
        target["keypoints"] = torch.cat([places, torch.ones(OBJECTS, 17, 1)], dim=2)
    return {key: value.to(device) for key, value in target.items()}


@torch.inference_mode()
def spread(models: Sequence[nn.Module], name: str, image: Tensor) -> int:
    """Set the thresholds of all models where the first one finds about a hundred objects; how many it finds."""
    holders: list[Any] = [getattr(m, "roi_heads", m) for m in models]
    for holder in holders:
        holder.score_thresh = 0.0
    scores = models[0].eval()([image])[0]["scores"]
    for holder in holders:
        holder.score_thresh = float(scores[-1])
    return len(models[0]([image])[0]["scores"])


def training(model: nn.Module, name: str, size: Sequence[int], device: str) -> tuple[Call, int]:
    """A step to call, without the optimiser's, which is PyTorch's; and of how many images it is."""
    n = BATCH.get(name, 2)
    images = [picture(size, seed, device) for seed in range(n)]
    targets = [truth(name, size, seed, device) for seed in range(n)]

    def step() -> None:
        torch.manual_seed(0)  # the same anchors are drawn
        model.train()
        model.zero_grad()
        sum(model(images, targets).values()).backward()

    return step, n


def inference(model: nn.Module, size: Sequence[int], device: str) -> Call:
    images = [picture(size, 0, device)]

    def predict() -> Any:
        with torch.inference_mode():
            return model.eval()(images)

    return predict


def seconds_of(call: Call, device: str) -> float:
    wait: Call = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - start


def in_turn(calls: Sequence[Call], device: str, budget: float) -> tuple[list[float], list[float]]:
    """Median seconds of each call, and of the first over each: medians over turns that fill ``budget`` seconds."""
    for call in calls:
        call()
    turns: list[list[float]] = []
    end = time.perf_counter() + budget
    while len(turns) < 3 or (time.perf_counter() < end and len(turns) < 50):
        order = range(len(calls)) if len(turns) % 2 else reversed(range(len(calls)))
        taken = {i: seconds_of(calls[i], device) for i in order}
        turns.append([taken[i] for i in range(len(calls))])
    columns = list(zip(*turns, strict=True))
    ratios = [statistics.median(t[i] / t[0] for t in turns) for i in range(len(calls))]
    return [statistics.median(column) for column in columns], ratios


def speed(names: Sequence[str], size: Sequence[int], device: str, optimized: bool, budget: float) -> None:
    heads = ["train time (s / image)", "test time (s / image)"]
    if torchvision:
        heads += ["times torchvision's: train", "test"]
    if optimized:
        heads += ["test time, optimized", "times torchvision's" if torchvision else "times faster"]
    print(f"| Network | {' | '.join(heads)} | objects |\n| --- |{' ---: |' * (len(heads) + 1)}")
    for name in names:
        models = [build(library, name, size, device) for library in LIBRARIES]
        for other in models[1:]:
            other.load_state_dict(models[0].state_dict())
        steps = [training(model, name, size, device) for model in models]
        n = steps[0][1]
        train, train_ratio = in_turn([step for step, _ in steps], device, budget)
        for model in models:
            model.zero_grad()
        found = spread(models, name, picture(size, 0, device))
        calls = [inference(model, size, device) for model in models]
        test, test_ratio = in_turn(calls, device, budget)
        cells = [f"{train[0] / n:.4f}", f"{test[0]:.4f}"]
        if torchvision:
            cells += [f"{train_ratio[1]:.2f}", f"{test_ratio[1]:.2f}"]
        if optimized:
            example = ([picture(size, 0, device)],)
            fast = zoo.optimize(models[0].eval(), example)
            times, ratios = in_turn([inference(fast, size, device), calls[-1]], device, budget)
            cells += [f"{times[0]:.4f}", f"{ratios[1]:.2f}"]
        print(f"| {name} | {' | '.join(cells)} | {found} |", flush=True)


def resident(field: str) -> float:
    """``VmRSS`` now or ``VmHWM`` at its peak, in GB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 2**20


def peak(library: str, name: str, what: str, size: Sequence[int], device: str) -> float:
    """GB at the peak of one call, above what is held before it; after a first call on a small picture."""
    model = build(library, name, size, device)
    small = (96, 128)
    if what == "train":
        first, call = training(model, name, small, device)[0], training(model, name, size, device)[0]
    else:
        spread([model], name, picture(size, 0, device))
        first, call = inference(model, small, device), inference(model, size, device)
    first()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**30
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before_cpu = resident("VmRSS")
    call()
    return resident("VmHWM") - before_cpu


def memory(names: Sequence[str], size: Sequence[int], device: str, threads: int) -> None:
    heads = [f"{library}, {what} (GB)" for what in ("train", "test") for library in LIBRARIES]
    print(f"| Network | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}")
    for name in names:
        cells = []
        for what in ("train", "test"):
            for library in LIBRARIES:
                words = ["--peak", library, what, "--size", *map(str, size), "--device", device]
                run = [sys.executable, __file__, name, *words, "--threads", str(threads)]
                cells.append(subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="model", help="only these")
    parser.add_argument("--optimize", action="store_true", help="inference with zoo.optimize as well")
    parser.add_argument("--memory", action="store_true", help="peaks of memory, in place of time")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1066), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=15.0, help="of turns for a figure; at least three turns")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = options.models or MODELS
    if options.peak:
        library, what = options.peak
        print(f"{peak(library, names[0], what, options.size, options.device):.2f}")
        return
    place = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.machine()
    beside = f", torchvision {torchvision.__version__}" if torchvision else ", torchvision is not installed"
    print(f"{place}, {options.threads} threads, torch {torch.__version__}{beside}, pictures of ", end="")
    print(f"{'×'.join(map(str, options.size))}, load of the machine before: {os.getloadavg()[0]:.1f}\n", flush=True)
    if options.memory:
        memory(names, options.size, options.device, options.threads)
    else:
        speed(names, options.size, options.device, options.optimize, options.seconds)


if __name__ == "__main__":
    main()
