"""The manifest: commands and engines, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Engine, Manifest

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


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS, engines=ENGINES)
