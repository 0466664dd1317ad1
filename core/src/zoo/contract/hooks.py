"""The hooks that a plugin may implement.

A plugin is a module that an entry point of the group ``zoo.plugins`` names. Its functions marked with
``@zoo.hookimpl`` are called when the registry needs them; an error in one does not affect the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from zoo.contract.manifest import Manifest, Repository

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


@hookspec
def zoo_manifest() -> Manifest:
    """What the plugin offers: models, tasks, commands, engines. Called once; must not import torch."""
    raise NotImplementedError


@hookspec(firstresult=True)
def zoo_open_weights(url: str, progress: bool) -> Path | None:
    """A local path of the file at ``url``, for a URL scheme that this plugin supports; None for any other scheme.

    Called for schemes that core does not support, plugin after plugin until one returns a path.
    """


@hookspec(firstresult=True)
def zoo_open_repository(path: Path) -> Repository | None:
    """The builder and description of the model in the folder at ``path``, if the plugin supports its format; else None.

    Called for folders and hub repositories that are given instead of a model's name. Nothing in them may be executed.
    """
