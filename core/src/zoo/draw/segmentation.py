"""The class of every pixel, as a tint over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.contract import check_count
from zoo.draw.canvas import INK, MARGIN, OTHERS, PAPER, TEXT, fit_text, font, legible
from zoo.errors import InvalidArgument

LEGEND, SWATCH, LEGEND_ROW, LEGEND_ROWS = 260, 18, 30, 16  # pixels; classes named before the rest is summed up


def voc_palette(n: int = 256) -> list[tuple[int, int, int]]:
    """Pascal VOC's colours: black, maroon, green, olive, navy, …; neighbours differ as much as they can.

    The three lowest bits of a class are the highest of red, green and blue, the next three the next, and so on.
    """
    colours = []
    for c in range(check_count("n", n)):
        red, green, blue = (sum((c >> 3 * i + channel & 1) << 7 - i for i in range(8)) for channel in range(3))
        colours.append((red, green, blue))
    return colours


def segmentation_overlay(
    image: Image.Image,
    class_map: Tensor | np.ndarray[Any, Any],
    names: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    *,
    opacity: float = 0.6,
) -> Image.Image:
    """The picture in grey tinted by class, with white lines where one class meets another, and beside it a legend.

    Classes whose colour is black (the background) are left as they are and have a hollow square in the legend.

    Args:
        image: of any size and mode.
        class_map: integers [H, W], the class of every pixel; of the image's size.
        names: of the classes, in order.
        palette: red, green and blue of the classes, 0 to 255; no fewer than names.
        opacity: of the tint, from 0 to 1.

    Returns:
        An RGB image; small pictures are enlarged and large ones shrunk, as by :func:`legible`.

    Raises:
        InvalidArgument: a class map of another size than the image, a class without a name, a name without a colour.
    """
    classes = np.asarray(class_map)
    if classes.shape != (image.height, image.width):
        raise InvalidArgument(
            f"class_map has shape {list(classes.shape)}; expected [{image.height}, {image.width}], as the image."
        )
    present, counts = np.unique(classes, return_counts=True)
    if not 0 <= present[0] <= present[-1] < len(names) <= len(palette):
        raise InvalidArgument(
            f"class_map has classes from {present[0]} to {present[-1]}; there are {len(names)} names and "
            f"{len(palette)} colours. Every class needs a name, every name a colour."
        )
    picture = legible(image)
    rows = np.arange(picture.height) * image.height // picture.height
    columns = np.arange(picture.width) * image.width // picture.width
    shown = classes[rows][:, columns]
    colours = np.array(palette, np.float32)
    tint = opacity * np.any(colours, axis=1, keepdims=True)[shown]
    # Under the tint the picture is grey: its own colours would mix with the class's into a third.
    grey = np.asarray(picture.convert("L"), np.float32)[..., None]
    pixels = np.where(tint > 0, grey * (1 - tint) + colours[shown] * tint, np.asarray(picture, np.float32))
    edge = np.zeros(shown.shape, bool)
    edge[:, 1:] |= shown[:, 1:] != shown[:, :-1]
    edge[1:] |= shown[1:] != shown[:-1]
    pixels[edge] = 255

    order = np.argsort(-counts, kind="stable")
    lines = [(names[present[i]], palette[present[i]], counts[i] / classes.size) for i in order[:LEGEND_ROWS]]
    if len(order) > LEGEND_ROWS:
        rest = order[LEGEND_ROWS:]
        lines.append((f"{len(rest)} more", (0, 0, 0), counts[rest].sum() / classes.size))
    height = max(picture.height, LEGEND_ROW * len(lines)) + 2 * MARGIN
    left = picture.width + 2 * MARGIN
    right = left + LEGEND
    canvas = Image.new("RGB", (right + MARGIN, height), PAPER)
    canvas.paste(Image.fromarray(np.rint(pixels).astype(np.uint8)), (MARGIN, (height - picture.height) // 2))
    draw, letters = ImageDraw.Draw(canvas), font(TEXT)
    top = (height - LEGEND_ROW * len(lines)) // 2
    for i, (name, colour, share) in enumerate(lines):
        y = top + i * LEGEND_ROW
        draw.rectangle((left, y + 4, left + SWATCH - 1, y + 3 + SWATCH), colour if any(colour) else PAPER, OTHERS)
        value = f"{share:.1%}"
        value_left = right - letters.getlength(value)
        name_left = left + SWATCH + 10
        draw.text((name_left, y), fit_text(name, value_left - name_left - 10, letters), INK, letters)
        draw.text((value_left, y), value, INK, letters)
    return canvas
