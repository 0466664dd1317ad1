"""Labels with their probabilities as bars, and sheets of many pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from zoo.contract import check_count
from zoo.draw.canvas import FIRST, INK, LARGEST, MARGIN, OTHERS, PAPER, TEXT, fit_text, font, legible
from zoo.errors import InvalidArgument
from zoo.transforms.functional import convert_mode, get_dimensions

TRACK = "#e4e7eb"
PANEL, ROW, BAR = 360, 46, 10  # pixels
SHEET = 4096  # longest side of a contact sheet


def label_image(
    image: Image.Image, lines: Sequence[tuple[str, float]], *, largest: int | None = LARGEST
) -> Image.Image:
    """The picture, and beside it one bar per label for its probability.

    Args:
        image: of any size and mode.
        lines: (label, probability from 0 to 1), drawn in this order; the first is highlighted.
        largest: the longer side, in pixels, that a picture is shrunk to; None does not shrink.

    Returns:
        An RGB image, at most about 1,000 pixels wide.

    Raises:
        InvalidArgument: there are no lines, or a probability is not between 0 and 1.
    """
    if not lines:
        raise InvalidArgument("lines is empty; expected at least one (label, probability).")
    for label, probability in lines:
        if not -1e-3 <= probability <= 1.001:  # sums of rounded numbers may slightly exceed 0 and 1
            raise InvalidArgument(f"The probability of {label!r} is {probability!r}; expected a number from 0 to 1.")
    picture = legible(image, largest=largest)
    chart_height = ROW * len(lines)
    height = max(picture.height, chart_height) + 2 * MARGIN
    left = picture.width + 2 * MARGIN
    right = left + PANEL
    canvas = Image.new("RGB", (right + MARGIN, height), PAPER)
    canvas.paste(picture, (MARGIN, (height - picture.height) // 2))
    draw, letters = ImageDraw.Draw(canvas), font(TEXT)
    top = (height - chart_height) // 2
    for i, (label, probability) in enumerate(lines):
        y = top + i * ROW
        value = f"{probability:.1%}"
        value_left = right - letters.getlength(value)
        draw.text((left, y), fit_text(label, value_left - left - MARGIN, letters), INK, letters)
        draw.text((value_left, y), value, INK, letters)
        bar_top, bar_bottom = y + TEXT + 7, y + TEXT + 7 + BAR - 1
        draw.rectangle((left, bar_top, right - 1, bar_bottom), TRACK)
        length = round(PANEL * min(max(probability, 0), 1))
        if length:
            draw.rectangle((left, bar_top, left + length - 1, bar_bottom), FIRST if i == 0 else OTHERS)
    return canvas


def bar_chart(
    title: str, groups: Sequence[tuple[str, Sequence[tuple[str, float]]]], unit: str, *, width: int = 900
) -> Image.Image:
    """Numbers as horizontal bars, all on one scale from zero.

    Args:
        title: text above them.
        groups: a heading, and its bars (label, value of 0 or more); the first of each group is drawn pale, and the
            longest of all has the full width.
        unit: printed after each value.
        width: of the picture, in pixels.

    Returns:
        An RGB image.

    Raises:
        InvalidArgument: there are no bars, or a value is negative or not finite.
    """
    bars = [bar for _, of_group in groups for bar in of_group]
    if not bars:
        raise InvalidArgument("groups has no bars; expected at least one (label, value).")
    for label, value in bars:
        if not (math.isfinite(value) and value >= 0):
            raise InvalidArgument(f"The value of {label!r} is {value!r}; expected a number of at least 0.")
    letters, large = font(TEXT), font(TEXT + 5)
    names = min(max(letters.getlength(label) for label, _ in bars), width / 3)
    texts = [f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}" for _, value in bars]
    left = MARGIN + names + 12
    room = width - left - MARGIN - max(map(letters.getlength, texts)) - 8
    longest = max(value for _, value in bars) or 1.0
    line = TEXT + 11
    height = 2 * MARGIN + 40 + sum(line * len(of_group) + 40 for _, of_group in groups)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), fit_text(title, width - 2 * MARGIN, large), INK, large)
    y, i = MARGIN + 40, 0
    for heading, of_group in groups:
        draw.text((MARGIN, y), fit_text(heading, width - 2 * MARGIN, letters), INK, letters)
        y += line
        for number, (label, value) in enumerate(of_group):
            draw.text((MARGIN, y), fit_text(label, names, letters), INK, letters)
            end = left + max(1, round(room * value / longest))
            draw.rectangle((left, y + 1, end, y + TEXT + 2), FIRST if number else OTHERS)
            draw.text((end + 8, y), texts[i], INK, letters)
            y, i = y + line, i + 1
        y += 40 - line
        y += line - 28
    return canvas.crop((0, 0, width, int(y) + MARGIN))


def contact_sheet(images: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """All ``images`` side by side on one sheet, in reading order.

    Args:
        images: of any sizes and modes; each is centred in a cell of the largest width and height among them.
        columns: cells per row; by default so that the sheet is about square.

    Returns:
        An RGB image; all images are shrunk by the same factor if a side would exceed 4,096 pixels.

    Raises:
        InvalidArgument: there are no images, or ``columns`` is below 1.
    """
    if not images:
        raise InvalidArgument("images is empty; expected at least one.")
    _, height, width = (max(sides) for sides in zip(*map(get_dimensions, images), strict=True))
    n = len(images)
    columns = check_count("columns", columns, 1) if columns is not None else math.ceil(math.sqrt(n * height / width))
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    gap = 8
    scale = min(1, (SHEET - gap) / (columns * (width + gap)), (SHEET - gap) / (rows * (height + gap)))
    cell_width, cell_height = max(1, int(width * scale)), max(1, int(height * scale))
    gap = int(gap * scale)
    sheet = Image.new("RGB", (columns * (cell_width + gap) + gap, rows * (cell_height + gap) + gap), PAPER)
    for i, image in enumerate(images):
        picture = convert_mode(image, "RGB")
        if scale < 1:
            size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        row, column = divmod(i, columns)
        x, y = gap + column * (cell_width + gap), gap + row * (cell_height + gap)
        sheet.paste(picture, (x + (cell_width - picture.width) // 2, y + (cell_height - picture.height) // 2))
    return sheet
