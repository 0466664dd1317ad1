"""Progress of a download: a bar on a terminal, plain lines for commands without one."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

lines: ContextVar[bool] = ContextVar("lines", default=False)  # whether to print lines; the command line sets it
FIRST, EVERY = 1.0, 10.0  # seconds before the first line, and between two lines


class _Lines:
    """A line after one second and every ten; none for a shorter download."""

    def __init__(self, name: str) -> None:
        self.name, self.n = name, 0
        self.total: int | None = None
        self.start = self.last = time.monotonic()
        self.began: int | None = None
        self.told = False

    def refresh(self) -> None:
        if self.began is None:
            self.began = self.n

    def update(self, n: int) -> None:
        self.n += n
        now = time.monotonic()
        if now - self.last < (EVERY if self.told else FIRST):
            return
        self.last, self.told = now, True
        pace = (self.n - (self.began or 0)) / (now - self.start)
        of = f" of {_mb(self.total)}" if self.total else ""
        left = f", about {(self.total - self.n) / pace:.0f} s left" if self.total and pace else ""
        print(f"{self.name}: {_mb(self.n)}{of}, {_mb(pace)}/s{left}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.told:
            print(f"{self.name}: {_mb(self.n)} in {time.monotonic() - self.start:.0f} s", file=sys.stderr, flush=True)


def _mb(size: float) -> str:
    return f"{size / 2**20:.1f} MB"


@contextlib.contextmanager
def bar(name: str, progress: bool) -> Iterator[Any]:
    """An object with ``total``, ``n``, ``refresh()`` and ``update(n)``, in bytes."""
    moving = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty() and not _is_log())
    if progress and not moving and lines.get() and sys.stderr is not None:
        shown = _Lines(name)
        yield shown
        shown.close()
        return
    from tqdm import tqdm

    with tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=not (progress and moving)) as shown:
        yield shown


def _is_log() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false") or os.environ.get("TERM") == "dumb"
