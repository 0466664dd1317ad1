"""Additions to a picture: a legend of colours, a scale, a line below; their size depends on the picture's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from zoo.draw.canvas import INK, MARGIN, OTHERS, PAPER, RGB, TEXT, fit_text, font, scale_of

LEGEND, SWATCH, LEGEND_ROW = 260, 18, 30  # pixels, beside a picture of 640 or less
BAR, TICK = 24, 4


class LegendItem(NamedTuple):
    """A line of a legend: a name, its colour (black is drawn as a hollow square), and a number as text."""

    name: str
    color: RGB
    value: str = ""


def with_legend(picture: Image.Image, entries: Sequence[LegendItem]) -> Image.Image:
    """The picture, with a margin around it, and beside it one line per item.

    The number of lines is limited by the picture's height, but at least 8; the last line then gives the number left
    out.
    """
    scale = scale_of(picture.size)
    margin, row, swatch, text = (round(scale * n) for n in (MARGIN, LEGEND_ROW, SWATCH, TEXT))
    most = max(8, picture.height // row)
    rest = len(entries) - most + 1 if len(entries) > most else 0
    shown = entries[: len(entries) - rest]
    letters = font(text)
    names, values = (
        [letters.getlength(word) for word in words] for words in zip(*((e.name, e.value) for e in shown), strict=True)
    )
    gap = swatch // 2 + 1
    panel = math.ceil(min(max(names), 1.2 * scale * LEGEND) + max(values) + 2 * gap + swatch + gap * bool(max(values)))
    lines = len(shown) + bool(rest)
    height = max(picture.height, row * lines) + 2 * margin
    left = picture.width + 2 * margin
    right = left + panel
    canvas = Image.new("RGB", (right + margin, height), PAPER)
    canvas.paste(picture, (margin, (height - picture.height) // 2))
    draw = ImageDraw.Draw(canvas)
    top = (height - row * lines) // 2
    for i, item in enumerate(shown):
        y = top + i * row
        square = (left, y + row // 7, left + swatch - 1, y + row // 7 + swatch - 1)
        hollow = not any(item.color)
        draw.rectangle(square, PAPER if hollow else item.color, OTHERS if hollow else INK, max(1, round(scale)))
        value_left = right - letters.getlength(item.value)
        name_left = left + swatch + gap
        draw.text((name_left, y), fit_text(item.name, value_left - name_left - gap / 2, letters), INK, letters)
        draw.text((value_left, y), item.value, INK, letters)
    if rest:
        draw.text((left + swatch + gap, top + len(shown) * row), f"and {rest} more", INK, letters)
    return canvas


def with_scale(
    picture: Image.Image, colour: Callable[[float], RGB], labels: Sequence[tuple[float, str]], ends: tuple[str, str]
) -> Image.Image:
    """The picture, with a margin around it, and beside it a colour bar with marks.

    Args:
        picture: in RGB.
        colour: place on the bar, from 0 (bottom) to 1 (top) → colour.
        labels: (place, text) of the marks.
        ends: text above and below the bar.
    """
    scale = scale_of(picture.size)
    margin, text, bar, tick = (round(scale * n) for n in (MARGIN, TEXT, BAR, TICK))
    letters = font(text)
    room = max(letters.getlength(word) for word in [*ends, *(label for _, label in labels)])
    height = max(picture.height, 8 * text)
    left = picture.width + 2 * margin
    canvas = Image.new("RGB", (left + bar + 2 * tick + math.ceil(room) + margin, height + 2 * margin), PAPER)
    canvas.paste(picture, (margin, margin + (height - picture.height) // 2))
    top, bottom = margin + round(1.9 * text), margin + height - round(1.9 * text)
    draw = ImageDraw.Draw(canvas)
    for y in range(top, bottom + 1):
        draw.line((left, y, left + bar - 1, y), colour((bottom - y) / (bottom - top)))
    thin = max(1, round(scale))
    draw.rectangle((left - thin, top - thin, left + bar - 1 + thin, bottom + thin), None, INK, thin)
    draw.text((left, top - thin - 2 * tick), ends[0], INK, letters, anchor="ld")
    draw.text((left, bottom + thin + 2 * tick), ends[1], INK, letters, anchor="la")
    for place, label in labels:
        at = bottom - place * (bottom - top)
        draw.line((left + bar, at, left + bar + tick, at), INK, thin)
        draw.text((left + bar + 2 * tick, at), label, INK, letters, anchor="lm")
    return canvas


def with_caption(picture: Image.Image, *lines: str) -> Image.Image:
    """The picture, and below it lines of text, cut at its width."""
    scale = scale_of(picture.size)
    text, pad = round(scale * (TEXT - 2)), round(4 * scale)
    letters = font(text)
    row = sum(letters.getmetrics())
    canvas = Image.new("RGB", (picture.width, picture.height + pad + row * len(lines)), PAPER)
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        at = (pad // 2, picture.height + pad + i * row)
        draw.text(at, fit_text(line, picture.width - pad, letters), INK, letters)
    return canvas


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About ``n`` round numbers from ``low`` to ``high``."""
    if not high > low:
        return [low]
    rough = (high - low) / n
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]
