"""Commands in a pseudo-terminal, and what a person sees there when they have ended."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)|([\r\n\b])|([^\x1b\r\n\b]+)")


class Shown(NamedTuple):
    """What a terminal shows, its lines without blanks at their ends; what came, escapes and all; the exit status."""

    text: str
    raw: str
    status: int


def screen(raw: str) -> str:
    """The text on a terminal after ``raw`` with its carriage returns, cursor movements and erased lines."""
    lines: list[list[str]] = [[]]
    row = column = 0
    for found in _TOKENS.finditer(raw):
        numbers, command, control, text = found.groups()
        count = int(numbers) if numbers and numbers.isdecimal() else 1
        if command == "A":
            row = max(row - count, 0)
        elif command == "B":
            row += count
        elif command == "K":
            lines[row] = [] if numbers == "2" else lines[row][:column]
        elif command in ("G", "H"):
            column = count - 1
        elif control == "\r":
            column = 0
        elif control == "\n":
            row, column = row + 1, 0
        elif control == "\b":
            column = max(column - 1, 0)
        while len(lines) <= row:
            lines.append([])
        for character in text or "":
            lines[row] += [" "] * (column - len(lines[row]))
            lines[row][column : column + 1] = [character]
            column += 1
    return "\n".join("".join(line).rstrip() for line in lines).rstrip("\n") + "\n"


def in_terminal(
    *arguments: object, columns: int = 80, interrupt_after: str | None = None, timeout: float = 120, **variables: str
) -> Shown:
    """Run ``zoo`` on a terminal of its own.

    Args:
        arguments: of the command.
        columns: of the terminal.
        interrupt_after: press Ctrl-C when this has been shown.
        variables: of the environment, beside those of this process.
    """
    env = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "CI", "FORCE_COLOR")
    }
    env |= {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [sys.executable, "-m", "zoo", *map(str, arguments)]

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    shown, end = b"", time.monotonic() + timeout
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=env, preexec_fn=take_terminal
    ) as process:
        os.close(terminal)
        try:
            while time.monotonic() < end and (chunk := os.read(controller, 65536)):
                shown += chunk
                if interrupt_after is not None and interrupt_after.encode() in shown:
                    interrupt_after = None
                    os.write(controller, b"\x03")
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        process.wait(timeout)
        os.close(controller)
    raw = shown.decode(errors="replace")
    return Shown(screen(raw), raw, process.returncode)
