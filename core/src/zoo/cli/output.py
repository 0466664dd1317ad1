"""How the command line prints: lines, errors, JSON, facts, and numbers as the published tables write them.

On a terminal there is colour, and text fits its width. Piped output is plain: no colour, nothing cut. Printed text may
come from file names, plugins and servers: control characters are removed here, except for our own colours.
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

NONE = "-"  # an empty cell; not blank, so that `awk '{print $4}'` finds the same column in every row


def on_terminal(stream: TextIO | None = None) -> bool:
    return (stream or sys.stdout).isatty()


def coloured(stream: TextIO) -> bool:
    """Whether to print colours: on a terminal that shows them, if ``NO_COLOR`` is not set."""
    return on_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """The width of the terminal in characters: ``COLUMNS``, else that of stdout's terminal, else 80."""
    return shutil.get_terminal_size().columns


class Painted(str):
    """Text that is safe to print: control characters were removed, and its colours and line ends are our own."""


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False, err: bool = False) -> Painted:
    """``text`` in colour, if stdout (or stderr) is a terminal and ``NO_COLOR`` is not set."""
    stream = sys.stderr if err else sys.stdout
    text = harmless(text, line=True)
    if not coloured(stream):
        return Painted(text)
    return Painted(typer.style(text, fg=colour, bold=bold or None, dim=dim or None))


def note(text: str, *, err: bool = False) -> None:
    """A dimmed remark, wrapped to fit a terminal."""
    for line in _wrapped(harmless(text, line=True), 0, stream=sys.stderr if err else None):
        say(paint(line, dim=True, err=err), err=err)


def say(*parts: object, sep: str = " ", end: str = "\n", err: bool = False) -> None:
    """Print one line of text that may come from others: control characters are removed, except those of
    :func:`paint`."""
    shown = (part if isinstance(part, Painted) else harmless(part, line=True) for part in parts)
    print(*shown, sep=sep, end=end, file=sys.stderr if err else sys.stdout, flush=True)


def complain(text: str, colour: str) -> None:
    """Print a message on stderr, with the text before its first colon in colour and further lines indented."""
    head, colon, rest = text.partition(":")
    sys.stdout.flush()  # keep the order of the two streams if they are shown in one place
    first, *more = harmless(rest).split("\n")
    first, *wrapped = _wrapped(first, 0, first=len(head + colon), stream=sys.stderr)
    lines = [*wrapped, *(f"  {part}" for line in more for part in _wrapped(line, 2, stream=sys.stderr))]
    say(paint(head + colon, colour, bold=True, err=True), Painted("\n".join([first, *lines])), sep="", err=True)


def interrupted(what: str = "") -> None:
    """Report in one line that Ctrl-C ended the command, and where it was if that is known."""
    if on_terminal(sys.stderr):
        print(file=sys.stderr)  # after ^C
    complain(f"Interrupted: {what}" if what else "Interrupted.", "yellow")


_SPELLING = {
    "…": "...", "→": "->", "–": "-", "—": "-", "×": "x", "’": "'", "‘": "'", "“": '"', "”": '"', "·": "-", "±": "+-",
    "≥": ">=", "≤": "<=", "°": " degrees", "✓": "yes", "µ": "u", "²": "2", "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip
SPELT_OUT = "zoo.spelt_out"  # name of the handler below


def _spell_out(e: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters that the terminal's encoding lacks: our own signs by ASCII, others by an escape."""
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
    """``1 file``, ``2 files``, ``3 categories``, ``4 sets of weights``."""
    if n == 1:
        return f"1 {noun}"
    first, of, rest = noun.partition(" of ")
    return f"{n:,} {first[:-1]}ies" if first.endswith("y") and first[-2] not in "aeiou" else f"{n:,} {first}s{of}{rest}"


def print_error(e: BaseException | str) -> None:
    """Print one error message on stderr, without a traceback."""
    complain(f"Error: {redacted(e)}", "red")


def as_json(value: Any, indent: int | None = None) -> str:
    """Standard JSON: NaN is null, and types that JSON lacks are written as text."""
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
    """A number of bytes as text: ``97.8 MB`` of 2**20 bytes each, ``1.5 GB`` above a thousand of them."""
    mb = size / 2**20
    return f"{mb / 1024:.1f} GB" if mb >= 1000 else f"{mb:.1f} MB"


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def print_facts(facts: Sequence[tuple[str, str]], indent: str = "  ") -> None:
    """Print ``name  value``, one per line, the names aligned. Facts without a value are left out."""
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
    """Lines that fit a terminal with a margin; the first line is ``first`` characters shorter."""
    if not on_terminal(stream):
        return [line]
    width = max(20, columns() - margin)
    if len(line) + first <= width:
        return [line]
    begun = " " * first
    wrapped = textwrap.wrap(line, width, initial_indent=begun, break_long_words=False, break_on_hyphens=False)
    indented = len(line) - len(line.lstrip())
    return [" " * indented + wrapped[0].lstrip(), *wrapped[1:]]
