"""How fast classification models are: beside torchvision's, optimised, and over batch size.

    python benchmarks/classification.py [--quick] [--batch 8] [--processor-time] [model …]

With torchvision: our time over its time for one model of each family, same weights, input and memory format (below 1
is faster), and outputs compared. Then, with torchvision or without, what zoo.optimize gains over the plain model for
ten families; images come contiguous, as from a pipeline. Without torchvision, also images a second over batch size.

What is compared is timed in turns, in one process, and a figure is the median over the turns of the ratio within one:
other work on the machine then meets both alike. It is still better to have none; where there is some, use
--processor-time: what the process's own threads computed, added up, and not how long they waited for others.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

if "--processor-time" in sys.argv:  # threads that wait for each other must not count; read when torch is loaded
    os.environ |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}

import torch
from torch import Tensor, nn

import zoo

try:
    import torchvision
except ImportError:
    torchvision = None

THREADS = 2
FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "regnet_x_400mf", "regnet_y_400mf", "resnet50",
    "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16",
    "wide_resnet50_2",
)  # fmt: skip
OPTIMISED = (
    "resnet50", "mobilenet_v3_large", "efficientnet_b0", "densenet121", "shufflenet_v2_x1_0", "mobilenet_v2",
    "mnasnet1_0", "regnet_y_400mf", "googlenet", "vgg11_bn",
)  # fmt: skip
CURVE = ("mobilenet_v3_large", "resnet50", "convnext_tiny")
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


clock = time.process_time if "--processor-time" in sys.argv else time.perf_counter


def build(builder: Callable[..., nn.Module], name: str) -> nn.Module:
    # Drawing truncated normals takes these two longer than anything measured here.
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return builder(name, weights=None, **options).eval()


def images(name: str, batch: int) -> Tensor:
    size = 299 if name == "inception_v3" else 224
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def compare(first: Callable[[], Any], second: Callable[[], Any], seconds: float) -> tuple[float, float, float]:
    """Median times of both in seconds, and the median of first / second, over turns that fill about ``seconds``."""
    calls = (first, second)
    for call in calls:
        call()
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while len(times[0]) < 5 or (time.perf_counter() < end and len(times[0]) < 100):
        for i in (0, 1) if len(times[0]) % 2 else (1, 0):  # neither is always the one that finds a warm cache
            start = clock()
            calls[i]()
            times[i].append(clock() - start)
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return statistics.median(times[0]), statistics.median(times[1]), statistics.median(ratios)


def against_torchvision(names: Sequence[str], batch: int, seconds: float) -> None:
    print(f"\nOur time over torchvision's, batch {batch}\n\n| model | {' | '.join(FORMATS)} | largest difference |")
    print("| --- | ---: | ---: | ---: |")
    worst = {}
    for name in names:
        ours, theirs = build(zoo.get_model, name), build(torchvision.models.get_model, name)
        theirs.load_state_dict(ours.state_dict())
        ratios = []
        for memory_format in FORMATS.values():
            x = images(name, batch).to(memory_format=memory_format)
            ours.to(memory_format=memory_format)
            theirs.to(memory_format=memory_format)
            ratios.append(compare(lambda m=ours, x=x: m(x), lambda m=theirs, x=x: m(x), seconds)[2])
        a, b = ours(x), theirs(x)
        off = ((a - b).abs().max() / (b.std() or 1)).item()  # a head of zeros gives zeros
        print(f"| {name} | {' | '.join(f'{r:.2f}' for r in ratios)} | {off:.0e} |", flush=True)
        worst[name] = max(ratios)
    name = max(worst, key=worst.__getitem__)
    print(f"\nslowest: {name}, {worst[name]:.2f}; median {statistics.median(worst.values()):.2f}")


def optimised(names: Sequence[str], batch: int, seconds: float) -> None:
    print(f"\nzoo.optimize, batch {batch}\n\n| model | plain, ms | optimised, ms | speed-up |")
    print("| --- | ---: | ---: | ---: |")
    speedups = []
    for name in names:
        x, plain = images(name, batch), build(zoo.get_model, name)
        fast = zoo.optimize(plain, x[:1])
        before, after, ratio = compare(lambda m=plain, x=x: m(x), lambda m=fast, x=x: m(x), seconds)
        speedups.append(ratio)
        print(f"| {name} | {before * 1e3:.1f} | {after * 1e3:.1f} | {ratio:.2f} |", flush=True)
    print(f"\nmedian speed-up: {statistics.median(speedups):.2f}")


def curve(names: Sequence[str], batches: Sequence[int], seconds: float) -> None:
    print(f"\nImages a second, plain / optimised\n\n| model | {' | '.join(f'batch {n}' for n in batches)} |")
    print(f"| --- |{' ---: |' * len(batches)}")
    for name in names:
        plain = build(zoo.get_model, name)
        fast = zoo.optimize(plain)
        cells = []
        for n in batches:
            x = images(name, n)
            before, after, _ = compare(lambda m=plain, x=x: m(x), lambda m=fast, x=x: m(x), seconds)
            cells.append(f"{n / before:.0f} / {n / after:.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="only these")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="few turns: a look, no measurement")
    parser.add_argument("--processor-time", action="store_true", help="of all threads, in place of the clock's")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    seconds = 0.0 if options.quick else 5.0
    print(f"{platform.machine()}, {os.cpu_count()} cores, {THREADS} threads, torch {torch.__version__}, ", end="")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}", flush=True)
    with torch.inference_mode():
        if torchvision is not None:
            against_torchvision(options.models or FAMILIES, options.batch, seconds)
        optimised(options.models or OPTIMISED, options.batch, seconds)
        if torchvision is None:
            print("\ntorchvision is not installed: there is nothing to compare with.")
            curve(options.models or CURVE, (1, 4, 16) if options.quick else (1, 2, 4, 8, 16, 32), seconds)


if __name__ == "__main__":
    main()
