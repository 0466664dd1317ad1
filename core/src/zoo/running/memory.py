"""Returns free memory that the C library keeps to the system."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; None for other C libraries."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> bool:
    """Return free memory of the process to the system. No setting is changed; it takes some milliseconds.

    glibc keeps freed memory separately for each thread, fragmented between blocks in use. Pictures that one thread
    opens and another frees leave hundreds of megabytes in this way.

    Returns:
        Whether memory was returned; False for other C libraries.
    """
    trim = _trim()
    return trim is not None and bool(trim(0))
