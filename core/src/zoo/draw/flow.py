"""Optical flow as colours, as arrows, and as what it leaves unexplained."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.contract import check_count
from zoo.draw.canvas import INK, PAPER, legible
from zoo.errors import InvalidArgument
from zoo.transforms.functional import convert_mode, pil_to_tensor, to_pil_image

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
