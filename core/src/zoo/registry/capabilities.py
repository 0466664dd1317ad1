"""What was measured to work with a model, from the table of its plugin. Nothing is assumed without measurements."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.contract import CAPABILITIES
from zoo.errors import DownloadError, InvalidArgument, suggest
from zoo.files import open_resource
from zoo.registry.names import Entry, Registry, registry
from zoo.registry.records import PluginRecord

FIELDS = {"torch": str, "device": str, "date": str, "cells": dict}


def capabilities(name: str) -> Mapping[str, Any]:
    """The measurements of ``zoo matrix`` for a model, without importing torch.

    Returns:
        ``cells``: capability → ``{"works": bool, "note": why not, …}``; and the conditions ``torch``, ``device``,
            ``date``, ``machine``, ``software`` and ``inputs``. Empty without measurements.

    Raises:
        UnknownModel: no such model.

    >>> zoo.registry.capabilities("resnet18")["cells"]["onnx"]["works"]
    """
    return _of(registry().find(name))


def able(now: Registry, entries: Sequence[Entry], wanted: Sequence[str]) -> list[Entry]:
    """The models for which all given capabilities were measured to work.

    Raises:
        InvalidArgument: a capability was not measured for any model.
    """
    known = dict.fromkeys(CAPABILITIES) | {cell: None for e in now.entries.values() for cell in _cells(e)}
    for cell in wanted:
        if cell not in known:
            raise InvalidArgument(
                f"There is no capability {cell!r}; measured are {', '.join(known)}.{suggest(cell, known)}"
            )
    return [e for e in entries if all(_cells(e).get(cell, {}).get("works") is True for cell in wanted)]


def _cells(entry: Entry) -> Mapping[str, Any]:
    cells: Mapping[str, Any] = _of(entry).get("cells", {})
    return cells


def _of(entry: Entry) -> Mapping[str, Any]:
    manifest = entry.plugin.manifest
    url = manifest.capabilities if manifest is not None else ""
    if not url:
        return {}
    try:
        return _read(url).get(entry.spec.name, {})
    except (DownloadError, OSError, ValueError) as e:
        _complain(entry.plugin, url, e)
        return {}


def _complain(record: PluginRecord, url: str, e: Exception) -> None:
    record.complaint = record.complaint or f"its table of capabilities, {url}, cannot be read ({e})"


@functools.lru_cache(maxsize=64)
def _read(url: str) -> Mapping[str, Mapping[str, Any]]:
    """Model → its measurements."""
    with open_resource(url) as file:
        content = json.load(file)
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise ValueError("it has no models")
    for name, table in models.items():
        good = isinstance(table, dict) and all(isinstance(table.get(key), kind) for key, kind in FIELDS.items())
        if not good or not all(
            isinstance(r, dict) and isinstance(r.get("works"), bool) for r in table["cells"].values()
        ):
            raise ValueError(f"the data of {name!r} have another form")
    return models
