"""Results drawn into pictures."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo.transforms.functional import convert_mode, get_dimensions, pil_to_tensor, to_pil_image

INK, PAPER, TRACK = "#1f2328", "#ffffff", "#e4e7eb"
FIRST, OTHERS = "#1f6feb", "#8c959f"  # bars: the best label, and the rest

SMALLEST, ENLARGED, LARGEST = 240, 320, 640  # longer side: below which a picture is enlarged, to what, shrunk to what
PANEL, MARGIN, ROW, BAR, TEXT = 360, 20, 46, 10, 17  # pixels
SHEET = 4096  # longest side of a contact sheet


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit_text(text: str, width: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``text`` on one line, cut with an ellipsis where it is longer than ``width`` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def legible(image: Image.Image) -> Image.Image:
    """``image`` in RGB at a size to look at: tiny ones enlarged, each pixel a square, huge ones shrunk."""
    image = convert_mode(image, "RGB")
    _, height, width = get_dimensions(image)
    longer = max(height, width)
    if longer < SMALLEST:
        factor = ENLARGED // longer
        return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    if longer > LARGEST:
        size = (max(1, round(width * LARGEST / longer)), max(1, round(height * LARGEST / longer)))
        return image.resize(size, Image.Resampling.LANCZOS)
    return image


def label_image(image: Image.Image, lines: Sequence[tuple[str, float]]) -> Image.Image:
    """The picture, and beside it a bar for each label and its probability.

    The font is the one that Pillow brings: it has no letters beyond ASCII, and draws a box for each.

    Args:
        image: of any size and mode.
        lines: (label, probability from 0 to 1), drawn in this order; the first is highlighted.

    Returns:
        An RGB image, about 1,000 pixels wide at most.

    Raises:
        InvalidArgument: no lines, or a probability that is not between 0 and 1.
    """
    if not lines:
        raise InvalidArgument("lines is empty; expected at least one (label, probability).")
    for label, probability in lines:
        if not -1e-3 <= probability <= 1.001:  # sums of rounded numbers end a little beside 0 and 1
            raise InvalidArgument(f"The probability of {label!r} is {probability!r}; expected a number from 0 to 1.")
    picture = legible(image)
    chart_height = ROW * len(lines)
    height = max(picture.height, chart_height) + 2 * MARGIN
    left = picture.width + 2 * MARGIN
    right = left + PANEL
    canvas = Image.new("RGB", (right + MARGIN, height), PAPER)
    canvas.paste(picture, (MARGIN, (height - picture.height) // 2))
    draw, font = ImageDraw.Draw(canvas), _font(TEXT)
    top = (height - chart_height) // 2
    for i, (label, probability) in enumerate(lines):
        y = top + i * ROW
        value = f"{probability:.1%}"
        value_left = right - font.getlength(value)
        draw.text((left, y), _fit_text(label, value_left - left - MARGIN, font), INK, font)
        draw.text((value_left, y), value, INK, font)
        bar_top, bar_bottom = y + TEXT + 7, y + TEXT + 7 + BAR - 1
        draw.rectangle((left, bar_top, right - 1, bar_bottom), TRACK)
        length = round(PANEL * min(max(probability, 0), 1))
        if length:
            draw.rectangle((left, bar_top, left + length - 1, bar_bottom), FIRST if i == 0 else OTHERS)
    return canvas


def contact_sheet(images: Sequence[Image.Image], columns: int | None = None) -> Image.Image:
    """All ``images`` side by side on one sheet, in reading order.

    Args:
        images: of any sizes and modes; each is centred in a cell of the largest width and height among them.
        columns: cells in a row; by default as many as make the sheet about square.

    Returns:
        An RGB image; everything is shrunk alike where a side would be longer than 4,096 pixels.

    Raises:
        InvalidArgument: no images, or ``columns`` below 1.
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


# ── optical flow ─────────────────────────────────────────────────────────────────────────────────────────────────

# The Middlebury colour wheel: from red by yellow, green, cyan, blue and magenta back to red, in so many steps each.
CORNERS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))
STEPS = (15, 6, 4, 11, 13, 6)


