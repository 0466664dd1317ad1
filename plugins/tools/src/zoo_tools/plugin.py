"""The manifest: commands, engines and formats; no models and no torch."""

from __future__ import annotations

import zoo
from zoo import Command, Engine, Format, Manifest

COMMANDS = (
    Command("evaluate", "zoo_tools.commands.evaluating:evaluate", "Measure a model on a data set."),
    Command("matrix", "zoo_tools.commands.matrix:matrix", "Measure which features work with which model."),
    Command("quantize", "zoo_tools.commands.quantizing:quantize", "Make an int8 model from a float model."),
    Command("benchmark", "zoo_tools.commands.benchmarking:benchmark", "Measure how fast models are, on each engine."),
    Command("merge", "zoo_tools.commands.merging:merge", "Merge the predictions of shards into one file."),
    Command("export", "zoo_tools.commands.exporting:export", "Write a model to a file that runs without its code."),
    Command("catalogue", "zoo_tools.commands.catalogue:app", "Make web pages of all installed models."),
)
FORMATS = (
    Format(
        "onnx",
        (".onnx",),
        "ONNX, for ONNX Runtime and many others",
        write="zoo_tools.formats.onnx:write",
        facts="zoo_tools.formats.onnx:facts",
        open="zoo_tools.formats.onnx:open",
        write_requires=("onnx", "onnxscript"),
        open_requires=("onnxruntime",),
        install=("zoo-tools[onnx]", "zoo-tools[onnxruntime]"),
        onnx=True,
    ),
    Format(
        "torch-export",
        (".pt2",),
        "PyTorch's exported program, for torch only",
        write="zoo_tools.formats.torch_export:write",
        facts="zoo_tools.formats.torch_export:facts",
        open="zoo_tools.formats.torch_export:open",
    ),
    Format(
        "openvino",
        (".xml",),
        "OpenVINO IR, with the weights in a .bin next to it",
        write="zoo_tools.formats.openvino:write",
        facts="zoo_tools.formats.openvino:facts",
        open="zoo_tools.formats.openvino:open",
        write_requires=("openvino", "onnx", "onnxscript"),
        open_requires=("openvino",),
        install=("zoo-tools[openvino]", "zoo-tools[openvino]"),
        onnx=True,
        smooths=False,
    ),
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


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS, engines=ENGINES, formats=FORMATS)
