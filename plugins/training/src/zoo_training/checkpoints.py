"""Where a run stands, in a file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch

from zoo.errors import TrainingError


def write(path: Path, save: Any) -> None:
    """Write a file beside ``path`` by ``save(file)``, then rename it: a broken-off write leaves the old one.

    Raises:
        TrainingError: it cannot be written, as on a full disk; what was there is there.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save(part)
        with part.open("rb+") as f:
            os.fsync(f.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as e:  # torch reports a full disk as a RuntimeError
        kept = "the last one that was written is kept" if path.exists() else "none had been written before"
        raise TrainingError(f"{path} cannot be written ({e}); {kept}. Make room, and go on with --resume.") from e
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    write(path, lambda part: torch.save(state, part))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What :func:`write_checkpoint` wrote; nothing in it is executed."""
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:
        raise TrainingError(f"{path} is no checkpoint of a training run: {e}") from e
    return found
