"""The manifest: commands, engines and formats, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Engine, Format, Manifest

COMMANDS = (
    Command("evaluate", "zoo_tools.commands.evaluating:evaluate", "How good a model is on a data set."),
    Command("matrix", "zoo_tools.commands.matrix:matrix", "Measure what works with which model."),
    Command("quantize", "zoo_tools.commands.quantizing:quantize", "Make an int8 model of a float one."),
    Command("benchmark", "zoo_tools.commands.benchmarking:benchmark", "How fast models are, on each engine."),
    Command("export", "zoo_tools.commands.exporting:export", "Write a model to a file that runs without its code."),
)
ENGINES = (
    Engine(
        "onnxruntime",
        "zoo_tools.engines.onnxruntime:build",
        summary="ONNX Runtime, in float32.",
        requires=("onnxruntime", "onnx", "onnxscript"),
        install="zoo-tools[onnxruntime]",
    ),
    Engine(
        "openvino",
        "zoo_tools.engines.openvino:build",
        summary="OpenVINO on the CPU, in float32 or bfloat16.",
        requires=("openvino",),
        install="zoo-tools[openvino]",
    ),
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
    return Manifest(api_version=1, commands=COMMANDS, engines=ENGINES, formats=FORMATS)
