"""Progress of long work on stderr: what is done, how far it is, how long it takes.

On a terminal it is one line that is updated, and removed at the end. Elsewhere (a pipe, a log, ``CI``) it is plain
lines, and none for work that takes less than a second.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from zoo.cli import output
from zoo.errors import harmless

PATIENCE = 1.0  # seconds before the first line
EVERY = 10.0  # seconds between two lines


def moves() -> bool:
    """Whether stderr shows a line that is updated: a terminal, and not the log of a build server."""
    told = os.environ.get("CI", "").lower() not in ("", "0", "false") or os.environ.get("TERM") == "dumb"
    return sys.stderr is not None and output.on_terminal(sys.stderr) and not told


class Work:
    """What :func:`working` gives."""

    def __init__(self, what: str, total: int | None, unit: str, done: int) -> None:
        self.what, self.total, self.unit = harmless(what, line=True), total, unit
        self.done, self.before, self.start = done, done, time.monotonic()

    def advance(self, n: int = 1) -> None:
        """Add to the number of units that are done."""
        self.done += n

    def say(self, what: str) -> None:
        """What is done now."""
        self.what = harmless(what, line=True)


class _Lines(Work):
    """Prints from its own thread, so that work without any report of progress is shown too."""

    def __init__(self, what: str, total: int | None, unit: str, done: int) -> None:
        super().__init__(what, total, unit, done)
        self.told, self.ended = False, threading.Event()
        self.thread = threading.Thread(target=self._tell, daemon=True)

    def begin(self) -> None:
        self.thread.start()

    def _tell(self) -> None:
        pause = PATIENCE
        while not self.ended.wait(pause):
            pause, self.told = EVERY, True
            output.say(f"{self.what}{self._far()}", err=True)

    def _far(self) -> str:
        seconds = time.monotonic() - self.start
        if not self.total or self.done == self.before:
            return " …" if seconds < EVERY else f" … {_time(seconds)}"
        left = seconds / (self.done - self.before) * (self.total - self.done)
        return f": {self.done} of {output.counted(self.total, self.unit)}, {_time(seconds)}, about {_time(left)} left"

    def end(self, good: bool) -> None:
        self.ended.set()
        if self.thread.ident is not None:
            self.thread.join()
        if self.told and good:
            output.say(f"{self.what}: done in {_time(time.monotonic() - self.start)}", err=True)


class _Moving(Work):
    def __init__(self, what: str, total: int | None, unit: str, done: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            ProgressColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        super().__init__(what, total, unit, done)
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        columns: list[ProgressColumn] = [
            SpinnerColumn("line" if console.options.ascii_only else "dots"),
            TextColumn("{task.description}", markup=False),
        ]
        if total:
            columns += [
                BarColumn(24),
                TextColumn("{task.completed:.0f} of {task.total:.0f} " + f"{unit}s", markup=False),
            ]
        columns.append(TimeElapsedColumn())
        if total:
            columns += [TextColumn("left", style="dim"), TimeRemainingColumn()]
        self.progress = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        self.task = self.progress.add_task(Text(self.what).plain, total=total, completed=done)

    def begin(self) -> None:
        self.progress.start()

    def advance(self, n: int = 1) -> None:
        super().advance(n)
        self.progress.update(self.task, advance=n)

    def say(self, what: str) -> None:
        super().say(what)
        self.progress.update(self.task, description=self.what)

    def end(self, good: bool) -> None:
        self.progress.stop()


@contextlib.contextmanager
def working(what: str, total: int | None = None, unit: str = "", done: int = 0) -> Iterator[Work]:
    """Show progress on stderr while the block runs.

    Args:
        what: the work in a few words: ``"Exporting resnet50"``.
        total: the number of units, if it is known; :meth:`Work.advance` counts those that are done.
        unit: the name of one unit: ``"input"``.
        done: the number of units done before.

    >>> with cli.working("Drawing", total=3, unit="picture") as work:
    ...     for picture in pictures:
    ...         work.advance()
    """
    work: Any = (_Moving if moves() else _Lines)(what, total, unit, done)
    good = False
    try:
        work.begin()  # inside try: Ctrl-C may come as soon as something is shown
        yield work
        good = True
    finally:
        work.end(good)


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
