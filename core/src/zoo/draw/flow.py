"""Optical flow as colours, as arrows, and its errors as colours."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageStat
from torch import Tensor

from zoo.contract import check_count
from zoo.draw.canvas import INK, LARGEST, PAPER, edge_width, font, legible, line_width
from zoo.errors import InvalidArgument
from zoo.transforms.functional import convert_mode, pil_to_tensor, to_pil_image

# The Middlebury colour wheel: steps from red through yellow, green, cyan, blue and magenta back to red.
CORNERS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1))
STEPS = (15, 6, 4, 11, 13, 6)


def flow_to_image(flow: Tensor, max_norm: float | None = None) -> Tensor:
    """Optical flow as colours: the hue is the direction, the saturation the length.

    White means zero motion, black unknown flow: NaN, or over 1e9 as in Middlebury's files.

    From `A Database and Evaluation Methodology for Optical Flow
    <https://vision.middlebury.edu/flow/floweval-ijcv2011.pdf>`_.

    Args:
        flow: floating point [2, H, W] or [N, 2, H, W], in pixels.
        max_norm: the length in pixels of full saturation; by default that of the longest vector in ``flow``, so that
            the pictures of a batch are comparable.

    Returns:
        uint8 [3, H, W] or [N, 3, H, W].

    Raises:
        InvalidArgument: ``flow`` has another shape or type, or ``max_norm`` is not positive.
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


