"""What all drawing shares: a font, colours, sizes to look at, and the way from any picture to a canvas and back."""

from __future__ import annotations

import functools
import importlib.resources
import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image, ImageColor, ImageFont
from torch import Tensor

from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo.transforms.functional import Picture, convert_mode, get_dimensions, pil_to_tensor, to_pil_image

RGB = tuple[int, int, int]
Colors = str | RGB | Sequence[str | RGB]
"""One colour for all, or one for each: ``"red"``, ``"#ff0000"`` or ``(255, 0, 0)``."""

INK, PAPER = "#1f2328", "#ffffff"
FIRST, OTHERS = "#1f6feb", "#8c959f"  # the best label, and the rest
MARGIN, TEXT = 20, 17  # pixels
LINE = 320  # so many pixels of the longer side make a line one pixel wider
SMALLEST, ENLARGED, LARGEST = 240, 320, 640  # longer side: below which a picture is enlarged, to what, shrunk to what


def line_width(size: tuple[int, int]) -> int:
    """The width of lines, in pixels, for a picture of ``size``."""
    return max(1, round(max(size) / LINE))


@functools.lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, ``size`` pixels high: Latin, Greek, Cyrillic, punctuation, arrows. Other letters are boxes."""
    file = importlib.resources.files(__package__) / "fonts/DejaVuSans.ttf"
    # The basic layout is the one that every Pillow has, so a picture is the same everywhere.
    return ImageFont.truetype(
        io.BytesIO(file.read_bytes()), check_count("size", size, 1), layout_engine=ImageFont.Layout.BASIC
    )


def fit_text(text: str, width: float, letters: ImageFont.FreeTypeFont) -> str:
    """``text`` on one line, cut with an ellipsis where it is longer than ``width`` pixels."""
    text = " ".join(text.split())
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def legible(
    image: Image.Image, *, smallest: int = SMALLEST, enlarged: int = ENLARGED, largest: int = LARGEST
) -> Image.Image:
    """``image`` in RGB at a size to look at: tiny ones enlarged, each pixel a square, huge ones shrunk.

    Args:
        image: of any size and mode.
        smallest: a picture whose longer side has fewer pixels is enlarged,
        enlarged: as often as its longer side goes into this.
        largest: the longer side, in pixels, that a picture is shrunk to.
    """
    image = convert_mode(image, "RGB")
    _, height, width = get_dimensions(image)
    longer = max(height, width)
    if longer < smallest:
        factor = enlarged // longer
        return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    if longer > largest:
        size = (max(1, round(width * largest / longer)), max(1, round(height * largest / longer)))
        return image.resize(size, Image.Resampling.LANCZOS)
    return image


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────

# Neither dark nor pale nor grey, and far apart: each is the one that is farthest in CIELAB from those before it, with
# the distance to its three predecessors counted a third.
PALETTE = """
    1e69ff 00ff00 ff0000 5af0f0 a500ff f0e100 ff1e5a 00b4f0 d25aff 78c300 c34b2d 0078c3 ff00d2 2dff87 ff8700 a5b4ff
    ff0096 1ea54b ffa569 7878e1 f000ff 3cf0b4 a56900 ffb4f0 784bff 00a587 f0b42d c33c69 0fd21e 874bd2 f0d287 e14b00
    87f000 c35ab4 3c783c a55a3c c3f01e d287ff 78b478 ff7878 ffe15a 875aa5 1ea50f ff3c3c b4964b c30fa5 87f069 3c96ff
    968700 f087a5 a5f0b4 ff78ff b4b400 e10069 e1782d d2a5ff b4e178 2dd2f0 d23c4b ff4bc3 5a8700 4be1c3 c35a5a ff96f0
    c3c35a b40fe1 00d278 b45a87 78782d ff694b 87f096 c32d87 9687d2 96692d c3e14b ff5aa5 00b478 e18769 00ff5a 964bb4
    87a54b d28700 5aa5f0 d21ed2 78c34b f0b45a 0069e1 b478b4 1e870f ff5a87 c3783c 8778ff 96b42d f087c3 00c3c3 5a69b4
