"""Drawing with the names and arguments of ``torchvision.utils``. :mod:`zoo.draw` has more functions.

Rectangles, masks, dots, lines and grids are pixel-exact with torchvision. Differences: labels use our own font, with
``font_size`` as its size in all cases, and stay inside the picture; default colours are those of
:func:`zoo.draw.class_color` (torchvision's begin with black); rotated outlines have no gaps; of overlapping masks the
later one is on top (torchvision shows black).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.contract import check_count
from zoo.draw import class_color, flow_to_image as flow_to_image, font as bundled_font
from zoo.draw.canvas import RGB, Colors, check_image, ink_on, paint_on, parse_colors
from zoo.draw.detection import check_boxes, check_keypoints, check_skeleton, enclosing
from zoo.draw.segmentation import check_masks, tint
from zoo.errors import InvalidArgument, InvalidKind, ZooWarning
from zoo.transforms.functional import to_pil_image

__all__ = [
    "draw_bounding_boxes",
    "draw_keypoints",
    "draw_segmentation_masks",
    "flow_to_image",
    "make_grid",
    "save_image",
]

FONT_SIZE = 10  # pixels
FILL_OPACITY = 100  # of 255


def draw_bounding_boxes(
    image: Tensor,
    boxes: Tensor,
    labels: Sequence[str | None] | None = None,
    colors: Colors | None = None,
    fill: bool | None = False,
    width: int = 1,
    font: str | None = None,
    font_size: int | None = None,
    label_colors: Colors | None = None,
    label_background_colors: Colors | None = None,
    fill_labels: bool = False,
) -> Tensor:
    """A copy of ``image`` with ``boxes`` drawn in it.

    Args:
        image: [3, H, W] or [1, H, W], uint8 or float in [0, 1].
        boxes: [N, 4], xyxy in pixels. Fractions are truncated; the frame's outer edge passes through both corners. Or
            [N, 8], the four corners of rotated boxes.
        labels: one text per box, or None for a box without label.
        colors: one for all, or one per box: ``"red"``, ``"#ff0000"`` or ``(255, 0, 0)``. By default those of
            :func:`zoo.draw.class_color`, with the same colour for equal labels.
        fill: fill the boxes with their colour, transparently.
        width: of the frames, in pixels.
        font: name or path of a TrueType font; by default the bundled DejaVu Sans.
        font_size: in pixels; 10 by default.
        label_colors: colours of the texts; by default those of the boxes, or black or white on a plate.
        label_background_colors: colours of the plates; by default those of the boxes.
        fill_labels: write the labels on plates.

    Returns:
        [3, H, W], of the dtype of ``image``.

    Raises:
        InvalidArgument: the image, boxes, colours or labels are invalid, or the font is not found.
    """
    rows = check_boxes(boxes, rotated=True)
    n = len(rows)
    if not n:
        _warn_of_nothing("boxes")
    if labels is not None and len(labels) != n:
        raise InvalidArgument(f"There are {n} boxes and {len(labels)} labels; expected one per box.")
    lines = _default_colors(labels, n) if colors is None else parse_colors("colors", colors, n)
    plates = lines
    if label_background_colors is not None:
        plates = parse_colors("label_background_colors", label_background_colors, n)
    inks: list[Any] = [ink_on(plate) for plate in plates] if fill_labels else list(lines)
    if label_colors is not None:
        inks = list(parse_colors("label_colors", label_colors, n))
    letters = _font(font, FONT_SIZE if font_size is None else check_count("font_size", font_size, 1))
    check_count("width", width, 1)

    def paint(canvas: Image.Image) -> None:
        draw = ImageDraw.Draw(canvas, "RGBA" if fill else "RGB")
        shape = draw.rectangle if rows.shape[1] == 4 else draw.polygon
        for box, color in zip(rows.astype(int).tolist(), lines, strict=True):
            shape(box, (*color, FILL_OPACITY) if fill else None, color, width)
        places = enclosing(rows).astype(int).tolist()
        for box, text, ink, plate in zip(places, labels or [None] * n, inks, plates, strict=True):
            if text:
                _write(draw, box, text, letters, ink, plate if fill_labels else None, width)

    return paint_on(_check_tensor(image), paint)


def _warn_of_nothing(what: str) -> None:
    warnings.warn(
        f"There are no {what}, so nothing is drawn; check for this case to silence the warning.", ZooWarning, 3
    )


def _default_colors(labels: Sequence[str | None] | None, n: int) -> list[RGB]:
    """One colour per object of ``n``, or per label, in the order of their first appearance."""
    places: dict[Any, int] = {}
    return [class_color(places.setdefault(label, len(places))) for label in labels or range(n)]


def _font(name: str | None, size: int) -> ImageFont.FreeTypeFont:
    if name is None:
        return bundled_font(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError as e:
        raise InvalidArgument(
            f"font={name!r} cannot be opened ({e}); expected the path of a TrueType font, or None for the bundled one."
        ) from e


def _write(
    draw: ImageDraw.ImageDraw,
    box: Sequence[int],
    text: str,
    letters: ImageFont.FreeTypeFont,
    ink: Any,
    plate: RGB | None,
    width: int,
) -> None:
    """A label in the upper left corner of its box, moved to stay inside the picture."""
    pad = 1 + width
    left, top, right, bottom = draw.textbbox((0, 0), text, letters)
    x = max(0, min(box[0] + pad, draw.im.size[0] - right - 1))
    y = max(0, min(box[1] + pad, draw.im.size[1] - bottom - 1))
    if plate is not None:
        draw.rectangle((x + left - 1, y + top - 1, x + right, y + bottom), plate)
    draw.text((x, y), text, ink, letters)


def draw_segmentation_masks(image: Tensor, masks: Tensor, alpha: float = 0.8, colors: Colors | None = None) -> Tensor:
    """A copy of ``image`` with ``masks`` drawn over it, later ones on top.

    Args:
        image: [3, H, W], uint8 or float in [0, 1]; or [1, H, W], grey.
        masks: bool [N, H, W] or [H, W].
        alpha: opacity of the colours, from 0 to 1.
        colors: one for all, or one per mask; by default those of :func:`zoo.draw.class_color`.

    Returns:
        [3, H, W], of the dtype of ``image``.

    Raises:
        InvalidArgument: masks are not bool or have another size than the image, or another argument is invalid.
    """
    pixels = check_image(_check_tensor(image))
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        what = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise InvalidArgument(f"masks are {what}; expected a bool tensor, such as probabilities > 0.5.")
    found = check_masks(masks, pixels)
    if not len(found):
        _warn_of_nothing("masks")
    if not 0 <= alpha <= 1:
        raise InvalidArgument(f"alpha is {alpha!r}; expected a number from 0 to 1.")
    chosen = _default_colors(None, len(found)) if colors is None else parse_colors("colors", colors, len(found))
    return tint(pixels, found, chosen, alpha)


def draw_keypoints(
    image: Tensor,
    keypoints: Tensor,
    connectivity: Sequence[tuple[int, int]] | None = None,
    colors: str | RGB | None = None,
    radius: int = 2,
    width: int = 3,
    visibility: Tensor | None = None,
) -> Tensor:
    """A copy of ``image`` with ``keypoints`` as dots, and white lines between connected ones.

    Args:
        image: [3, H, W] or [1, H, W], uint8 or float in [0, 1].
        keypoints: [N, K, 2], x and y in pixels, of N objects; fractions are truncated. A third column is the
            visibility.
        connectivity: pairs of keypoints to connect, counted from 0; :data:`zoo.draw.PERSON_SKELETON` for persons.
        colors: colour of all dots; by default those of :func:`zoo.draw.class_color`, one per object.
        radius: of the dots, in pixels.
        width: of the lines, in pixels.
        visibility: [N, K]; keypoints with 0, and lines to them, are not drawn.

    Returns:
        [3, H, W], of the dtype of ``image``.

    Raises:
        InvalidArgument: keypoints or visibility have another shape, a connection names a missing keypoint, or another
            argument is invalid.
    """
    points, visible = check_keypoints(keypoints, visibility)
    n, k = visible.shape
    pairs = check_skeleton("connectivity", connectivity or (), k)
    chosen = _default_colors(None, n) if colors is None else parse_colors("colors", colors, n)
    places = np.where(visible[..., None], points, 0).astype(int)
    check_count("radius", radius, 1)
    check_count("width", width, 1)

    def paint(canvas: Image.Image) -> None:
        draw = ImageDraw.Draw(canvas)
        for at, seen, color in zip(places, visible, chosen, strict=True):
            for x, y in at[seen].tolist():
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), color, color)
            for a, b in pairs:
                if seen[a] and seen[b]:
                    draw.line((*at[a].tolist(), *at[b].tolist()), "white", width)

    return paint_on(_check_tensor(image), paint)


def _check_tensor(image: Tensor) -> Tensor:
    if not isinstance(image, Tensor):
        raise InvalidKind(
            f"The image is {type(image).__name__}; expected a tensor [3, H, W]. zoo.draw takes PIL images too."
        )
    return image


def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """A grid of images of one size, row by row.

    Args:
        tensor: [N, C, H, W], or a list of [C, H, W]; a single image [C, H, W] or [H, W] is returned without a border.
            One channel becomes three.
        nrow: images in a row.
        padding: pixels between the images and around them.
        normalize: scale the values to [0, 1].
        value_range: the values that become 0 and 1, others are clipped; by default the minimum and the maximum.
        scale_each: use the minimum and the maximum of each image separately.
        pad_value: of the pixels between the images.

    Returns:
        [C, rows × (H + padding) + padding, columns × (W + padding) + padding], of the images' dtype.

    Raises:
        InvalidArgument: there are no images, their sizes differ, ``normalize`` is given for integers, or a number is
            too small.
    """
    images = _stack(tensor)
    check_count("nrow", nrow, 1)
    check_count("padding", padding, 0)
    if normalize:
        images = _normalize(images, value_range, scale_each)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    n, channels, height, width = images.shape
    if n == 1:
        return images[0].clone()
    columns = min(nrow, n)
    rows = math.ceil(n / columns)
    cell_height, cell_width = height + padding, width + padding
    grid = images.new_full((channels, rows * cell_height + padding, columns * cell_width + padding), pad_value)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        y, x = row * cell_height + padding, column * cell_width + padding
        grid[:, y : y + height, x : x + width] = image
    return grid


def _stack(given: Tensor | Sequence[Tensor]) -> Tensor:
    """The images of a tensor or a list as one tensor [N, C, H, W]."""
    if not isinstance(given, Tensor):
        shapes = sorted({tuple(image.shape) for image in given if isinstance(image, Tensor)})
        if len(shapes) != 1 or not all(isinstance(image, Tensor) for image in given):
            kinds = f"shapes {', '.join(str([*s]) for s in shapes)}" if shapes else "no tensor"
            raise InvalidArgument(f"The list of images has {kinds}; expected tensors [C, H, W] of one shape.")
        given = torch.stack([image if image.ndim > 2 else image[None] for image in given])
    images = given[(None,) * max(0, 4 - given.ndim)]
    if given.ndim < 2 or images.ndim != 4 or not images.numel():
        raise InvalidArgument(f"tensor has the shape {list(given.shape)}; expected [N, C, H, W], not empty.")
    return images.detach()


def _normalize(images: Tensor, value_range: tuple[float, float] | None, scale_each: bool) -> Tensor:
    if not images.is_floating_point():
        raise InvalidArgument(f"normalize=True scales floating-point images; these are {images.dtype}.")
    if value_range is not None:
        low, high = (torch.as_tensor(float(value)).to(images) for value in value_range)
        if not low < high:
            raise InvalidArgument(f"value_range is {value_range!r}; expected (minimum, maximum).")
    elif scale_each:
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    else:
        low, high = images.aminmax()
    return (images.clamp(low, high) - low) / (high - low).clamp(min=1e-5)


def save_image(
    tensor: Tensor | Sequence[Tensor],
    fp: str | Path | BinaryIO,
    format: str | None = None,  # noqa: A002  torchvision's name
    **kwargs: Any,
) -> None:
    """Write an image, or a grid of images as by :func:`make_grid`, to a file.

    Args:
        tensor: as for :func:`make_grid`: uint8, or float clipped to [0, 1].
        fp: path, or a file opened for writing.
        format: such as ``"png"``; by default from the path's suffix.
        **kwargs: further arguments of :func:`make_grid`.

    Raises:
        InvalidArgument: as for :func:`make_grid`; the format is missing or unknown.
    """
    grid = make_grid(tensor, **kwargs)
    if grid.is_floating_point():
        grid = (grid.float() * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    try:
        to_pil_image(grid).save(fp, format=format)
    except (KeyError, ValueError) as e:
        raise InvalidArgument(f"fp is {fp!r} and format {format!r}; these do not name a picture format ({e}).") from e


def _log_api_usage_once(obj: Any) -> None:
    """For code copied from torchvision's models, which call this when they are built; does nothing."""


def _make_ntuple(x: Any, n: int) -> tuple[Any, ...]:
    """``x`` as a tuple; a single value ``n`` times."""
    return tuple(x) if isinstance(x, Iterable) else (x,) * n
