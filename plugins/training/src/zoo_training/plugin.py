"""The manifest: commands, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest

COMMANDS = (Command("train", "zoo_training.commands.training:train", "Train a model on data of one's own."),)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS)
