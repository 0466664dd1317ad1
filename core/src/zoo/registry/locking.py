"""The versions of packages that a lock was made with."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping

from zoo.contract import WeightsEnum
from zoo.registry.names import registry


def versions_of(members: Iterable[WeightsEnum]) -> dict[str, str]:
    """The versions of zoo-core and of the distributions whose plugins offer the weights ``members``."""
    enums = {type(member) for member in members}
    names = {enum.__name__ for enum in enums}  # compared first: catalogues make enums on access
    offered = [entry for entry in registry().entries.values() if entry.spec.weights_name in names]
    plugins = [entry.plugin for entry in offered if entry.spec.weights in enums]
    found = {p.distribution: p.version for p in plugins if p.distribution and p.version}
    return dict(sorted({**found, "zoo-core": importlib.metadata.version("zoo-core")}.items()))


def changed_versions(locked: Mapping[str, str]) -> list[str]:
    """The differences of installed packages from ``locked``, one sentence each."""
    wrong = []
    for name, version in locked.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            wrong.append(f"{name} {version} is locked, and {here} here: pip install {name}=={version}")
    return wrong
