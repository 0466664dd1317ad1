"""Detectors as ONNX files: time of the export, accuracy of the file's outputs, and speed.

    python benchmarks/exports.py [model …] [--size 800 1066]

Random weights, scaled layer by layer so that objects are found. The file must find the same number of objects as the
model. Its boxes are compared with the nearest ones of the same class, since objects with nearly equal scores may change
places.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import harness
import torch
from harness import Report, in_turns
from torch import Tensor, nn

import zoo

MODELS = (
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16", "ssdlite320_mobilenet_v3_large", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2",
    "keypointrcnn_resnet50_fpn",
)  # fmt: skip
PIXELS = 0.05  # allowed difference of boxes


def build(name: str) -> nn.Module:
    """A model with random weights whose scores differ: every layer's output has a standard deviation of 1. Otherwise
    features grow from layer to layer until all scores are 1, and heads, which start near zero, find nothing."""
    torch.manual_seed(0)
    model = zoo.get_model(name, weights=None, weights_backbone=None).eval()
    scaled = set()

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if layer in scaled or output.numel() < 2:
            return None
        scaled.add(layer)
        layer.weight.div_(output.std())
        return layer.forward(*inputs)

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    with torch.no_grad():
        model([torch.rand(3, 320, 427)])
    for hook in hooks:
        hook.remove()
    return model


@torch.inference_mode()
def main() -> int:
    parser = harness.options(__doc__, MODELS)
    parser.add_argument("--size", type=int, nargs=2, default=[800, 1066], metavar=("HEIGHT", "WIDTH"))
    given = parser.parse_args()
    report = Report(given, size="×".join(map(str, given.size)))
    table = report.table(
        "detectors", model="Network", mb="ONNX, MB|.0f", seconds="export, s|.0f", off="boxes off by, px|.0e",
        off_scores="scores off by|.0e", plain="model, s|.2f", fast="onnxruntime, s|.2f",
    )  # fmt: skip
    for name in given.models:
        model = build(name)
        with tempfile.TemporaryDirectory() as folder:
            file, begun = Path(folder) / "model.onnx", time.perf_counter()
            zoo.export(model, file, image_size=tuple(given.size), task=zoo.model_info(name).task)
            seconds, mb = time.perf_counter() - begun, file.stat().st_size / 2**20
            exported = zoo.get_model(file)
            picture = torch.rand(3, *given.size, generator=torch.Generator().manual_seed(0))
            want, got = model([picture])[0], exported([picture])[0]
            if len(want["boxes"]) != len(got["boxes"]):
                raise RuntimeError(
                    f"{name}: {len(got['boxes'])} objects in the file, {len(want['boxes'])} in the model"
                )
            off = {"boxes": _boxes_apart(got, want), "scores": _apart(got["scores"], want["scores"])}
            times = in_turns(
                {"plain": lambda m=model, p=picture: m([p]), "fast": lambda m=exported, p=picture: m([p])},
                given.seconds, least=3, pause=0.1,
            )  # fmt: skip
        table.row(
            model=name, mb=mb, seconds=seconds, off=off["boxes"], off_scores=off["scores"],
            **{way: taken.median() for way, taken in times.items()},
        )  # fmt: skip
        report.target(f"{name}: boxes off by, px", off["boxes"], most=PIXELS)
    return report.finish()


def _apart(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item() if a.numel() else 0.0


def _boxes_apart(got: dict[str, Tensor], want: dict[str, Tensor]) -> float:
    """The largest distance of a box from the nearest one of the same class, in both directions."""
    if not len(want["boxes"]):
        return 0.0
    apart = (got["boxes"][:, None] - want["boxes"]).abs().amax(-1)
    apart[got["labels"][:, None] != want["labels"]] = torch.inf
    return max(apart.amin(0).max().item(), apart.amin(1).max().item())


if __name__ == "__main__":
    harness.start(main)
