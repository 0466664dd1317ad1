"""Measurements of ``zoo benchmark``, read from JSON files: milliseconds per model and setup. No torch."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import InvalidArgument

SETUP = ("device", "machine", "threads", "batch", "engine", "precision")
FIELDS = ("weights", "torch", "date", "ms_p95", "per_second", "first_answer_s", "memory_mb", "file_mb", "times_eager")
NEEDED = ("model", "ms")


class Speeds:
    """Measurements from files written by ``zoo benchmark --output``, or of the same format.

    Attributes:
        setups: combinations of device, machine, threads, batch, engine and precision; the one with the most models
            comes first. Times are comparable only within one setup.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows = list(rows)
        counts = Counter(_setup(row) for row in self._rows)
        order = sorted(counts, key=lambda setup: (-counts[setup], _simplest(setup)))
        self._index = {setup: i for i, setup in enumerate(order)}
        self.setups = [dict(zip(SETUP, setup, strict=True)) for setup in order]
        self._by_model: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows:
            kept = {"setup": self._index[_setup(row)], "ms": float(row["ms"]), **{key: row.get(key) for key in FIELDS}}
            self._by_model.setdefault(str(row["model"]), []).append(kept)

    def of(self, *names: str) -> list[dict[str, Any]]:
        """The measurements of the first of these names that has any, in the order of the setups."""
        found = next((self._by_model[name] for name in names if name in self._by_model), [])
        return sorted(found, key=lambda row: row["setup"])


def read_speeds(folder: Path) -> Speeds:
    """Read all ``*.json`` files in a folder that have the form ``{"machine": …, "measurements": […]}``, or a list.

    Of two measurements with the same setup, the later one is used. Failed measurements (``ms`` is null) are left out.

    Raises:
        InvalidArgument: a file is not JSON, or a measurement has no model or an invalid time.
    """
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path in sorted(folder.rglob("*.json")):
        for row in _rows(path):
            key = (row["model"], row.get("weights"), *_setup(row))
            if key not in latest or str(row.get("date") or "") >= str(latest[key].get("date") or ""):
                latest[key] = row
    return Speeds(latest.values())


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise InvalidArgument(f"{path} is not JSON ({e}); expected a file written by zoo benchmark --output.") from e
    given = content.get("measurements", []) if isinstance(content, dict) else content
    machine = content.get("machine") if isinstance(content, dict) else None
    rows = []
    for row in given if isinstance(given, list) else []:
        if not isinstance(row, dict) or any(key not in row for key in NEEDED):
            if isinstance(content, list):  # not a list of measurements
                continue
            raise InvalidArgument(f"{path}: a measurement has no {' or no '.join(NEEDED)}; expected both.")
        if row["ms"] is None:
            continue
        ms = row["ms"]
        if isinstance(ms, bool) or not isinstance(ms, int | float) or not (math.isfinite(ms) and ms > 0):
            raise InvalidArgument(f"{path}: {row['model']!r} has ms={ms!r}; expected milliseconds above 0, or null.")
        rows.append({**row, "machine": row.get("machine") or _named(machine)})
    return rows


def _named(machine: Any) -> str:
    """Short name of a machine: its GPU, or its processor."""
    if isinstance(machine, Mapping):
        return str(machine.get("card") or machine.get("processor") or "")
    return str(machine or "")


def _setup(row: Mapping[str, Any]) -> tuple[Any, ...]:
    machine = row.get("machine")
    return tuple(_named(machine) if key == "machine" else row.get(key) for key in SETUP)


def _simplest(setup: tuple[Any, ...]) -> tuple[str, ...]:
    """Among setups with equally many models, the plain one comes first: batch 1, eager, float32."""
    facts = dict(zip(SETUP, setup, strict=True))
    unusual = (facts["batch"] != 1, facts["precision"] != "float32", facts["engine"] != "eager")
    return (*map(str, map(int, unusual)), *map(str, setup))
