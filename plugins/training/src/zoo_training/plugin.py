"""The manifest: commands; no models and no torch."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest

COMMANDS = (
    Command("data", "zoo_training.commands.data:data", "Show the contents and problems of a data set."),
    Command("train", "zoo_training.commands.training:train", "Train a model on your own data."),
    Command("push", "zoo_training.commands.publishing:push", "Push a saved model to the hub, with a card."),
    Command(
        "new-plugin", "zoo_training.commands.publishing:new_plugin", "Write a package that provides a saved model."
    ),
)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS)
