"""Which versions of which packages a lock was made with."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping

from zoo.contract import WeightsEnum
from zoo.registry.names import registry


def versions_of(entries: Iterable[WeightsEnum]) -> dict[str, str]:
    """The versions of zoo-core and of the distributions whose plugins offer ``entries``."""
    enums = {type(entry) for entry in entries}
    names = {enum.__name__ for enum in enums}  # looked at first: catalogues make enums when they are asked for
    offered = [entry for entry in registry().entries.values() if entry.spec.weights_name in names]
    plugins = [entry.plugin for entry in offered if entry.spec.weights in enums]
    found = {p.distribution: p.version for p in plugins if p.distribution and p.version}
    return dict(sorted({**found, "zoo-core": importlib.metadata.version("zoo-core")}.items()))


def changed_versions(locked: Mapping[str, str]) -> list[str]:
    """How what is installed differs from ``locked``, a sentence each."""
    wrong = []
    for name, version in locked.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            wrong.append(f"{name} {version} is locked, and {here} here: pip install {name}=={version}")
    return wrong
