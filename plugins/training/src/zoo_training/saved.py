"""Saved models as files: which one a name or a folder means, and a copy that says other things of itself."""

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

BEST = "best.safetensors"  # what a folder of zoo.train's means
KEY = "zoo"


def find(source: str | os.PathLike[str]) -> tuple[SavedModel, Path]:
    """What a saved model says of itself, and its file.

    Args:
        source: a file; a folder, as zoo.train's, whose best weights are meant; or a URL.

    Raises:
        InvalidArgument: a name that is no file's, or a folder that holds no saved model, or several.
        CheckpointError: a file that says nothing of itself.
        DownloadError: it cannot be had.
        UnknownModel: nothing installed has such a model.
    """
    path = Path(source).expanduser() if "://" not in os.fspath(source) else None
    if path is not None and path.is_dir() and (path / BEST).is_file():
        path = path / BEST
    elif path is not None and not path.exists():
        raise InvalidArgument(
            f"There is no {str(source)!r}; expected a file that zoo.save wrote, or a folder of zoo train's."
        )
    saved = registry.find_saved(path or source)
    if saved is None:
        raise InvalidArgument(f"{str(source)!r} is no saved model's.")
    saved.entry()
    return saved, registry.fetch(saved.source)


def restated(path: Path, target: Path, changes: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> None:
    """Copy a saved model with other facts: the tensors byte for byte, the metadata with ``changes``.

    Args:
        changes: top-level facts, as :func:`zoo.save` writes them.
        weights: facts of the weights, such as ``license`` and ``metrics``.

    Raises:
        CheckpointError: ``path`` is no saved model.
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
