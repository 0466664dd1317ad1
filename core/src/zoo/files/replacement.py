"""A file that is written beside the one that it replaces, and renamed when it is complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces ``path`` at the end, and leaves it unchanged on any error.

    It is synced to disk before it is renamed, gets the mode of an existing file, and replaces the target of a link.
    Processes that have the old file open or mapped keep the old contents.
    """
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as f:
            if target.exists():
                os.fchmod(f.fileno(), target.stat().st_mode & 0o7777) if hasattr(os, "fchmod") else None
            yield f
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError, AttributeError):  # not every system can open a folder
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
