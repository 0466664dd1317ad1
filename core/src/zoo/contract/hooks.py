"""The hooks a plugin may implement: the whole contract at a glance.

A plugin is a module that an entry point of the group ``zoo.plugins`` names. Its functions marked with
``@zoo.hookimpl`` are called when the registry needs them, each inside a guard of its own.
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
    """A local path of the file at ``url``, for a URL scheme that this plugin serves; None for any other scheme.

    Called for schemes that core does not know itself, plugin after plugin until one answers.
    """


@hookspec(firstresult=True)
def zoo_open_repository(path: Path) -> Repository | None:
    """The builder and description of what is in the folder at ``path``, if it is of this plugin's kind; else None.

    Called for folders, and for hub repositories, that are named in place of a model. Nothing in them may be executed.
    """
