"""Speed of classification models: compared with torchvision's, optimized, and for several batch sizes.

    python benchmarks/classification.py [model …] [--batch 8]

With torchvision: the ratio of zoo's time to torchvision's for one model of each family, with the same weights, input
and memory format (below 1 is faster), and the difference of the outputs. Then the gain of zoo.optimize over the plain
model for ten families, with contiguous images as from a pipeline. Then images per second for several batch sizes.
Ratios by processor time are included, since other work on the machine changes them less; set OMP_WAIT_POLICY=passive,
so that waiting threads are not counted.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import harness
import torch
from harness import Report, in_turns
from torch import Tensor, nn

import zoo

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
CURVE, BATCHES = ("mobilenet_v3_large", "resnet50", "convnext_tiny"), (1, 2, 4, 8, 16, 32)
FORMATS = {"contiguous": torch.contiguous_format, "last": torch.channels_last}


def build(builder: Callable[..., nn.Module], name: str) -> nn.Module:
    # Sampling truncated normals takes longer for these two than any measurement here.
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return builder(name, weights=None, **options).eval()


def images(name: str, batch: int) -> Tensor:
    size = 299 if name == "inception_v3" else 224
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def against(theirs: Any, names: Sequence[str], batch: int, seconds: float, report: Report) -> None:
    table = report.table(
        "torchvision", model="our time over torchvision's", contiguous="contiguous|.2f", last="channels-last|.2f",
        off="largest difference|.0e",
    )  # fmt: skip
    for name in names:
        models = [build(get, name) for get in (zoo.get_model, theirs.models.get_model)]
        models[1].load_state_dict(models[0].state_dict())
        row = {}
        for key, memory_format in FORMATS.items():
            x = images(name, batch).to(memory_format=memory_format)
            ours, others = (model.to(memory_format=memory_format) for model in models)
            times = in_turns({"ours": lambda m=ours, x=x: m(x), "theirs": lambda m=others, x=x: m(x)}, seconds)
            row[key] = times["ours"].over(times["theirs"], "processor")
        a, b = (model(x) for model in models)
        table.row(model=name, **row, off=((a - b).abs().max() / (b.std() or 1)).item())  # a head of zeros gives zeros
        report.target(f"{name}: processor time over torchvision's", max(row.values()), most=1.07)


def optimised(names: Sequence[str], batch: int, seconds: float, report: Report) -> None:
    table = report.table(
        "optimised", model="`zoo.optimize`", plain="plain, ms|.1f", fast="optimised, ms|.1f", times="times|.2f",
        cpu="by processor time|.2f",
    )  # fmt: skip
    gained = []
    for name in names:
        x, plain = images(name, batch), build(zoo.get_model, name)
        fast = zoo.optimize(plain, x)
        times = in_turns({"plain": lambda m=plain, x=x: m(x), "fast": lambda m=fast, x=x: m(x)}, seconds)
        before, after = times["plain"], times["fast"]
        gained.append(before.over(after))
        milliseconds = {"plain": before.median() * 1e3, "fast": after.median() * 1e3}
        table.row(model=name, **milliseconds, times=gained[-1], cpu=before.over(after, "processor"))
    if len(gained) >= len(OPTIMISED):
        report.target("`zoo.optimize`: median of ten families", statistics.median(gained), least=1.6)


def curve(names: Sequence[str], seconds: float, report: Report) -> None:
    columns = {f"batch_{n}": f"batch {n}|.0f" for n in BATCHES}
    table = report.table("batches", model="images a second", **columns)
    for name in names:
        plain = build(zoo.get_model, name)
        found: dict[str, dict[str, float]] = {"plain": {}, "optimised": {}}
        for n in BATCHES:
            x = images(name, n)
            models = {"plain": plain, "optimised": zoo.optimize(plain, x)}
            for way, taken in in_turns({way: lambda m=m, x=x: m(x) for way, m in models.items()}, seconds).items():
                found[way][f"batch_{n}"] = n / taken.median()
        for way, rates in found.items():
            table.row(model=f"{name}, {way}", **rates)


def main() -> int:
    parser = harness.options(__doc__)
    parser.add_argument("models", nargs="*", help="models to measure")
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    report = Report(given, batch=given.batch)
    with torch.inference_mode():
        if (theirs := harness.torchvision()) is not None:
            against(theirs, given.models or FAMILIES, given.batch, given.seconds, report)
        optimised(given.models or OPTIMISED, given.batch, given.seconds, report)
        curve(given.models or CURVE, given.seconds, report)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
