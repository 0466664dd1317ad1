"""Results as rows of a table: one row per label or object."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.errors import MissingPlugin

BOX = ("x1", "y1", "x2", "y2")


def flattened(row: Mapping[str, Any], write: Callable[[Any], str] = json.dumps) -> list[dict[str, Any]]:
    """A row of JSON as rows of a table: one row per element of its first list of objects, the other values repeated.

    Args:
        write: makes text of a value that cannot be a cell.
    """
    several = [key for key, value in row.items() if isinstance(value, list) and all(isinstance(v, dict) for v in value)]
    things = row[several[0]] if several else []
    common: dict[str, Any] = {}
    for key, value in row.items():
        if key not in several[:1]:
            common.update(_cells(key, value, write))
    return [
        {**common, **{name: cell for key, value in thing.items() for name, cell in _cells(key, value, write).items()}}
        for thing in things or [{}]
    ]


def _cells(key: str, value: Any, write: Callable[[Any], str]) -> dict[str, Any]:
    """A value in columns: one per number of a list; a list of words is one column."""
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return {key: "; ".join(value)}
    if isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        names: Sequence[str] = BOX if key == "box" and len(value) == 4 else [f"{key}_{i}" for i in range(len(value))]
        return dict(zip(names, value, strict=True))
    return {key: write(value) if isinstance(value, list | dict) else value}


def optional(package: str, what: str) -> Any:
    """Import an optional package.

    Args:
        package: its name, of both the module and the distribution.
        what: what needs it.

    Raises:
        MissingPlugin: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as e:
        if e.name != package:
            raise
        raise MissingPlugin(f"{what} needs the package {package}, which is not installed: pip install {package}") from e
