"""Tables: aligned text that fits a terminal, or Markdown. Neither torch nor rich is imported."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.cli import output
from zoo.cli.output import NONE, Painted, paint
from zoo.errors import harmless

_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
GAP = "  "


@dataclass(frozen=True)
class Column:
    """A table's column.

    Attributes:
        title: its heading.
        number: aligned by the decimal point, all with the same number of decimals.
        code: a name, in backticks in Markdown.
        link: a URL.
        rank: 0 for columns that are always shown. On a narrow terminal, columns of the highest rank are left out first.
        fixed: False for numbers whose decimals show their precision; no zeros are added to them.
    """

    title: str
    number: bool = False
    code: bool = False
    link: bool = False
    rank: int = 0
    fixed: bool = True


Rows = Sequence[Sequence[str]]


def print_table(columns: Sequence[Column], rows: Rows) -> None:
    """Print aligned columns, one line per row. No cell is broken or cut: if the columns do not fit a terminal, some are
    left out and named in a line below."""
    aligned = [_align(column, [harmless(row[i], line=True) for row in rows]) for i, column in enumerate(columns)]
    shown = list(range(len(columns)))
    if output.on_terminal():
        shown = _fitting(columns, [width(cells[0]) for cells in aligned], output.columns())
    for line in range(len(rows) + 1):
        last = shown[-1]
        cells = [aligned[i][line].rstrip() if i == last else aligned[i][line] for i in shown]
        if output.coloured(sys.stdout):
            cells = [_painted(columns[i], cell, line == 0) for i, cell in zip(shown, cells, strict=True)]
        print(GAP.join(cells).rstrip())
    left_out = [column.title for i, column in enumerate(columns) if i not in shown and column.title]
    if left_out:
        output.note(f"Not shown because the terminal is too narrow: {', '.join(left_out)}.")


def _fitting(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The indices of the columns that are shown."""
    shown = list(range(len(columns)))
    while sum(widths[i] for i in shown) + len(GAP) * (len(shown) - 1) > room:
        rank = max(columns[i].rank for i in shown)
        if rank == 0:
            break  # names are never broken; the terminal wraps a longer line
        shown.remove(max(i for i in shown if columns[i].rank == rank))
    return shown


def width(text: str) -> int:
    """The width of ``text`` on a terminal, in characters."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _align(column: Column, cells: Sequence[str]) -> list[str]:
    """The title and the cells of a column, all of one width."""
    if column.number:
        if column.fixed:
            cells = same_places(cells)
        after = [len(cell) - i if (i := cell.find(".")) >= 0 else 0 for cell in cells]
        most = max(after, default=0)
        cells = [cell + " " * (most - n) for cell, n in zip(cells, after, strict=True)]
    every = [harmless(column.title, line=True), *cells]
    most = max(map(width, every))
    pads = [" " * (most - width(cell)) for cell in every]
    return [pad + cell if column.number else cell + pad for cell, pad in zip(every, pads, strict=True)]


def same_places(cells: Sequence[str]) -> list[str]:
    """``37`` and ``46.7`` as ``37.0`` and ``46.7``; other text is unchanged."""
    plain = [cell for cell in cells if _DECIMAL.fullmatch(cell)]
    most = max((len(cell.partition(".")[2]) for cell in plain), default=0)
    if not most:
        return list(cells)
    return [
        f"{cell}{'' if '.' in cell else '.'}{'0' * (most - len(cell.partition('.')[2]))}"
        if _DECIMAL.fullmatch(cell)
        else cell
        for cell in cells
    ]


def _painted(column: Column, cell: str, heading: bool) -> Painted:
    if heading:
        return paint(cell, bold=True)
    if cell.strip() == "DEFAULT":
        return paint(cell, "green")
    shown = paint(cell, "cyan") if column.code else paint(cell, dim=True) if cell.strip() == NONE else paint(cell)
    url = cell.strip()
    if column.link and url != NONE and url.isascii():
        shown = Painted(f"\x1b]8;;{url}\x1b\\{shown}\x1b]8;;\x1b\\")
    return shown


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