def flow_to_image(flow: Tensor, max_norm: float | None = None) -> Tensor:
    """Optical flow as colours: the hue says where to, the saturation how far.

    White is where nothing moves, black where the flow is unknown: no number, or over 1e9 as in Middlebury's files.

    From `A Database and Evaluation Methodology for Optical Flow <https://vision.middlebury.edu/flow/floweval-ijcv2011.pdf>`_.

    Args:
        flow: floating point [2, H, W] or [N, 2, H, W], in pixels.
        max_norm: the length in pixels that is fully saturated; by default that of the longest vector in ``flow``,
            so that the pictures of a batch can be compared.

    Returns:
        uint8 [3, H, W] or [N, 3, H, W].

    Raises:
        InvalidArgument: another shape or type, or a ``max_norm`` that is not positive.
    """
    vectors = _check_flow(flow).float().movedim(-3, -1)
    known = (vectors.abs() <= 1e9).all(-1, keepdim=True)
    vectors = torch.where(known, vectors, 0)
    length = vectors.norm(dim=-1, keepdim=True)
    if max_norm is None:
        longest = length.max()
    elif max_norm > 0:
        longest = length.new_tensor(max_norm)
    else:
        raise InvalidArgument(f"max_norm is {max_norm!r}; expected a positive number of pixels.")
    u, v = vectors.unbind(-1)
    wheel = _colour_wheel().to(flow.device)
    place = (torch.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    before = place.floor().long()
    hue = torch.lerp(wheel[before], wheel[(before + 1) % len(wheel)], (place - before)[..., None])
    saturation = (length / (longest + torch.finfo(torch.float32).eps)).clamp(max=1)
    colours: Tensor = 255 * (1 - saturation * (1 - hue)) * known
    return colours.floor().to(torch.uint8).movedim(-1, -3)


@functools.cache
def _colour_wheel() -> Tensor:
    """The colours around the wheel: float [55, 3], values in [0, 1]."""
    corners = torch.tensor(CORNERS, dtype=torch.float32)
    sectors = []
    for n, start, end in zip(STEPS, corners, corners.roll(-1, 0), strict=True):
        way = (255 * torch.arange(n) / n).floor() / 255
        sectors.append(start + way[:, None] * (end - start))
    return torch.cat(sectors)


def flow_arrows(image: Image.Image | Tensor, flow: Tensor, step: int = 16) -> Image.Image:
    """The picture with an arrow on every ``step``-th pixel: from there to where the flow says that it goes.

    Args:
        image: PIL image, or tensor [3, H, W], uint8 or float in [0, 1].
        flow: floating point [2, H, W], in pixels.
        step: distance between arrows, in pixels of ``image``.

    Returns:
        An RGB image of the size of :func:`legible`.

    Raises:
        InvalidArgument: a flow of another size than the image, or a ``step`` below 1.
    """
    check_count("step", step, 1)
    image = image if isinstance(image, Image.Image) else to_pil_image(image)
    vectors = _check_flow(flow, image).detach().float().cpu()
    picture = legible(image)
    scale = picture.width / image.width
    draw = ImageDraw.Draw(picture)
    for y in range(step // 2, image.height, step):
        for x in range(step // 2, image.width, step):
            u, v = (scale * n for n in vectors[:, y, x].tolist())
            length = math.hypot(u, v)
            if not 1 <= length < math.inf:  # too short to see, or no number
                continue
            start, end = (scale * (x + 0.5), scale * (y + 0.5)), (scale * (x + 0.5) + u, scale * (y + 0.5) + v)
            barb = min(0.35 * length, 6) / length
            left, right = ((end[0] - barb * (u - side * v), end[1] - barb * (v + side * u)) for side in (-0.6, 0.6))
            for colour, width in ((INK, 3), (PAPER, 1)):  # light on dark can be seen on any picture
                draw.line((start, end), colour, width)
                draw.line((left, end, right), colour, width)
    return picture


def warped_difference(first: Image.Image | Tensor, second: Image.Image | Tensor, flow: Tensor) -> Image.Image:
    """How much the first picture differs from the second brought back along the flow: black where the flow is right.

    What moved behind something cannot be brought back, and shows. What moved out of the frame is black.

    Args:
        first, second: PIL images, or tensors [3, H, W], uint8 or float in [0, 1], of one size.
        flow: from the first to the second, floating point [2, H, W], in pixels.

    Returns:
        An RGB image of their size.

    Raises:
        InvalidArgument: pictures and flow of different sizes.
    """
    pictures = [image if isinstance(image, Image.Image) else to_pil_image(image) for image in (first, second)]
    for image in pictures:
        _check_flow(flow, image)
    a, b = (pil_to_tensor(convert_mode(image, "RGB")).float() for image in pictures)
    _, height, width = a.shape
    u, v = flow.detach().float().cpu()
    x, y = torch.arange(width) + u, torch.arange(height)[:, None] + v
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    back = F.grid_sample(b[None], grid[None], padding_mode="border", align_corners=False)[0]
    seen = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return to_pil_image(((a - back).abs() * seen).round().to(torch.uint8))


def _check_flow(flow: Tensor, image: Image.Image | None = None) -> Tensor:
    """``flow`` if it is one, or a batch of them where there is no ``image``, else of the size of the image."""
    if not flow.is_floating_point():
        raise InvalidArgument(f"The flow is {flow.dtype}; expected floating point, in pixels.")
    if image is not None and list(flow.shape) != [2, image.height, image.width]:
        raise InvalidArgument(
            f"The flow has shape {list(flow.shape)}; expected [2, {image.height}, {image.width}] as of the picture."
        )
    if flow.ndim not in (3, 4) or flow.shape[-3] != 2 or not flow.numel():
        raise InvalidArgument(f"The flow has shape {list(flow.shape)}; expected [2, H, W] or [N, 2, H, W], not empty.")
    return flow


# ── segmentation ─────────────────────────────────────────────────────────────────────────────────────────────────────

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
    draw, font = ImageDraw.Draw(canvas), _font(TEXT)
    top = (height - LEGEND_ROW * len(lines)) // 2
    for i, (name, colour, share) in enumerate(lines):
        y = top + i * LEGEND_ROW
        draw.rectangle((left, y + 4, left + SWATCH - 1, y + 3 + SWATCH), colour if any(colour) else PAPER, OTHERS)
        value = f"{share:.1%}"
        value_left = right - font.getlength(value)
        name_left = left + SWATCH + 10
        draw.text((name_left, y), _fit_text(name, value_left - name_left - 10, font), INK, font)
        draw.text((value_left, y), value, INK, font)
    return canvas
