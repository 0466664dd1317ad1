"""Checkpoints of a run, written atomically."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from zoo.errors import TrainingError, ZooError
from zoo.files import replacing


def write(path: Path, save: Callable[[BinaryIO], Any]) -> None:
    """Write a file with ``save(file)``, and replace ``path`` when complete: an interrupted write keeps the old file.

    Raises:
        TrainingError: it cannot be written, as on a full disk; an existing file is kept.
    """
    with told(path), replacing(path) as f:
        save(f)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Convert an error while writing ``path`` to a TrainingError that says which file is kept."""
    try:
        yield
    except ZooError:
        raise
    except (OSError, RuntimeError) as e:  # torch reports a full disk as a RuntimeError
        kept = "the previous file is kept" if path.exists() else "there is no previous file"
        raise TrainingError(
            f"{path} cannot be written ({e}); {kept}. Free disk space, and continue with --resume."
        ) from e


class _Remembering:
    """A file that stores the error of a write: torch reports only that writing failed."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.flush = file, file.flush
        self.error: OSError | None = None

    def write(self, part: Any) -> int:
        try:
            return self.file.write(part)
        except OSError as e:
            self.error = e
            raise


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically to ``path``.

    Raises:
        TrainingError: it cannot be written; an existing file is kept.
    """

    def save(file: BinaryIO) -> None:
        remembering = _Remembering(file)
        try:
            torch.save(state, remembering)  # type: ignore[arg-type]
        except RuntimeError as e:
            raise remembering.error or e from e

    write(path, save)


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """Read a file of :func:`write_checkpoint`; no code in it is executed.

    Args:
        mmap: memory-map the tensors, so that only used parts are read. Later checkpoints are new files.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
    except Exception as e:
        raise TrainingError(f"{path} is not a checkpoint of a training run: {e}") from e
    return found
