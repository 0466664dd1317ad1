"""The manifest: commands; no models and no torch."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest

COMMANDS = (
    Command("batch", "zoo_serving.commands.batch:batch", "Predict a folder on many workers, with Ray."),
    Command("serve", "zoo_serving.commands.serving:serve", "Serve models over HTTP."),
)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS)
