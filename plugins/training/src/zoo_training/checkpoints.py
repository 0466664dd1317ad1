"""Where a run stands, in a file that is there whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from zoo.errors import TrainingError, ZooError
from zoo.files import replacing


def write(path: Path, save: Callable[[BinaryIO], Any]) -> None:
    """Write a file by ``save(file)``, in place of ``path`` when it is whole: a broken-off write leaves the old one.

    Raises:
        TrainingError: it cannot be written, as on a full disk; what was there is there.
    """
    with told(path), replacing(path) as f:
        save(f)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Within, what keeps ``path`` from being written is a TrainingError that says what is kept."""
    try:
        yield
    except ZooError:
        raise
    except (OSError, RuntimeError) as e:  # torch reports a full disk as a RuntimeError
        kept = "the last one that was written is kept" if path.exists() else "none had been written before"
        raise TrainingError(f"{path} cannot be written ({e}); {kept}. Make room, and go on with --resume.") from e


class _Remembering:
    """A file that keeps the error of a write: torch says of its own only that it ended."""

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
    """Write a checkpoint, in place of ``path`` when it is whole.

    Raises:
        TrainingError: it cannot be written; what was there is there.
    """

    def save(file: BinaryIO) -> None:
        remembering = _Remembering(file)
        try:
            torch.save(state, remembering)  # type: ignore[arg-type]
        except RuntimeError as e:
            raise remembering.error or e from e

    write(path, save)


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """What :func:`write_checkpoint` wrote; nothing in it is executed.

    Args:
        mmap: map the tensors, of which no more is read than is used. A later checkpoint is a file of its own.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
    except Exception as e:
        raise TrainingError(f"{path} is no checkpoint of a training run: {e}") from e
    return found
