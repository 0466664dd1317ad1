"""Plots of a run: metrics over epochs, and the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from zoo import draw
from zoo.errors import InvalidArgument

WIDTH, HEIGHT = 460, 280  # pixels of one plot
TEXT, MARGIN, TICKS = 13, 14, 4
GRID = "#d0d7de"
COLORS = (draw.FIRST, "#ff8700")
CELL, NAMED = 34, 40  # pixels of a cell of a confusion matrix; maximum number of classes with names


def curves(history: Sequence[Mapping[str, float]]) -> Image.Image:
    """One plot for each metric over the epochs; ``loss`` and ``val_loss`` share one.

    Args:
        history: one row for each epoch, with its ``epoch``; values that are not finite are left out.

    Returns:
        An RGB image; a gap in a curve is an epoch without that metric.

    Raises:
        InvalidArgument: ``history`` is empty.
    """
    if not history:
        raise InvalidArgument("history is empty; expected at least one epoch.")
    keys = [key for key in dict.fromkeys(key for row in history for key in row) if key != "epoch"]
    both = [key for key in ("loss", "val_loss") if key in keys]
    plots = [both] * bool(both) + [[key] for key in keys if key not in both]
    return draw.contact_sheet([_plot(history, plot) for plot in plots])


def _plot(history: Sequence[Mapping[str, float]], keys: Sequence[str]) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), draw.PAPER)
    pen, letters = ImageDraw.Draw(picture), draw.font(TEXT)
    lines = [[(row["epoch"], row[key]) for row in history if math.isfinite(row.get(key, math.nan))] for key in keys]
    values = [value for line in lines for _, value in line] or [0.0]
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    first, last = history[0]["epoch"], max(history[-1]["epoch"], history[0]["epoch"] + 1)
    labels = [f"{low + (high - low) * i / TICKS:.4g}" for i in range(TICKS + 1)]
    left, right = MARGIN + 6 + max(letters.getlength(label) for label in labels), WIDTH - MARGIN
    top, bottom = MARGIN + 2 * TEXT, HEIGHT - MARGIN - 2 * TEXT
    for i, label in enumerate(labels):
        y = bottom - (bottom - top) * i / TICKS
        pen.line((left, y, right, y), GRID)
        pen.text((left - 6, y), label, draw.INK, letters, anchor="rm")
    pen.text((left, bottom + 6), f"epoch {first:g}", draw.INK, letters)
    pen.text((right, bottom + 6), f"{history[-1]['epoch']:g}", draw.INK, letters, anchor="ra")
    x = left
    for key, line, color in zip(keys, lines, COLORS, strict=False):
        points = [
            (left + (right - left) * (e - first) / (last - first), bottom - (bottom - top) * (v - low) / (high - low))
            for e, v in line
        ]
        if len(points) > 1:
            pen.line(points, color, 2, joint="curve")
        for px, py in points if len(points) <= 50 else points[-1:]:
            pen.ellipse((px - 2, py - 2, px + 2, py + 2), color)
        text = f"{key} {line[-1][1]:.4g}" if line else f"{key} –"
        pen.text((x, MARGIN), text, color, letters)
        x += letters.getlength(text) + 20
    return picture


def confusion_image(matrix: Sequence[Sequence[int]], categories: Sequence[str]) -> Image.Image:
    """A confusion matrix: rows are true classes, columns are predicted ones; darker means a larger share of the row.
    With up to 40 classes, names and numbers are shown; with more, each cell is one or a few pixels.

    Raises:
        InvalidArgument: the matrix does not have one row and one column per category, or is empty.
    """
    n = len(categories)
    if not n or len(matrix) != n or any(len(row) != n for row in matrix):
        raise InvalidArgument(f"The matrix has {len(matrix)} rows; expected {n} rows and columns, one per category.")
    named = n <= NAMED
    cell = CELL if named else max(1, 1200 // n)
    letters = draw.font(TEXT)
    names = [_fitted(name) for name in categories] if named else []
    left = 3 * MARGIN + TEXT + round(max((letters.getlength(name) for name in names), default=0))
    top = left if named else 2 * MARGIN + TEXT
    width = max(left + n * cell + MARGIN, left + MARGIN + round(letters.getlength("columns: predicted, rows: true")))
    picture = Image.new("RGB", (width, top + n * cell + MARGIN), draw.PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN // 2), "rows: true, columns: predicted", draw.INK, letters)
    for i, row in enumerate(matrix):
        y, total = top + i * cell, max(1, sum(row))
        for j, count in enumerate(row):
            x, share = left + j * cell, count / total
            pen.rectangle((x, y, x + cell - 1, y + cell - 1), _shade(share))
            if named and count:
                ink = draw.PAPER if share > 0.5 else draw.INK
                size = TEXT if count < 1000 else 9
                pen.text((x + cell / 2, y + cell / 2), str(count), ink, draw.font(size), anchor="mm")
        if named:
            pen.text((left - 6, y + cell / 2), names[i], draw.INK, letters, anchor="rm")
            upright = Image.new("L", (round(letters.getlength(names[i])) + 2, TEXT + 4))
            ImageDraw.Draw(upright).text((0, 0), names[i], 255, letters)
            turned = upright.rotate(90, expand=True)
            place = (round(left + i * cell + (cell - turned.width) / 2), top - 6 - turned.height)
            picture.paste(Image.new("RGB", turned.size, draw.INK), place, turned)
    return picture


def _shade(share: float) -> tuple[int, int, int]:
    """The colour of a share: from white at 0 to the label colour at 1."""
    full = (31, 111, 235)
    red, green, blue = (round(246 + (c - 246) * min(1.0, share)) for c in full)
    return red, green, blue


def _fitted(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
