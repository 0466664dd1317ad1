"""The manifest: commands, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest

COMMANDS = (
    Command("evaluate", "zoo_tools.commands.evaluating:evaluate", "How good a model is on a data set."),
    Command("matrix", "zoo_tools.commands.matrix:matrix", "Measure what works with which model."),
    Command("quantize", "zoo_tools.commands.quantizing:quantize", "Make an int8 model of a float one."),
    Command("benchmark", "zoo_tools.commands.benchmarking:benchmark", "How fast models are, on each engine."),
    Command("export", "zoo_tools.commands.exporting:export", "Write a model to a file that runs without its code."),
)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS)
