"""Protects the process while plugins are listed: their output goes to stderr, and their changes are undone.

``docs/security.md`` lists what this cannot prevent: a hang, ``os._exit``, a patched standard library.
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
    """A context in which plugins may be imported; :meth:`undo` restores what one of them changed.

    Attributes:
        interrupted: whether Ctrl-C was pressed, as opposed to a KeyboardInterrupt that a plugin raises; None if this is
            not known.
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
        if threading.current_thread() is threading.main_thread():  # it is only delivered there
            handler = _on_ctrl_c()
            self.interrupted = None if handler is None else False
            if callable(handler):
                try:
                    signal.signal(signal.SIGINT, self._interrupt)
                    self._handler = handler
                except ValueError:  # a subinterpreter has no signals
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
        """A context in which one plugin is listed; the list has the names of its changes, which were undone,
        afterwards."""
        changed: list[str] = []
        path, paths, limit, folder = sys.path, sys.path[:], sys.getrecursionlimit(), _folder()
        try:
            yield changed
        finally:
            if sys.path is not path or path != paths:
                sys.path, path[:] = path, paths  # so that the next plugin can be found
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
                changed.append("the handling of Ctrl-C")


_watch: Undisturbed | None = None


def is_ctrl_c(error: BaseException | None) -> bool:
    """Whether the user has pressed Ctrl-C, where ``error`` (or None) is the exception of the plugin."""
    interrupted = _watch.interrupted if _watch else None
    return isinstance(error, KeyboardInterrupt) if interrupted is None else interrupted


def _on_ctrl_c() -> Any:
    return signal.getsignal(signal.SIGINT)


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  for os.chdir
    except OSError:  # it was deleted
        return None


class _Aside:
    """Replaces a stream: output of the thread that lists plugins goes to stderr, other output to the stream.

    Closing it has no effect. A logging handler that keeps it writes to the stream itself after plugins are listed.
    """

    def __init__(self, watch: Undisturbed, stream: Any, stderr: Any) -> None:
        self._watch, self._stream, self._stderr = watch, stream, stderr

    def __getattr__(self, name: str) -> Any:
        listing = self._watch.thread == threading.get_ident() and self._stderr is not None
        return getattr(self._stderr if listing else self._stream, name)

    @property
    def buffer(self) -> Any:  # a plugin may wrap it, and the wrapper closes it when it is deleted
        return _Aside(self._watch, self._stream.buffer, self._stderr and self._stderr.buffer)

    def close(self) -> None:
        """The stream does not belong to the plugin."""

    def detach(self) -> Any:
        raise io.UnsupportedOperation("stdout and stderr must not be detached while plugins are listed")
