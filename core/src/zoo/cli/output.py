"""How the command line prints: lines, errors, JSON, facts, and numbers as the published tables write them.

On a terminal there is colour, and text fits its width. Piped output is plain: no colour, nothing cut.
What is printed may come from file names, plugins and servers: it is made harmless here, colours of our own aside.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import typer

from zoo.errors import harmless
from zoo.files import redacted

NONE = "-"  # an empty cell; a word, so that `awk '{print $4}'` finds the same column in every row


def on_terminal(stream: TextIO | None = None) -> bool:
    return (stream or sys.stdout).isatty()


def coloured(stream: TextIO) -> bool:
    """Whether colours go there: to a terminal that shows them, where ``NO_COLOR`` is not set."""
    return on_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """The width of the terminal in characters: what ``COLUMNS`` says, else that of stdout's; 80 where there is none."""
    return shutil.get_terminal_size().columns


class Painted(str):
    """What may be printed as it is: it was made harmless, and the colours and ends of lines in it are our own."""


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False, err: bool = False) -> Painted:
    """``text`` in colour, where stdout (or stderr) is a terminal and ``NO_COLOR`` is not set."""
    stream = sys.stderr if err else sys.stdout
    text = harmless(text, line=True)
    if not coloured(stream):
        return Painted(text)
    return Painted(typer.style(text, fg=colour, bold=bold or None, dim=dim or None))


def note(text: str, *, err: bool = False) -> None:
    """A remark of less weight, wrapped to fit a terminal."""
    for line in _wrapped(harmless(text, line=True), 0, stream=sys.stderr if err else None):
        say(paint(line, dim=True, err=err), err=err)


def say(*parts: object, sep: str = " ", end: str = "\n", err: bool = False) -> None:
    """``print`` of one line, for what is not ours: all but what :func:`paint` gave is made harmless."""
    shown = (part if isinstance(part, Painted) else harmless(part, line=True) for part in parts)
    print(*shown, sep=sep, end=end, file=sys.stderr if err else sys.stdout, flush=True)


def complain(text: str, colour: str) -> None:
    """A message on stderr; what comes before its first colon in colour. Further lines of it are indented."""
    head, colon, rest = text.partition(":")
    sys.stdout.flush()  # so that both streams, shown in one place, keep their order
    first, *more = harmless(rest).split("\n")
    first, *wrapped = _wrapped(first, 0, first=len(head + colon), stream=sys.stderr)
    lines = [*wrapped, *(f"  {part}" for line in more for part in _wrapped(line, 2, stream=sys.stderr))]
    say(paint(head + colon, colour, bold=True, err=True), Painted("\n".join([first, *lines])), sep="", err=True)


def interrupted(what: str = "") -> None:
    """Say that Ctrl-C ended it, in one line, and what is known of where it was."""
    if on_terminal(sys.stderr):
        print(file=sys.stderr)  # after ^C
    complain(f"Interrupted: {what}" if what else "Interrupted.", "yellow")


_SPELLING = {
    "…": "...", "→": "->", "–": "-", "—": "-", "×": "x", "’": "'", "‘": "'", "“": '"', "”": '"', "·": "-", "±": "+-",
    "≥": ">=", "≤": "<=", "°": " degrees", "✓": "yes", "µ": "u", "²": "2", "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip
SPELT_OUT = "zoo.spelt_out"  # name of the handler below


def _spell_out(e: UnicodeError) -> tuple[str | bytes, int]:
    """Of what a terminal's encoding lacks: our own signs in ASCII, all else as an escape."""
    if not isinstance(e, UnicodeEncodeError):
        raise e
    said, end = "", e.start
    while end < e.end and e.object[end] in _SPELLING:
        said, end = said + _SPELLING[e.object[end]], end + 1
    if said:
        return said, end
    return codecs.backslashreplace_errors(UnicodeEncodeError(e.encoding, e.object, e.start, e.start + 1, e.reason))


codecs.register_error(SPELT_OUT, _spell_out)


def counted(n: int, noun: str) -> str:
    """``1 file``, ``2 files``, ``3 entries``."""
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{n:,} {noun}s"


def print_error(e: BaseException | str) -> None:
    """One message on stderr, without a traceback."""
    complain(f"Error: {redacted(e)}", "red")


def as_json(value: Any, indent: int | None = None) -> str:
    """Standard JSON: a metric that is not a number is null, and what JSON has no form for is written as text."""
    return json.dumps(_plain(value), indent=indent, default=str, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_json(value: Any) -> None:
    print(as_json(value, indent=2))


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def number(value: float | None) -> str:
    """As published: ``80.858``, ``37``."""
    if value is None:
        return NONE
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def gflops(value: float | None) -> str:
    """Two decimals and no zeros after them: ``4.09``, ``1.5``, ``8``."""
    rounded = None if value is None else round(value, 2)
    return f"{value:.1g}" if value and not rounded else number(rounded)


def count(n: int | None) -> str:
    """``25.6M``."""
    if n is None:
        return NONE
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if n >= size:
            return f"{n / size:.1f}{unit}"
    return str(n)


def megabytes(size: float) -> str:
    """Of a number of bytes: ``97.8 MB`` of 2**20 bytes each, ``1.5 GB`` above a thousand."""
    mb = size / 2**20
    return f"{mb / 1024:.1f} GB" if mb >= 1000 else f"{mb:.1f} MB"


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def print_facts(facts: Sequence[tuple[str, str]], indent: str = "  ") -> None:
    """``name  value`` a line, the names aligned; facts without a value are left out."""
    shown = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in shown), default=0)
    margin = " " * (len(indent) + width + 2)
    for name, value in shown:
        text = value if isinstance(value, Painted) else harmless(value).rstrip("\n")
        lines = [part for line in text.split("\n") for part in _wrapped(line, len(margin))]
        print(f"{indent}{paint(name.ljust(width), dim=True)}  {lines[0]}")
        for line in lines[1:]:
            print(margin + line)


def _wrapped(line: str, margin: int, *, first: int = 0, stream: TextIO | None = None) -> list[str]:
    """Lines that fit a terminal beside a margin, and the first of them beside ``first`` characters more."""
    if not on_terminal(stream):
        return [line]
    width = max(20, columns() - margin)
    if len(line) + first <= width:
        return [line]
    begun = " " * first
    wrapped = textwrap.wrap(line, width, initial_indent=begun, break_long_words=False, break_on_hyphens=False)
    indented = len(line) - len(line.lstrip())
    return [" " * indented + wrapped[0].lstrip(), *wrapped[1:]]