def flow_arrows(
    image: Image.Image | Tensor, flow: Tensor, step: int = 16, *, largest: int | None = LARGEST
) -> Image.Image:
    """The picture with an arrow at every ``step``-th pixel to the place where it moves.

    Args:
        image: PIL image, or tensor [3, H, W], uint8 or float in [0, 1].
        flow: floating point [2, H, W], in pixels.
        step: distance between arrows, in pixels of ``image``.
        largest: the longer side, in pixels, that a picture is shrunk to; None does not shrink.

    Returns:
        An RGB image of the size of :func:`legible`.

    Raises:
        InvalidArgument: the flow has another size than the image, or ``step`` is below 1.
    """
    check_count("step", step, 1)
    image = image if isinstance(image, Image.Image) else to_pil_image(image)
    vectors = _check_flow(flow, image).detach().float().cpu()
    picture = legible(image, largest=largest)
    picture = picture.copy() if picture is image else picture
    scale = picture.width / image.width
    draw = ImageDraw.Draw(picture)
    line = line_width(picture.size)
    thin, wide = max(1, line // 2 + 1), max(1, line // 2 + 1) + 2 * edge_width(line)
    for y in range(step // 2, image.height, step):
        for x in range(step // 2, image.width, step):
            u, v = (scale * n for n in vectors[:, y, x].tolist())
            length = math.hypot(u, v)
            if not 1 <= length < math.inf:  # too short to see, or not finite
                continue
            start, end = (scale * (x + 0.5), scale * (y + 0.5)), (scale * (x + 0.5) + u, scale * (y + 0.5) + v)
            barb = min(0.35 * length, 2 + 4 * thin) / length
            left, right = ((end[0] - barb * (u - side * v), end[1] - barb * (v + side * u)) for side in (-0.6, 0.6))
            for colour, width in ((INK, wide), (PAPER, thin)):  # light on dark is visible on any picture
                draw.line((start, end), colour, width)
                draw.line((left, end, right), colour, width)
    return picture


def flow_wheel(size: int) -> Image.Image:
    """The colours of :func:`flow_to_image` by direction: a disc, white in the middle, on a transparent background.

    Args:
        size: height and width, in pixels.

    Returns:
        An RGBA image.
    """
    check_count("size", size, 2)
    place = torch.linspace(-1, 1, size)
    flow = torch.stack(torch.meshgrid(place, place, indexing="xy"))
    colours = to_pil_image(flow_to_image(flow, 1.0))
    disc = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(disc).ellipse((0, 0, 4 * size - 1, 4 * size - 1), 255)
    colours.putalpha(disc.resize((size, size), Image.Resampling.LANCZOS))
    return colours


def with_wheel(picture: Image.Image, length: float) -> Image.Image:
    """``picture``, a flow in colours, with the colour wheel in the corner where it hides least motion, and below it the
    length in pixels of full saturation."""
    canvas = convert_mode(picture, "RGB").copy()
    side = round(min(0.28 * min(canvas.size), 50 + 0.11 * min(canvas.size)))
    letters = font(max(9, side // 6))
    text = f"{length:.1f} px" if length < 99.95 else f"{length:.0f} px"
    pad = max(2, side // 16)
    height, width = side + sum(letters.getmetrics()) + 2 * pad, max(side, round(letters.getlength(text))) + 2 * pad
    if min(canvas.size) < 80:
        return canvas
    corners = [(x, y) for y in (canvas.height - height - pad, pad) for x in (canvas.width - width - pad, pad)]
    # White means zero motion: the lightest corner has the least.
    x, y = max(corners, key=lambda at: ImageStat.Stat(canvas.crop((*at, at[0] + width, at[1] + height))).sum[1])
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle(
        (x, y, x + width - 1, y + height - 1), 2 * pad, PAPER, INK, edge_width(line_width(canvas.size))
    )
    wheel = flow_wheel(side)
    canvas.paste(wheel, (x + (width - side) // 2, y + pad), wheel)
    draw.text((x + width / 2, y + side + pad + 1), text, INK, letters, anchor="ma")
    return canvas


ERRORS = ((0, 0, 0), (75, 15, 105), (185, 50, 85), (245, 130, 20), (252, 255, 164))  # from 0 on, increasingly light


def error_map(errors: Tensor, most: float) -> Image.Image:
    """Errors [H, W] as colours: from black for 0 through purple and orange to pale yellow for ``most`` and more.

    Raises:
        InvalidArgument: ``errors`` is not floating point [H, W], or ``most`` is not positive.
    """
    if errors.ndim != 2 or not errors.is_floating_point() or not errors.numel():
        raise InvalidArgument(f"errors are {errors.dtype} {list(errors.shape)}; expected floating point [H, W].")
    if not most > 0:
        raise InvalidArgument(f"most is {most!r}; expected a positive number.")
    share = (errors.detach().float().cpu() / most).nan_to_num(1).clamp(0, 1).numpy()
    at, table = share * (len(ERRORS) - 1), np.array(ERRORS)
    planes = [np.interp(at, range(len(ERRORS)), table[:, c]) for c in range(3)]
    return Image.fromarray(np.stack(planes, -1).round().astype(np.uint8))


def warped_difference(first: Image.Image | Tensor, second: Image.Image | Tensor, flow: Tensor) -> Image.Image:
    """The difference between the first picture and the second one warped by the flow: black where the flow is right.

    Occluded pixels cannot be warped back, and show as differences. Pixels that moved out of the frame are black.

    Args:
        first, second: PIL images, or tensors [3, H, W], uint8 or float in [0, 1], of one size.
        flow: from the first to the second, floating point [2, H, W], in pixels.

    Returns:
        An RGB image of their size.

    Raises:
        InvalidArgument: pictures and flow have different sizes.
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
    """``flow``, checked: a flow of the image's size, or without ``image`` a flow or a batch."""
    if not flow.is_floating_point():
        raise InvalidArgument(f"The flow is {flow.dtype}; expected floating point, in pixels.")
    if image is not None and list(flow.shape) != [2, image.height, image.width]:
        raise InvalidArgument(
            f"The flow has shape {list(flow.shape)}; expected [2, {image.height}, {image.width}] like the picture."
        )
    if flow.ndim not in (3, 4) or flow.shape[-3] != 2 or not flow.numel():
        raise InvalidArgument(f"The flow has shape {list(flow.shape)}; expected [2, H, W] or [N, 2, H, W], not empty.")
    return flow
