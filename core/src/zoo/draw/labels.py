"""Plates with text on a picture: each beside its object, without overlaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from zoo.draw.canvas import INK, RGB, SMALLEST_LETTERS, edge_width, fit_text, font, ink_on, letter_size, line_width

Frame = tuple[int, int, int, int]  # left, top, right, bottom: the outermost pixels
Caption = tuple[str, str]  # a label and its score; either may be ""

WIDEST = 18  # largest width of a label in letter heights, unless its box is wider
CROWDED = 0.25  # share of the picture that labels may cover before their letters shrink
SHRUNK = 0.4  # smallest size of letters as a share of their normal size
MANY, OF_BOX = 20, 0.35  # from this many objects on, letters are at most this share of the boxes' sides
COVERED = 0.1  # share of a label that others may cover; above, it is shortened, then left out
HIDDEN = 0.35  # largest share of the picture that labels hide


def write_labels(
    canvas: Image.Image, shown: Sequence[tuple[Frame, Caption, RGB]], size: int | None = None, *, every: bool = False
) -> None:
    """A plate with its caption for each frame; the first ones get the best places.

    If there are too many for the picture, letters get smaller, then scores are left out, then labels without a place;
    most of the picture stays uncovered.

    Args:
        size: of the letters, in pixels; by default it depends on the picture's size and on the texts.
        every: leave out none, even if they overlap.
    """
    draw = ImageDraw.Draw(canvas)
    if size is None:
        size = _fitting_size(canvas.size, shown)
    edge = edge_width(line_width(canvas.size))
    letters, pad = font(size), max(2, size // 5)
    height = sum(letters.getmetrics()) + pad // 2
    taken, left = np.empty((0, 4)), HIDDEN * canvas.width * canvas.height
    plates: list[tuple[int, int, int, str, RGB]] = []
    for frame, caption, color in shown:
        for words in dict.fromkeys([caption, (caption[0], "") if caption[0] else caption]):
            room = min(canvas.width, max(frame[2] - frame[0] + 1, WIDEST * size)) - 2 * pad
            text = fit_caption(words, room, letters)
            if not text or height > canvas.height:
                continue
            width = round(letters.getlength(text)) + 2 * pad
            place, covered = _place(frame, (width, height), canvas.size, taken)
            if every or not plates or (covered <= COVERED * width * height <= COVERED * left):
                left -= width * height
                taken = np.concatenate([taken, place[None]])
                plates.append((int(place[0]), int(place[1]), width, text, color))
                break
    for x, y, width, text, color in reversed(plates):
        draw.rectangle((x - edge, y - edge, x + width - 1 + edge, y + height - 1 + edge), INK)
        draw.rectangle((x, y, x + width - 1, y + height - 1), color)
        draw.text((x + pad, y + pad // 4), text, ink_on(color), letters)


def _fitting_size(picture: tuple[int, int], shown: Sequence[tuple[Frame, Caption, RGB]]) -> int:
    size = letter_size(picture)
    least = max(SMALLEST_LETTERS, round(SHRUNK * size))
    if len(shown) > MANY:
        sides = [min(right - left, bottom - top) for (left, top, right, bottom), _, _ in shown]
        size = min(size, max(least, round(OF_BOX * float(np.median(sides)))))
    for smaller in range(size, least, -1):
        letters = font(smaller)
        area = sum(letters.getlength(" ".join(words)) for _, words, _ in shown) * sum(letters.getmetrics())
        if area <= CROWDED * picture[0] * picture[1]:
            return smaller
    return least


def _place(
    frame: Frame, plate: tuple[int, int], picture: tuple[int, int], taken: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The place where a plate covers the others least (left, top, right, bottom), and how many of their pixels it
    covers."""
    (left, top, right, bottom), (width, height), (across, down) = frame, plate, picture
    middle = (top + bottom + 1 - height) // 2
    rows = [top - height, top, bottom + 1, bottom + 1 - height, middle]  # best above the box
    columns = [left, right + 1 - width, (left + right + 1 - width) // 2]
    spots = [(x, y) for x in columns for y in rows if 0 <= y <= down - height]
    beside = [(x, y) for y in (top, middle, bottom + 1 - height) for x in (right + 1, left - width)]
    spots += [(x, y) for x, y in beside if 0 <= x <= across - width and 0 <= y <= down - height]
    spots.append((left, min(max(top, 0), down - height)))
    corners = np.array([(min(max(x, 0), across - width), y) for x, y in spots], np.float64)
    places = np.concatenate([corners, corners + np.array(plate)], 1)
    overlap = np.minimum(places[:, None, 2:], taken[:, 2:]) - np.maximum(places[:, None, :2], taken[:, :2])
    covered = overlap.clip(0).prod(-1).sum(1)
    best = int(covered.argmin())
    return places[best], float(covered[best])


def fit_caption(caption: Caption, room: float, letters: ImageFont.FreeTypeFont) -> str:
    """Label and score in ``room`` pixels: the label is cut first, then the score left out; "" if three letters of the
    label do not fit."""
    label, score = caption
    for end in [score, ""] if label and score else [score]:
        rest = room - letters.getlength(f" {end}" if label and end else end)
        text = fit_text(label, rest, letters)
        if rest >= 0 and (text == " ".join(label.split()) or len(text) > 3):
            return f"{text} {end}".strip()
    return ""
