"""The manifest: commands, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest

COMMANDS = (
    Command("data", "zoo_training.commands.data:data", "What is in a data set, and what is wrong with it."),
    Command("train", "zoo_training.commands.training:train", "Train a model on data of your own."),
    Command("push", "zoo_training.commands.publishing:push", "Push a saved model to the hub, with a card."),
    Command("new-plugin", "zoo_training.commands.publishing:new_plugin", "Write a package that brings a saved model."),
)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS)
