"""The process while plugins are listed: what they print goes to stderr, and what they replace is put back.

What no process can be kept from is in ``docs/security.md``: a hang, ``os._exit``, a patched standard library.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any


class Undisturbed:
    """Within, plugins may be imported; :meth:`undo` puts back what one of them changed.

    Attributes:
        interrupted: whether Ctrl-C was pressed, as told from a KeyboardInterrupt that a plugin raises itself; None if
            that cannot be known.
    """

    def __init__(self) -> None:
        self.interrupted: bool | None = False
        self.thread: int | None = None
        self._handler: Any = None

    def __enter__(self) -> Undisturbed:
        global _watch
        _watch, self.thread = self, threading.get_ident()
        self._streams = sys.stdout, sys.stderr
        self._asides = [None if stream is None else _Aside(self, stream, sys.stderr) for stream in self._streams]
        sys.stdout, sys.stderr = self._asides
        if threading.current_thread() is threading.main_thread():  # it arrives there alone
            handler = _on_ctrl_c()
            self.interrupted = None if handler is None else False
            if callable(handler):
                try:
                    signal.signal(signal.SIGINT, self._interrupt)
                    self._handler = handler
                except ValueError:  # an interpreter within another has no signals
                    self.interrupted = None
        return self

    def __exit__(self, *_: object) -> None:
        global _watch
        _watch = self.thread = None
        sys.stdout, sys.stderr = self._streams
        if self._handler:
            signal.signal(signal.SIGINT, self._handler)

    def _interrupt(self, number: int, frame: Any) -> None:
        self.interrupted = True
        self._handler(number, frame)

    @contextlib.contextmanager
    def undoing(self) -> Iterator[list[str]]:
        """Within, one plugin is listed; the names of what it changed, which was undone, are in the list afterwards."""
        changed: list[str] = []
        path, entries, limit, folder = sys.path, sys.path[:], sys.getrecursionlimit(), _folder()
        try:
            yield changed
        finally:
            if sys.path is not path or path != entries:
                sys.path, path[:] = path, entries  # the next plugin is to be found where it was
                changed.append("sys.path")
            for name, aside in zip(("stdout", "stderr"), self._asides, strict=True):
                if getattr(sys, name) is not aside:
                    setattr(sys, name, aside)
                    changed.append(f"sys.{name}")
            if sys.getrecursionlimit() != limit:
                sys.setrecursionlimit(limit)
                changed.append("the recursion limit")
            if folder and folder != _folder():
                os.chdir(folder)
                changed.append("the working directory")
            if self._handler and _on_ctrl_c() != self._interrupt:
                signal.signal(signal.SIGINT, self._interrupt)
                changed.append("what Ctrl-C does")


_watch: Undisturbed | None = None


def is_ctrl_c(error: BaseException | None) -> bool:
    """Whether the user has pressed Ctrl-C, ``error`` (or nothing) being what a plugin made of it."""
    interrupted = _watch.interrupted if _watch else None
    return isinstance(error, KeyboardInterrupt) if interrupted is None else interrupted


def _on_ctrl_c() -> Any:
    return signal.getsignal(signal.SIGINT)


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  os.chdir takes it as it is
    except OSError:  # it was deleted
        return None


class _Aside:
    """Stands for a stream: what the thread prints that lists plugins goes to stderr, all else where it went before.

    Closing it closes nothing. A logging handler that keeps it writes to the stream itself once plugins are listed.
    """

    def __init__(self, watch: Undisturbed, stream: Any, stderr: Any) -> None:
        self._watch, self._stream, self._stderr = watch, stream, stderr

    def __getattr__(self, name: str) -> Any:
        listing = self._watch.thread == threading.get_ident() and self._stderr is not None
        return getattr(self._stderr if listing else self._stream, name)

    @property
    def buffer(self) -> Any:  # which a plugin may wrap, and the wrapper closes it when it goes
        return _Aside(self._watch, self._stream.buffer, self._stderr and self._stderr.buffer)

    def close(self) -> None:
        """The stream is not the plugin's."""

    def detach(self) -> Any:
        raise io.UnsupportedOperation("stdout and stderr are not to be detached while plugins are listed")
