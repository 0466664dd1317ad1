"""The manifest: commands, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Format, Manifest

COMMANDS = (
    Command("evaluate", "zoo_tools.commands.evaluating:evaluate", "How good a model is on a data set."),
    Command("export", "zoo_tools.commands.exporting:export", "Write a model to a file that runs without its code."),
)
FORMATS = tuple(
    Format(name, (suffix,), summary, *(f"zoo_tools.formats.{module}:{step}" for step in ("write", "facts", "open")), extra, **more)
    for name, suffix, summary, module, extra, more in (
        ("onnx", ".onnx", "ONNX, which ONNX Runtime and others run", "onnx", "zoo-tools[onnx]", {"onnx": True}),
        ("torch-export", ".pt2", "PyTorch's exported program", "torch_export", "", {}),
        (
            "openvino",
            ".xml",
            "OpenVINO's, weights beside it",
            "openvino",
            "zoo-tools[openvino]",
            {"onnx": True, "smooths": False},
        ),
    )
)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS, formats=FORMATS)
