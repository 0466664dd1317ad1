"""Progress of long work on stderr: an updated line on a terminal, otherwise one line for each long stage."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

LONG = 30.0  # seconds after which a stage is printed without a terminal
OFTEN = 1.0  # seconds between updates of the line


class Stages:
    """Prints the current stage: ``with Stages() as stages: stages.say("Writing")``.

    Args:
        shown: False prints nothing; None prints only on a terminal.
    """

    def __init__(self, shown: bool | None = None) -> None:
        self.stream = sys.stderr  # sys.stderr may be redirected later
        self.terminal = bool(getattr(self.stream, "isatty", lambda: False)())
        self.shown = self.terminal if shown is None else shown
        self.text, self.begun, self.told = "", time.monotonic(), False
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="zoo-stages", daemon=True)

    def __enter__(self) -> Stages:
        if self.shown:
            self.thread.start()
        return self

    def say(self, text: str) -> None:
        """Begin the next stage."""
        with self.lock:
            self.text, self.told = text, False
            self._show()

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        self.ended.set()
        if self.shown:
            self.thread.join()
            if self.terminal:
                self._write("\r\x1b[K")

    def _run(self) -> None:
        while not self.ended.wait(OFTEN):
            with self.lock:
                self._show()

    def _show(self) -> None:
        elapsed = time.monotonic() - self.begun
        if not self.shown or not self.text:
            return
        if self.terminal:
            self._write(f"\r\x1b[K{self.text} … {elapsed:.0f} s"[: 80 + 4])
        elif elapsed >= LONG and not self.told:
            self.told = True
            self._write(f"{self.text} …\n")

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):  # the reader has closed the stream
            self.shown = False