""".split()


def class_color(index: int) -> RGB:
    """The colour of a class, the same in every picture: red, green, blue, 0 to 255.

    96 colours follow one another, chosen so that all differ, and those of neighbouring classes most.
    """
    red, green, blue = bytes.fromhex(PALETTE[index % len(PALETTE)])
    return red, green, blue


def ink_on(color: RGB) -> str:
    """Black or white, whichever stands out more against ``color``, by their contrast ratio in WCAG."""
    channels = [c / 3294 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else PAPER


def parse_colors(name: str, colors: Any, n: int) -> list[RGB]:
    """The colours of ``n`` things, from one for all or a list of at least as many.

    Raises:
        InvalidArgument: fewer than ``n``, or what is no colour; the message calls them ``name``.
    """
    if isinstance(colors, str) or _is_rgb(colors):
        return [_parse_color(name, colors)] * n
    if not isinstance(colors, Sequence):
        raise InvalidArgument(f"{name} is {colors!r}; expected a colour ('red', '#ff0000', (255, 0, 0)) or a list.")
    if len(colors) < n:
        raise InvalidArgument(f"{name} has {len(colors)} colours for {n} objects; expected one for all, or one each.")
    return [_parse_color(f"{name}[{i}]", color) for i, color in enumerate(colors[:n])]


def _is_rgb(color: object) -> bool:
    return isinstance(color, tuple | list) and len(color) == 3 and all(type(channel) is int for channel in color)


def _parse_color(name: str, color: Any) -> RGB:
    try:
        if isinstance(color, str):
            red, green, blue = ImageColor.getrgb(color)[:3]
            return red, green, blue
        if _is_rgb(color) and all(0 <= channel <= 255 for channel in color):
            return color[0], color[1], color[2]
    except ValueError:
        pass
    raise InvalidArgument(
        f"{name} is {color!r}; expected the name of a colour, '#rrggbb', or (red, green, blue) from 0 to 255."
    )


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────


def paint_on(image: Picture, paint: Callable[[Image.Image], None]) -> Picture:
    """What ``image`` is after ``paint`` has worked on a copy of it in RGB.

    Args:
        image: PIL image of any mode, or tensor [1 or 3, H, W], uint8 or floating point in [0, 1].
        paint: draws on the PIL image that it gets.

    Returns:
        A PIL image in RGB, or a tensor [3, H, W] of the dtype and on the device of ``image``. What is not painted on
        keeps its value to the last bit.

    Raises:
        InvalidArgument: no picture, or a tensor of another shape, dtype or range.
    """
    if not isinstance(image, Tensor):
        get_dimensions(image)  # of a picture
        converted = convert_mode(image, "RGB")
        canvas = image.copy() if converted is image else converted
        paint(canvas)
        return canvas
    pixels = check_image(image)
    canvas = convert_mode(to_pil_image(pixels), "RGB")
    before = pil_to_tensor(canvas)
    paint(canvas)
    after = pil_to_tensor(canvas)
    if image.dtype == torch.uint8:
        return after.to(image.device)
    changed = (after != before).to(image.device)
    # whole pixels: a channel whose rounded value stays the same is drawn over too
    return torch.where(changed.any(0, keepdim=True), (after / 255).to(pixels), pixels)


def check_image(image: Tensor) -> Tensor:
    """``image`` [3, H, W], made from [1 or 3, H, W], if it is one that can be drawn on; else InvalidArgument."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        one = " Draw on each image of a batch by itself." if image.ndim == 4 else ""
        raise InvalidArgument(f"The image has shape {list(image.shape)}; expected [3, H, W] or [1, H, W].{one}")
    get_dimensions(image)  # not empty
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise InvalidArgument(f"The image is {image.dtype}; expected uint8, or floating point from 0 to 1.")
    if image.is_floating_point():
        low, high = (float(value) for value in image.detach().aminmax())
        if not -0.5 <= low <= high <= 1.5:  # resizing overshoots a little; normalised or 0–255 is another matter
            raise InvalidArgument(
                f"The image is {image.dtype} with values from {low:.4g} to {high:.4g}; expected 0 to 1. Draw on the "
                "picture as it was before it was normalised, or convert one of 0 to 255 with .to(torch.uint8)."
            )
    return image.detach().expand(3, -1, -1)
