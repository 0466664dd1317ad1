"""Tinted pictures: the class of every pixel, or the masks of objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor

from zoo.contract import check_count
from zoo.draw.canvas import (
    INK,
    LARGEST,
    PAPER,
    RGB,
    Colors,
    check_image,
    class_color,
    class_palette,
    legible,
    line_width,
    parse_colors,
)
from zoo.draw.legends import LegendItem, with_legend
from zoo.draw.regions import blend, paint_edges, put, slide
from zoo.errors import InvalidArgument
from zoo.transforms.functional import Picture, convert_mode, get_dimensions, pil_to_tensor, to_pil_image


def voc_palette(n: int = 256) -> list[tuple[int, int, int]]:
    """Pascal VOC's colours: black, maroon, green, olive, navy, …; neighbouring classes differ as much as possible.

    The three lowest bits of a class are the highest bits of red, green and blue, the next three bits the next, and so
    on.
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
    palette: Sequence[tuple[int, int, int]] | None = None,
    *,
    opacity: float = 0.6,
    largest: int | None = LARGEST,
) -> Image.Image:
    """The picture in grey, tinted by class, with white lines between classes, and beside it a legend of its classes
    with their shares of the picture.

    Classes whose colour is black (the background) are not tinted and have a hollow square in the legend.

    Args:
        image: of any size and mode.
        class_map: integers [H, W], the class of every pixel; of the image's size.
        names: names of the classes, in order.
        palette: red, green and blue of the classes, 0 to 255; at least as many as names. By default
            :func:`class_palette`.
        opacity: of the tint, from 0 to 1.
        largest: the longer side, in pixels, that a picture is shrunk to; None does not shrink.

    Returns:
        An RGB image; small pictures are enlarged and large ones shrunk, as by :func:`legible`.

    Raises:
        InvalidArgument: the class map has another size than the image, a class has no name, or a name no colour.
    """
    classes = np.asarray(class_map)
    if classes.shape != (image.height, image.width):
        raise InvalidArgument(
            f"class_map has shape {list(classes.shape)}; expected [{image.height}, {image.width}], like the image."
        )
    if palette is None:
        palette = class_palette(names)
    low, high = int(classes.min()), int(classes.max())
    if not 0 <= low <= high < len(names) <= len(palette):
        raise InvalidArgument(
            f"class_map has classes from {low} to {high}, but there are {len(names)} names and {len(palette)} colours. "
            "Every class needs a name, every name a colour."
        )
    counts = np.bincount(classes.ravel(), minlength=high + 1)
    present = counts.nonzero()[0]
    picture = legible(image, largest=largest)
    shown = classes
    if picture.size != image.size:
        rows = np.arange(picture.height) * image.height // picture.height
        columns = np.arange(picture.width) * image.width // picture.width
        shown = classes[rows][:, columns]
    # The picture is grey under the tint: its colours would change those of the classes.
    tinted = [c for c in present.tolist() if any(palette[c])]
    place = np.zeros(high + 1, np.int16 if high < 2**15 - 1 else np.int32)
    place[tinted] = range(1, len(tinted) + 1)
    owner = place[shown]
    grey = picture.convert("L").convert("RGB")
    grey.paste(picture, mask=Image.fromarray((owner == 0).astype(np.uint8) * 255))
    pixels = blend(pil_to_tensor(grey), torch.from_numpy(owner), [palette[c] for c in tinted], opacity)
    _paint_borders(pixels, shown, max(1, line_width(picture.size) // 2))

    order = present[np.argsort(-counts[present], kind="stable")].tolist()
    items = [LegendItem(names[c].strip("_"), palette[c], f"{counts[c] / classes.size:.1%}") for c in order]
    return with_legend(to_pil_image(pixels), items)


def _paint_borders(pixels: Tensor, classes: np.ndarray[Any, Any], line: int) -> None:
    """White lines between classes, with dark edges in large pictures."""
    edge = np.zeros(classes.shape, bool)
    edge[:, 1:] |= classes[:, 1:] != classes[:, :-1]
    edge[1:] |= classes[1:] != classes[:-1]
    if line > 1:
        put(pixels, slide(edge, line, np.maximum), ImageColor.getrgb(INK))
        edge = slide(edge, line // 2, np.maximum)
    put(pixels, edge, ImageColor.getrgb(PAPER))


def segmentation_masks(
    image: Picture,
    masks: Tensor,
    *,
    colors: Colors | None = None,
    opacity: float = 0.5,
    outline: bool = True,
) -> Picture:
    """The picture with each object tinted in its own colour, and an edge of that colour with a dark line around it.

    Args:
        image: PIL image, or tensor [1 or 3, H, W], uint8 or float in [0, 1].
        masks: of the picture's size, bool [N, H, W]; or probabilities, [N, H, W] or [N, 1, H, W] as Mask R-CNN returns
            them, where 0.5 and more is the object.
        colors: colours of the objects; by default :func:`class_color`, one after another.
        opacity: of the tint, from 0 to 1.
        outline: draw the edge of each mask in its full colour, and around it a dark line.

    Returns:
        A picture in RGB of the type of ``image``: a PIL image, or a tensor of its dtype.

    Raises:
        InvalidArgument: ``image`` is not a picture, masks have another size or type, there are too few colours, or the
            opacity is out of range.
    """
    if not isinstance(image, Tensor):
        get_dimensions(image)  # raises if it is not a picture
        pixels = pil_to_tensor(convert_mode(image, "RGB"))
        return to_pil_image(segmentation_masks(pixels, masks, colors=colors, opacity=opacity, outline=outline))
    pixels = check_image(image)
    found = check_masks(masks, pixels)
    owner = torch.full(pixels.shape[1:], -1, dtype=torch.int32, device=pixels.device)
    for i in reversed(range(len(found))):  # the first is on top
        owner.masked_fill_(found[i], i)
    return segment_map(pixels, owner, len(found), colors=colors, opacity=opacity, outline=outline)


def segment_map(
    image: Picture,
    owner: Tensor,
    n: int,
    *,
    colors: Colors | None = None,
    opacity: float = 0.5,
    outline: bool = True,
) -> Picture:
    """:func:`segmentation_masks` for masks that do not overlap, given as one plane.

    Args:
        image: PIL image, or tensor [1 or 3, H, W], uint8 or float in [0, 1].
        owner: integers [H, W] of the picture's size: the index of a pixel's object, or -1.
        n: number of objects; the first are in front.
        colors, opacity, outline: as for :func:`segmentation_masks`.

    Returns:
        A picture in RGB of the type of ``image``: a PIL image, or a tensor of its dtype.

    Raises:
        InvalidArgument: ``image`` is not a picture, the plane has another size or other numbers, there are too few
            colours, or the opacity is out of range.
    """
    if not isinstance(image, Tensor):
        get_dimensions(image)  # raises if it is not a picture
        pixels = pil_to_tensor(convert_mode(image, "RGB"))
        return to_pil_image(segment_map(pixels, owner, n, colors=colors, opacity=opacity, outline=outline))
    pixels = check_image(image)
    height, width = pixels.shape[1:]
    if owner.shape != (height, width) or (owner.numel() and not -1 <= owner.min() <= owner.max() < n):
        raise InvalidArgument(
            f"owner has the shape {list(owner.shape)}; expected [{height}, {width}] with numbers from -1 to {n - 1}."
        )
    if not 0 <= opacity <= 1:
        raise InvalidArgument(f"opacity is {opacity!r}; expected a number from 0 to 1.")
    chosen = [class_color(i) for i in range(n)] if colors is None else parse_colors("colors", colors, n)
    tinted = blend(pixels, owner + 1, chosen, opacity)
    if outline and n:
        paint_edges(tinted, owner.cpu().numpy(), chosen, max(1, round(0.75 * line_width((height, width)))))
    return tinted


def check_masks(masks: Tensor, image: Tensor) -> Tensor:
    """``masks``, checked, as bool [N, H, W] on the device of ``image``."""
    if not isinstance(masks, Tensor) or not (masks.dtype == torch.bool or masks.is_floating_point()):
        what = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise InvalidArgument(f"masks are {what}; expected a tensor, bool, or floating point from 0 to 1.")
    found = masks[:, 0] if masks.ndim == 4 and masks.shape[1] == 1 else masks[None] if masks.ndim == 2 else masks
    if found.ndim != 3 or found.shape[1:] != image.shape[1:]:
        height, width = image.shape[1:]
        raise InvalidArgument(
            f"masks have the shape {list(masks.shape)}; expected [N, {height}, {width}] like the picture."
        )
    found = found.detach().to(image.device)
    return found if found.dtype == torch.bool else found >= 0.5


def tint(pixels: Tensor, masks: Tensor, colors: Sequence[RGB], opacity: float) -> Tensor:
    """``pixels`` [3, H, W] tinted by the colours of ``masks``, bool [N, H, W], later ones on top; bit-exact with
    torchvision, which mixes pixels outside all masks with themselves."""
    owner = torch.zeros(pixels.shape[1:], dtype=torch.int32, device=pixels.device)
    for i, mask in enumerate(masks, 1):
        owner.masked_fill_(mask, i)
    return blend(pixels, owner, colors, opacity, everywhere=len(masks) > 0)
