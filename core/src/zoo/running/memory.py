"""Returns free memory that the C library keeps to the system."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

SLACK = 16 << 20  # bytes by which a process may grow
_level: int | None = None  # bytes that are in use, and as many free ones as there were
_free = 0  # when memory was first given back


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; None for other C libraries."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def resident() -> int | None:
    """Bytes of memory that the process occupies; None where the system does not say it as Linux does."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back() -> bool:
    """Give free memory of the process back to the system, if it has grown since that was first done. No setting is
    changed.

    glibc keeps what is freed apart for each thread, in pieces between those in use. Pictures that one thread opens and
    another drops leave hundreds of megabytes so. What is given back has to be had from the system again, page by page,
    which takes a few percent of a stream's time: so nothing is while the process is no larger than it was.

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
