"""How the command line prints: tables as text, Markdown or JSON, numbers as the published tables write them.

On a terminal there is colour, and tables fit its width. Piped output is plain: no colour, a line per row, nothing cut.
What is printed may come from file names, plugins and servers: it is made harmless here, colours of our own aside.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import typer

from zoo.errors import harmless
from zoo.files import redacted

NONE = "-"  # an empty cell; a word, so that `awk '{print $4}'` finds the same column in every row


def on_terminal(stream: TextIO | None = None) -> bool:
    return (stream or sys.stdout).isatty()


class Painted(str):
    """What may be printed as it is: it was made harmless, and the colours and ends of lines in it are our own."""


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False, err: bool = False) -> Painted:
    """``text`` in colour, where stdout (or stderr) is a terminal and ``NO_COLOR`` is not set."""
    stream = sys.stderr if err else sys.stdout
    text = harmless(text, line=True)
    if not on_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return Painted(text)
    return Painted(typer.style(text, fg=colour, bold=bold or None, dim=dim or None))


def say(*parts: object, sep: str = " ", end: str = "\n", err: bool = False) -> None:
    """``print`` of one line, for what is not ours: all but what :func:`paint` gave is made harmless."""
    shown = (part if isinstance(part, Painted) else harmless(part, line=True) for part in parts)
    print(*shown, sep=sep, end=end, file=sys.stderr if err else sys.stdout, flush=True)


def complain(text: str, colour: str) -> None:
    """A message on stderr; what comes before its first colon in colour. Further lines of it are indented."""
    head, colon, rest = text.partition(":")
    sys.stdout.flush()  # so that both streams, shown in one place, keep their order
    more = Painted(harmless(rest).replace("\n", "\n  "))
    say(paint(head + colon, colour, bold=True, err=True), more, sep="", err=True)


def counted(n: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


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


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Column:
    """A table's column.

    Attributes:
        title: its heading.
        number: aligned by the decimal point.
        code: a name, in backticks in Markdown.
        link: a URL.
    """

    title: str
    number: bool = False
    code: bool = False
    link: bool = False


Rows = Sequence[Sequence[str]]


def print_table(columns: Sequence[Column], rows: Rows) -> None:
    """Aligned columns: fitted to a terminal's width, else as wide as they are."""
    aligned = [_align(column, [harmless(row[i], line=True) for row in rows]) for i, column in enumerate(columns)]
    titles, *lines = zip(*aligned, strict=True)
    if on_terminal():
        _print_fitted(columns, titles, lines)
        return
    for line in (titles, *lines):
        print("  ".join(line).rstrip())


def _align(column: Column, cells: Sequence[str]) -> list[str]:
    """The title and the cells of a column, all of one width."""
    if column.number:
        after = [len(cell) - i if (i := cell.find(".")) >= 0 else 0 for cell in cells]
        most = max(after, default=0)
        cells = [cell + " " * (most - n) for cell, n in zip(cells, after, strict=True)]
    title = harmless(column.title, line=True)
    width = max(len(cell) for cell in (title, *cells))
    return [cell.rjust(width) if column.number else cell.ljust(width) for cell in (title, *cells)]


def _print_fitted(columns: Sequence[Column], titles: Sequence[str], lines: Rows) -> None:
    from rich.console import Console
    from rich.style import Style
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    roomy = len("  ".join(titles)) <= console.width
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, title in zip(columns, titles, strict=True):
        table.add_column(Text(title if column.number else title.rstrip()), overflow="fold", no_wrap=column.number)
    for line in lines:
        cells = []
        for column, cell in zip(columns, line, strict=True):
            shown = cell if column.number else cell.rstrip()
            if column.link and shown != NONE and not roomy:
                cells.append(Text("link", style=Style(link=shown)))  # a URL folded over lines helps nobody
            else:
                cells.append(Text(shown, style="cyan" if column.code else ""))
        table.add_row(*cells)
    console.print(table)


def print_markdown(columns: Sequence[Column], rows: Rows) -> None:
    """A table in Markdown; links are links."""
    print(f"| {' | '.join(f'**{harmless(c.title, line=True)}**' for c in columns)} |")
    print(f"| {' | '.join('---' for _ in columns)} |")
    for row in rows:
        print(f"| {' | '.join(_markdown(c, cell) for c, cell in zip(columns, row, strict=True))} |")


def _markdown(column: Column, cell: str) -> str:
    cell = harmless(cell, line=True).replace("|", "\\|")
    if cell == NONE:
        return cell
    if column.code:
        return f"`{cell}`"
    return f"[link]({cell})" if column.link else cell


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


def _wrapped(line: str, margin: int) -> list[str]:
    if not on_terminal():
        return [line]
    width = max(20, shutil.get_terminal_size().columns - margin)
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
