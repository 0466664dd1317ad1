"""Speed and accuracy of `zoo quantize` on models with packaged weights: agreement with the float model's top class.

    python benchmarks/int8.py [model …] [--engine openvino|torch]

Calibrated on one part of the pictures and compared on the other: held-out scans of digits, generated shapes, the
photographs of examples/ and crops of them. Float is the eager model; both are measured alternately. Ten families with
random weights are measured for speed.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Sequence
from pathlib import Path

import harness
import torch
from harness import Report, in_turns
from PIL import Image
from torch import Tensor

import zoo

IMAGES = Path(__file__).parents[1] / "examples/images"
TIMES, SAME = 4, 0.99
FAMILIES = (
    "resnet50", "mobilenet_v3_large", "efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "densenet121",
    "swin_t", "shufflenet_v2_x1_0", "mnasnet1_0",
)  # fmt: skip


def digits(prepare: zoo.Preset) -> Tensor:
    from sklearn.datasets import load_digits

    grey = torch.from_numpy(load_digits().images * 255 / 16).round().to(torch.uint8)
    return torch.cat([prepare(part[:, None].expand(-1, 3, -1, -1)) for part in grey.split(200)])


def crops(files: Sequence[Path], prepare: zoo.Preset, count: int) -> Tensor:
    """Random crops of at least half the sides, some of them flipped."""
    generator, found = torch.Generator().manual_seed(0), []
    for i in range(count):
        image = Image.open(files[i % len(files)]).convert("RGB")
        share, x, y, flip = torch.rand(4, generator=generator).tolist()
        width, height = (int(side * (0.5 + share / 2)) for side in image.size)
        left, top = int(x * (image.width - width)), int(y * (image.height - height))
        part = image.crop((left, top, left + width, top + height))
        found.append(prepare(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip > 0.5 else part))
    return torch.stack(found)


def cases() -> dict[str, tuple[str, str, Tensor, Tensor]]:
    """Name → model, weights, calibration pictures, pictures for the comparison."""
    found = {}
    squeezenet, lite, lraspp = (
        ("squeezenet1_1", "DIGITS_V1"), ("efficientnet_lite0", "DEFAULT"), ("lraspp_mobilenet_v3_large", "SHAPES_V1"),
    )  # fmt: skip
    scans = digits(zoo.get_model_weights(squeezenet[0])[squeezenet[1]].transforms())
    found["squeezenet1_1, 450 held-out scans of digits"] = (*squeezenet, scans[:300], scans[-450:])
    photos = sorted((IMAGES / "photos").glob("*.jpg"))
    prepare = zoo.get_model_weights(lite[0])[lite[1]].transforms()
    some = crops(photos, prepare, 150)
    found["efficientnet_lite0, 60 crops of photographs"] = (*lite, some[:90], some[90:])
    found["efficientnet_lite0, the photographs"] = (
        *lite, some[:90], torch.stack([prepare(Image.open(file).convert("RGB")) for file in photos])
    )  # fmt: skip
    prepare = zoo.get_model_weights(lraspp[0])[lraspp[1]].transforms()
    some = crops(sorted(IMAGES.glob("shapes*.png")), prepare, 48)
    found["lraspp_mobilenet_v3_large, shapes"] = (*lraspp, some[:32], some[32:])
    return found


def families(report: Report, engine: str, names: Sequence[str], seconds: float) -> None:
    """Speed only, with random weights; also by processor time, which other work on the machine changes less."""
    table = report.table(
        "families", model="model", **{
            f"{key}{n}": f"batch {n}: {heading}{form}" for n in (1, 8)
            for key, heading, form in (
                ("float", "float, ms", "|.1f"), ("int", "int8, ms", "|.1f"), ("times", "times", "|.1f"),
                ("cpu", "by processor time", "|.1f"),
            )
        },
    )  # fmt: skip
    for name in names:
        torch.manual_seed(0)
        model = zoo.get_model(name, weights=None).eval()
        fast = zoo.quantize(copy.deepcopy(model), [torch.rand(4, 3, 224, 224) for _ in range(4)], engine=engine)
        row = {}
        for n in (1, 8):
            x = torch.rand(n, 3, 224, 224)
            with torch.inference_mode():
                calls = {"float": lambda m=model, x=x: m(x), "int": lambda m=fast, x=x: m(x)}
                times = in_turns(calls, seconds, least=5, most=50, pause=0.1)
            row |= {f"{way}{n}": taken.median() * 1e3 for way, taken in times.items()}
            row[f"times{n}"] = times["float"].over(times["int"])
            row[f"cpu{n}"] = times["float"].over(times["int"], "processor")
        table.row(model=name, **row)
    if {row["model"] for row in report.content["tables"]["families"]["rows"]} >= {*FAMILIES}:
        for n in (1, 8):
            middle = statistics.median(row[f"cpu{n}"] for row in report.content["tables"]["families"]["rows"])
            report.target(f"int8: median of ten families, batch {n}, by processor time", middle, least=TIMES)


def top(outputs: Tensor | dict[str, Tensor]) -> Tensor:
    return (outputs["out"] if isinstance(outputs, dict) else outputs).argmax(1)


def packaged(report: Report, engine: str, seconds: float) -> None:
    columns = {}
    for n in (1, 8):
        end = " " * (n > 1)
        columns |= {
            f"float{n}": f"batch {n}: float, ms|.1f", f"int{n}": f"int8, ms{end}|.2f", f"times{n}": f"times{end}|.1f"
        }  # fmt: skip
    table = report.table("packaged", model="", **columns, top="top class|.2%")
    for case, (name, weights, seen, others) in cases().items():
        model = zoo.get_model(name, weights=weights).eval()
        fast = zoo.quantize(copy.deepcopy(model), list(seen.split(16)), engine=engine)
        row = {}
        with torch.inference_mode():
            for n in (1, 8):
                x = torch.cat([others] * (n // len(others) + 1))[:n]
                calls = {"float": lambda m=model, x=x: m(x), "int": lambda m=fast, x=x: m(x)}
                times = in_turns(calls, seconds, least=9, most=100, pause=0.1)
                row[f"times{n}"] = times["float"].over(times["int"])
                row |= {f"{way}{n}": taken.median() * 1e3 for way, taken in times.items()}
                report.target(f"{case}: int8, times as fast, batch {n}", row[f"times{n}"], least=TIMES)
            pairs = [(top(model(x)), top(fast(x))) for x in others.split(8)]
        same = torch.cat([(a == b).double().reshape(len(a), -1).mean(1) for a, b in pairs]).mean().item()
        table.row(model=case, **row, top=same)
        report.target(f"{case}: float's top class", same, least=SAME)


def main() -> int:
    parser = harness.options(__doc__, FAMILIES)
    parser.add_argument("--engine", default="openvino", choices=("openvino", "torch"))
    given = parser.parse_args()
    report = Report(given, engine=given.engine)
    families(report, given.engine, given.models, given.seconds)
    if given.models == list(FAMILIES):
        packaged(report, given.engine, given.seconds)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
