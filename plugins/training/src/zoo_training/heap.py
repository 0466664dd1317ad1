"""What glibc does with memory that a step has freed and the next one takes again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt
USUAL = 32 << 20  # bytes from which a block is mapped by itself: what glibc comes to where such blocks are freed
KEPT = 1 << 29


@contextlib.contextmanager
def kept_heap() -> Iterator[bool]:
    """Within, up to 512 MB that are free at the heap's end stay the process's, in place of 64.

    At the end of a step most of the heap is free. glibc gives it back to the system, and the next step has it again
    page by page: up to 8 % of a step's time on a CPU, by what happens to lie at the heap's end. Blocks of 32 MB and
    more are mapped one by one, as before. Nothing is done where a variable of the environment says what malloc shall
    do, and where there is another C library.

    Yields:
        Whether anything was done.
    """
    told = "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") and not told else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield False
        return
    library.mallopt(MMAP_THRESHOLD, USUAL)
    library.mallopt(TRIM_THRESHOLD, KEPT)
    try:
        yield True
    finally:
        library.mallopt(TRIM_THRESHOLD, 2 * USUAL)
        library.malloc_trim(0)
