"""Memory that the C library keeps for threads that freed it, given back to the system."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; None where there is another C library."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> bool:
    """Give free memory of the process back to the system. No setting is changed; it takes some milliseconds.

    glibc keeps what is freed apart for each thread, in pieces between those in use. Pictures that one thread opens and
    another drops leave hundreds of megabytes so.

    Returns:
        Whether there was any, and a C library that can tell.
    """
    trim = _trim()
    return trim is not None and bool(trim(0))
