"""Tints over the picture: the class of every pixel, or the masks of objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.contract import check_count
from zoo.draw.canvas import (
    INK,
    MARGIN,
    OTHERS,
    PAPER,
    RGB,
    TEXT,
    Colors,
    check_image,
    class_color,
    fit_text,
    font,
    legible,
    line_width,
    parse_colors,
)
from zoo.errors import InvalidArgument
from zoo.transforms.functional import Picture, convert_mode, get_dimensions, pil_to_tensor, to_pil_image

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


def segmentation_masks(
    image: Picture,
    masks: Tensor,
    *,
    colors: Colors | None = None,
    opacity: float = 0.5,
    outline: bool = True,
) -> Picture:
    """The picture with each object tinted in a colour of its own and outlined.

    Args:
        image: PIL image, or tensor [1 or 3, H, W], uint8 or float in [0, 1].
        masks: of the picture's size, bool [N, H, W]; or probabilities, [N, H, W] or [N, 1, H, W] as Mask R-CNN gives
            them, of which 0.5 and more is the object.
        colors: of the objects; by default :func:`class_color`, one after another.
        opacity: of the tint, from 0 to 1.
        outline: draw the edge of each mask in its full colour.

    Returns:
        A picture in RGB of the kind of ``image``: PIL image, or tensor of its dtype.

    Raises:
        InvalidArgument: no picture, masks of another size or kind, too few colours, another opacity.
    """
    if not isinstance(image, Tensor):
        get_dimensions(image)  # of a picture
        pixels = pil_to_tensor(convert_mode(image, "RGB"))
        return to_pil_image(segmentation_masks(pixels, masks, colors=colors, opacity=opacity, outline=outline))
    pixels = check_image(image)
    found = check_masks(masks, pixels)
    if not 0 <= opacity <= 1:
        raise InvalidArgument(f"opacity is {opacity!r}; expected a number from 0 to 1.")
    chosen = (
        [class_color(i) for i in range(len(found))] if colors is None else parse_colors("colors", colors, len(found))
    )
    height, width = pixels.shape[1:]
    edge = max(1, line_width((height, width)) // 2) if outline else 0
    return tint(pixels, found.flip(0), chosen[::-1], opacity, edge)


def check_masks(masks: Tensor, image: Tensor) -> Tensor:
    """``masks`` as bool [N, H, W] on the device of ``image``, if they are masks of its size."""
    if not isinstance(masks, Tensor) or not (masks.dtype == torch.bool or masks.is_floating_point()):
        what = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise InvalidArgument(f"masks are {what}; expected a tensor, bool, or floating point from 0 to 1.")
    found = masks[:, 0] if masks.ndim == 4 and masks.shape[1] == 1 else masks[None] if masks.ndim == 2 else masks
    if found.ndim != 3 or found.shape[1:] != image.shape[1:]:
        height, width = image.shape[1:]
        raise InvalidArgument(
            f"masks have the shape {list(masks.shape)}; expected [N, {height}, {width}] as of the picture."
        )
    found = found.detach().to(image.device)
    return found if found.dtype == torch.bool else found >= 0.5


def tint(pixels: Tensor, masks: Tensor, colors: Sequence[RGB], opacity: float, edge: int = 0) -> Tensor:
    """``pixels`` [3, H, W] under the colours of ``masks``, bool [N, H, W], the later ones over the earlier.

    Args:
        edge: so many pixels along the inside of what is seen of a mask have its full colour.
    """
    base = pixels.float() if pixels.dtype in (torch.uint8, torch.float16, torch.bfloat16) else pixels
    owner = torch.zeros_like(base[0])  # 0 for nobody, else 1 + the place in the list
    for i, mask in enumerate(masks, 1):
        owner.masked_fill_(mask, i)
    table = torch.tensor([(0, 0, 0), *colors]).to(base) / (1 if pixels.dtype == torch.uint8 else 255)
    layer = table[owner.long()].movedim(-1, 0)
    tinted = base * (1 - opacity) + layer * opacity
    if edge:
        around = torch.stack([owner, -owner]).to(torch.float32)[:, None]  # the greatest and the least owner nearby
        most, least = F.max_pool2d(around, 2 * edge + 1, stride=1, padding=edge)[:, 0]
        tinted = torch.where(most != -least, layer, tinted)
    return torch.where(owner > 0, tinted, base).to(pixels.dtype)
