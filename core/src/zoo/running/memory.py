"""Returns free memory that the C library keeps to the system."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

SLACK = 16 << 20  # bytes by which the process may grow before memory is returned again
_level: int | None = None  # bytes in use, plus the free bytes of the first call
_free = 0  # bytes returned by the first call


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; None for other C libraries."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def resident() -> int | None:
    """Resident memory of the process in bytes; None on systems without Linux's ``/proc``."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back() -> bool:
    """Return free memory of the process to the system if the process has grown since the first call. No setting is
    changed.

    glibc keeps freed memory separately for each thread, fragmented between blocks in use. Pictures that one thread
    opens and another frees leave hundreds of megabytes in this way. Returned memory must be allocated again page by
    page, which takes a few percent of a stream's time; therefore none is returned while the process has not grown.

    Returns:
        Whether memory was returned; False for other C libraries.
    """
    global _level, _free
    trim, before = _trim(), resident()
    if trim is None or (before is not None and _level is not None and before < _level + SLACK):
        return False
    gave = bool(trim(0))
    after = resident()
    if before is not None and after is not None:
        _free = before - after if _level is None else _free
        _level = max(_level or 0, after + _free)  # what is kept, such as results, grows too
    return gave
