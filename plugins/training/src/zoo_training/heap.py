"""Keep memory that one training step frees for the next step, instead of returning it to the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt
USUAL = 32 << 20  # size from which blocks are mapped separately; glibc's own upper limit
KEPT = 1 << 27


@contextlib.contextmanager
def kept_heap() -> Iterator[bool]:
    """Keep up to 128 MB of free memory at the end of the heap in the process, instead of 64 MB.

    At the end of a training step most of the heap is free. glibc returns it to the system, and the next step allocates
    it again page by page, which takes up to 8 % of a step's time on a CPU. Blocks of 32 MB and more are mapped
    separately, as before. Nothing is changed with other C libraries, or if an environment variable configures malloc.

    Yields:
        Whether the setting was changed.
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
