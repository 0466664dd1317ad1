"""A file that is written beside the one that it replaces, and renamed when it is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written that takes the place of ``path`` at the end, and leaves it as it was on any error.

    It is on the disk before it is renamed, has the mode of the old file where there is one, and goes where a link
    leads. Whoever has the old file open or mapped keeps that.
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
    with contextlib.suppress(OSError, AttributeError):  # a folder cannot be opened everywhere
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
