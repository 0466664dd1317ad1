"""Exported files: their recognition by name, and their facts. torch is not imported.

All facts in such a file are checked, as for saved models (:mod:`zoo.registry.saved`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo import files
from zoo.contract import Format, Preset, Weights, load_object, short
from zoo.errors import CheckpointError, InvalidArgument
from zoo.registry.discovery import fetch
from zoo.registry.offers import formats
from zoo.registry.saved import FORMAT, parse

VERSION = 1  # of the facts in exported files; a higher one requires a newer zoo-core
INSIDE = ("preprocessing", "postprocessing")


@dataclass(frozen=True)
class ExportedFile:
    """An exported file and its facts.

    Attributes:
        source: its path or URL.
        path: of the file itself.
        format: the format that opens it.
        name: of the model, ``plugin/name``.
        task: its task.
        weights: its description. The preprocessing is the part that is not in the file.
        facts: all its facts; see docs/exporting.md.
    """

    source: str
    path: Path
    format: Format
    name: str
    task: str
    weights: Weights
    facts: Mapping[str, Any]


def format_opening(name: object) -> Format | None:
    """The format of a file name, if an installed format with this suffix can be opened."""
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else ""
    ending = text.partition("?")[0].lower()
    return next((one for one in formats().values() if one.open and ending.endswith(one.suffixes)), None)


def find_exported(
    name: str | os.PathLike[str], *, task: str | None = None, weights: Weights | None = None, progress: bool = True
) -> ExportedFile | None:
    """The facts of the exported file of this name; None if the name is not that of an exported file.

    Args:
        name: a path or URL, whose suffix determines the format.
        task: of a file that does not contain it; ``weights``: weights with its preprocessing and categories.
        progress: show a progress bar during a download.

    Raises:
        DownloadError: it cannot be downloaded or found.
        CheckpointError: it is damaged, or its facts are invalid.
        InvalidArgument: neither the file nor the arguments describe it.
    """
    kind = format_opening(name)
    if kind is None:
        return None
    source = os.fspath(name)
    path = Path(fetch(source, progress=progress)) if "://" in source else Path(source).expanduser()
    if not path.is_file():
        raise CheckpointError(f"{files.redacted(source)} cannot be opened: there is no such file.")
    text = load_object(kind.facts)(path) if kind.facts else None
    if text is None:
        return _described(source, path, kind, task, weights)
    return _parse(text, source, path, kind)


def _described(source: str, path: Path, kind: Format, task: str | None, weights: Weights | None) -> ExportedFile:
    """A third-party file that the user describes."""
    missing = [word for word, given in (("its task", task), ("its preprocessing and categories", weights)) if not given]
    if missing or task is None or weights is None:
        raise InvalidArgument(
            f"{files.redacted(source)} was not written by zoo and has no description. Missing: {' and '.join(missing)}."
            " Give task='image-classification' (--task), and weights= (--weights) with the same preprocessing and "
            "labels, such as 'ResNet50_Weights.DEFAULT', or zoo.Weights(url='', transforms=zoo.Preset(…), "
            "categories=[…])."
        )
    described = replace(weights, url=source, sha256=None, metrics={}, num_params=None, config={})
    return ExportedFile(source, path, kind, f"local/{path.stem}", task, described, {})


def _parse(text: str, source: str, path: Path, kind: Format) -> ExportedFile:
    shown = files.redacted(source)

    def wrong(what: str) -> CheckpointError:
        return CheckpointError(f"{shown}: its metadata are wrong: {what}")

    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise wrong(f"they are not JSON ({type(e).__name__}).") from e
    version = facts.get("version") if isinstance(facts, dict) else None
    if not isinstance(facts, dict) or type(version) is not int or version < 1:
        raise wrong("the version is missing; export files of older releases of zoo again.")
    if version > VERSION:
        raise CheckpointError(
            f"{shown} was exported by a newer zoo, in version {version}; this one reads up to {VERSION}. Install a "
            "newer one: pip install -U zoo-core"
        )
    model, plugin = facts.get("model"), facts.get("plugin") or "local"
    if not isinstance(model, str) or not isinstance(plugin, str):
        raise wrong(f"model is {short(model)} of {short(plugin)}; expected names.")
    inside = facts.get("inside", [])
    if not isinstance(inside, list) or not all(part in INSIDE for part in inside):
        raise wrong(f"inside is {short(inside)}; expected some of {', '.join(INSIDE)}.")
    for key in ("inputs", "outputs"):
        for port in _listed(facts.get(key), key, wrong):
            sizes: Any = port.get("shape")
            right = isinstance(port.get("name"), str) and isinstance(sizes, list)
            if not right or not all(type(size) in (int, str) for size in sizes):
                raise wrong(f"{key} contain {short(port)}; expected a name, and a shape of numbers and names.")
    described = parse(
        {
            "format": FORMAT,
            "model": f"{plugin}/{model.rpartition('/')[2]}",
            **{key: facts.get(key) for key in ("task", "preprocessing", "categories", "versions")},
            "weights": facts.get("about"),
        },
        source,
        path.stat().st_size,
    )
    weights = described.weights
    if not described.task:
        raise wrong("the task is missing.")
    if "preprocessing" in inside:
        frames = weights.transforms is not None and weights.transforms.target.endswith(":VideoClassification")
        mean = (weights.transforms.arguments if weights.transforms else {}).get("mean", (0, 0, 0))
        pixels = {"channels": len(mean), **({"frames": True} if frames else {})}
        weights = replace(weights, transforms=Preset("zoo.transforms:Pixels", pixels))
    return ExportedFile(source, path, kind, described.name, described.task, weights, facts)


def _listed(value: Any, key: str, wrong: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(port, dict) for port in value):
        raise wrong(f"{key} is {short(value)}; expected a list.")
    return value
