"""Shared by all drawing: the font, colours, sizes for viewing, and conversion of pictures to a canvas and back."""

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
"""One colour for all, or one per object: ``"red"``, ``"#ff0000"`` or ``(255, 0, 0)``."""

INK, PAPER = "#1f2328", "#ffffff"
FIRST, OTHERS = "#1f6feb", "#8c959f"  # the best label, and the rest
MARGIN, TEXT = 20, 17  # pixels
LINE = 320  # lines are one pixel wider per this many pixels of the longer side
LETTERS, SMALLEST_LETTERS = 120, 10  # letters are one pixel higher per this many pixels; their minimum height
LARGE = 1600  # pixels of the longer side, above which a picture is usually viewed shrunk
SMALLEST, ENLARGED, LARGEST = 240, 320, 640  # longer side: enlarged if below, its size then, shrunk to


def line_width(size: tuple[int, int]) -> int:
    """The width of lines, in pixels, for a picture of ``size``."""
    return max(1, round(max(size) / LINE))


def edge_width(width: int) -> int:
    """The width of the dark edges of a line ``width`` pixels wide."""
    return max(1, width // 4)


def letter_size(size: tuple[int, int]) -> int:
    """The height of letters, in pixels, for a picture of ``size``."""
    return SMALLEST_LETTERS + max(size) // LETTERS + max(0, max(size) - LARGE) // (LETTERS * 2 // 3)


def scale_of(size: tuple[int, int]) -> float:
    """The scale of legends and texts beside a picture of ``size``: 1 up to :data:`LARGEST` pixels."""
    return max(1.0, max(size) / LARGEST)


@functools.lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, ``size`` pixels high: Latin, Greek, Cyrillic, punctuation, arrows. Other letters are boxes."""
    file = importlib.resources.files(__package__) / "fonts/DejaVuSans.ttf"
    # Every Pillow has the basic layout, so pictures are the same everywhere.
    return ImageFont.truetype(
        io.BytesIO(file.read_bytes()), check_count("size", size, 1), layout_engine=ImageFont.Layout.BASIC
    )


def fit_text(text: str, width: float, letters: ImageFont.FreeTypeFont) -> str:
    """``text`` on one line, cut with an ellipsis if it is wider than ``width`` pixels."""
    text = " ".join(text.split())
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def legible(
    image: Image.Image, *, smallest: int = SMALLEST, enlarged: int = ENLARGED, largest: int | None = LARGEST
) -> Image.Image:
    """``image`` in RGB at a size for viewing: tiny ones are enlarged, each pixel to a square, huge ones are shrunk.

    Args:
        image: of any size and mode.
        smallest: a picture whose longer side has fewer pixels is enlarged.
        enlarged: the factor is this divided by its longer side, rounded down.
        largest: the longer side, in pixels, that a picture is shrunk to; None does not shrink.
    """
    image = convert_mode(image, "RGB")
    _, height, width = get_dimensions(image)
    longer = max(height, width)
    if longer < smallest:
        factor = enlarged // longer
        return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    if largest is not None and longer > largest:
        size = (max(1, round(width * largest / longer)), max(1, round(height * largest / longer)))
        return image.resize(size, Image.Resampling.LANCZOS)
    return image


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────

# Light enough for black letters and dark edges (WCAG contrast of 4.5 or more with INK), none grey. Each colour is the
# farthest in CIELAB from those before it, for normal vision and for protanopes, deuteranopes and tritanopes: these can
# distinguish the first ten colours, and each colour from the three before it.
PALETTE = """
    3c96ff ffc300 ff3c78 00ffe1 69961e fff0b4 c378b4 ff9669 ff0ff0 a5d2ff 00ff2d f05a00 ff4bb4 5a9669 a5e100 00b4ff
    d25ad2 b4875a 78ff78 1ec3d2 8778ff c37800 c3ff87 ff78a5 c35aff 78ffff 00a500 ffc369 c3a5ff 78d2b4 ff3c4b f0f000
    ffc3f0 00d287 ff00c3 b4a500 c37887 96ffb4 2d96b4 ff9600 ff96f0 78c369 87ff00 ffc3a5 7887c3 00a596 e1f05a f06969
    00ff96 b478e1 b4a54b ff9696 3cd200 4bd2ff fff087 1ea569 ff873c b496c3 ffe14b c3e1b4 ff694b 00b44b ff5af0 d2c3ff
    b4b478 78d23c 1ed2a5 8787f0 c3783c 96b400 00ff69 87b4ff ffb4c3 78964b e1a51e a5ff5a e169b4 87c387 b4872d 00d24b
    78a5d2 b4ffe1 d29687 b4d25a d278ff 00d2c3 e1a569 87f087 c3d200 ff4b2d f096c3 c3f0a5 87e1f0 5aa500 ffa54b 00ffc3
""".split()


BACKGROUNDS = ("background", "nothing", "void", "unlabeled", "unlabelled", "n/a")


def class_color(index: int) -> RGB:
    """The colour of a class, the same in every picture: red, green, blue, 0 to 255.

    There are 96 colours, which all differ, those of neighbouring classes most.
    """
    red, green, blue = bytes.fromhex(PALETTE[index % len(PALETTE)])
    return red, green, blue


def contrast(one: str | RGB, other: str | RGB) -> float:
    """The `contrast ratio <https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>`_ of two colours, from 1 to 21.

    WCAG requires 4.5 between letters and their background, and 3 between the parts of a drawing.
    """
    darker, lighter = sorted(_luminance(_parse_color("colour", color)) for color in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: RGB) -> float:
    channels = [c / 3294 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def ink_on(color: RGB) -> str:
    """Black or white, whichever has the higher WCAG contrast ratio with ``color``."""
    return "#000000" if (_luminance(color) + 0.05) ** 2 > 1.05 * 0.05 else PAPER


def class_palette(names: Sequence[str]) -> list[RGB]:
    """The colours of named classes: :func:`class_color` of their numbers; black for a background, which is not
    tinted."""
    return [(0, 0, 0) if name.strip("_ ").lower() in BACKGROUNDS else class_color(i) for i, name in enumerate(names)]


def parse_colors(name: str, colors: Any, n: int) -> list[RGB]:
    """The colours of ``n`` objects, from one for all or a list of at least ``n``.

    Raises:
        InvalidArgument: there are fewer than ``n``, or one is not a colour; the message calls them ``name``.
    """
    if isinstance(colors, str) or _is_rgb(colors):
        return [_parse_color(name, colors)] * n
    if not isinstance(colors, Sequence):
        raise InvalidArgument(f"{name} is {colors!r}; expected a colour ('red', '#ff0000', (255, 0, 0)) or a list.")
    if len(colors) < n:
        raise InvalidArgument(
            f"{name} has {len(colors)} colours for {n} objects; expected one for all, or one per object."
        )
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
    """A copy of ``image`` in RGB, painted on by ``paint``.

    Args:
        image: PIL image of any mode, or tensor [1 or 3, H, W], uint8 or floating point in [0, 1].
        paint: draws on the PIL image that it gets.

    Returns:
        A PIL image in RGB, or a tensor [3, H, W] of the dtype and on the device of ``image``. Pixels that are not
        painted on keep their exact values.

    Raises:
        InvalidArgument: ``image`` is not a picture, or a tensor of another shape, dtype or range.
    """
    if not isinstance(image, Tensor):
        get_dimensions(image)  # raises if it is not a picture
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
    # all channels of a pixel, including those whose rounded value stays the same
    return torch.where(changed.any(0, keepdim=True), (after / 255).to(pixels), pixels)


def check_image(image: Tensor) -> Tensor:
    """``image`` [3, H, W], made from [1 or 3, H, W]; raises InvalidArgument if it cannot be drawn on."""
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        one = " Draw on each image of a batch separately." if image.ndim == 4 else ""
        raise InvalidArgument(f"The image has shape {list(image.shape)}; expected [3, H, W] or [1, H, W].{one}")
    get_dimensions(image)  # not empty
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise InvalidArgument(f"The image is {image.dtype}; expected uint8, or floating point from 0 to 1.")
    if image.is_floating_point():
        low, high = (float(value) for value in image.detach().aminmax())
        if not -0.5 <= low <= high <= 1.5:  # resizing overshoots a little; normalised or 0–255 is an error
            raise InvalidArgument(
                f"The image is {image.dtype} with values from {low:.4g} to {high:.4g}; expected 0 to 1. Draw on the "
                "picture before normalisation, or convert values from 0 to 255 with .to(torch.uint8)."
            )
    return image.detach().expand(3, -1, -1)
