"""Saved models as files: find the file of a name or folder, and copy it with changed metadata."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import CheckpointError, InvalidArgument
from zoo.files import replacing
from zoo.registry import SavedModel

BEST = "best.safetensors"  # the file used for a folder of zoo.train
KEY = "zoo"


def find(source: str | os.PathLike[str]) -> tuple[SavedModel, Path]:
    """The description of a saved model, and its file.

    Args:
        source: a file; a folder, such as of zoo.train, whose best weights are used; or a URL.

    Raises:
        InvalidArgument: the file does not exist, or the folder contains no saved model, or several.
        CheckpointError: the file has no description.
        DownloadError: the download failed.
        UnknownModel: no installed plugin has the model.
    """
    path = Path(source).expanduser() if "://" not in os.fspath(source) else None
    if path is not None and path.is_dir() and (path / BEST).is_file():
        path = path / BEST
    elif path is not None and not path.exists():
        raise InvalidArgument(f"{str(source)!r} does not exist; expected a file of zoo.save, or a folder of zoo train.")
    saved = registry.find_saved(path or source)
    if saved is None:
        raise InvalidArgument(f"{str(source)!r} is not a saved model.")
    saved.entry()
    return saved, registry.fetch(saved.source)


def restated(path: Path, target: Path, changes: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> None:
    """Copy a saved model: identical tensors, and metadata with ``changes``.

    Args:
        changes: top-level facts, in the format of :func:`zoo.save`.
        weights: facts of the weights, such as ``license`` and ``metrics``.

    Raises:
        CheckpointError: ``path`` is not a saved model.
    """
    with path.open("rb") as f:
        size = int.from_bytes(f.read(8), "little")
        try:
            header = json.loads(f.read(size))
            facts = json.loads(header["__metadata__"][KEY])
        except (ValueError, KeyError, TypeError) as e:
            raise CheckpointError(f"{path} was not written by zoo.save ({type(e).__name__}).") from e
        facts |= changes
        facts["weights"] = {**facts.get("weights", {}), **(weights or {})}
        header["__metadata__"][KEY] = json.dumps(facts)
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with replacing(target) as out:
            out.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(f, out, 1 << 20)
