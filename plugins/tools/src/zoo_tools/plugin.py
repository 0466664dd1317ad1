"""The manifest: commands, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest

COMMANDS = (
    Command("evaluate", "zoo_tools.commands.evaluating:evaluate", "How good a model is on a data set."),
    Command("merge", "zoo_tools.commands.merging:merge", "One file of the predictions that shards have written."),
    Command("export", "zoo_tools.commands.exporting:export", "Write a model to a file that runs without its code."),
)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS)
