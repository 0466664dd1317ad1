"""The manifest: commands, and no models. No torch here."""

from __future__ import annotations

import zoo
from zoo import Command, Manifest

COMMANDS: tuple[Command, ...] = ()


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(api_version=1, commands=COMMANDS)
