"""Reading and writing of pictures with Pillow. Damaged files, and files that would fill the memory, are errors."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import math
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo.errors import InvalidArgument, UnreadableFile, suggest
from zoo.transforms.functional import convert_mode, pil_to_tensor, to_pil_image

Picture = Image.Image | Tensor
"""A PIL image, or a tensor [C, H, W], uint8 in [0, 255] or float in [0, 1]."""


class ImageReadMode(Enum):
    """The channels to read. ``UNCHANGED`` keeps those of the file, with a palette converted."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4
    RGBA = 4

    @classmethod
    def parse(cls, given: ImageReadMode | str) -> ImageReadMode:
        """The mode that ``given`` names: a member, or its name in any case.

        Raises:
            InvalidArgument: anything else; the modes are listed.
        """
        mode = cls.__members__.get(given.upper()) if isinstance(given, str) else given
        if isinstance(mode, cls):
            return mode
        close = suggest(given, cls.__members__) if isinstance(given, str) else ""
        raise InvalidArgument(f"mode is {given!r}; expected one of {', '.join(cls.__members__)}.{close}")


_PIL_MODES = {
    ImageReadMode.GRAY: "L",
    ImageReadMode.GRAY_ALPHA: "LA",
    ImageReadMode.RGB: "RGB",
    ImageReadMode.RGB_ALPHA: "RGBA",
}


# Only decoders that execute nothing: Pillow runs Ghostscript on an EPS file.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA")
_MODULES = {"JPEG2000": "Jpeg2K", "WEBP": "WebP"}
_MOVING = {"WEBP", "GIF", "PNG", "AVIF"}  # not the pages of a TIFF, or the second picture of a phone's JPEG
_CANVASES = 4  # canvases that the decoder of an animation may hold
_ORIENTATION = 0x0112  # in EXIF
_lifting = threading.Lock()


@functools.cache
def _available() -> tuple[str, ...]:
    for name in FORMATS:
        with contextlib.suppress(ImportError):
            importlib.import_module(f"PIL.{_MODULES.get(name, name.capitalize())}ImagePlugin")
    return tuple(name for name in FORMATS if name in Image.OPEN)


def max_pixels() -> float:
    """The largest number of pixels of a picture: ``ZOO_MAX_PIXELS``, by default twice ``PIL.Image.MAX_IMAGE_PIXELS``:
    179 million, or 0.7 GB as RGBA.

    Raises:
        InvalidArgument: ``ZOO_MAX_PIXELS`` is not a whole number of at least 1.
    """
    given = os.environ.get("ZOO_MAX_PIXELS")
    if not given:
        return 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else math.inf
    if not given.isdecimal() or not int(given):
        raise InvalidArgument(f"ZOO_MAX_PIXELS is {given!r}; expected a whole number of pixels, such as 200000000.")
    return int(given)


def _named(source: object) -> str:
    return "The input" if isinstance(source, io.BytesIO) else repr(str(source))


@contextlib.contextmanager
def opened(source: str | os.PathLike[str] | io.BytesIO, formats: Sequence[str] | None = None) -> Iterator[Image.Image]:
    """A picture whose pixels are read on access, from a path or the bytes of a file.

    Args:
        formats: some of :data:`FORMATS`, by default all.

    Raises:
        UnreadableFile: there is no such file, or it is a device or a pipe, not a picture of :data:`FORMATS`, damaged,
            or has more pixels than :func:`max_pixels` (a quarter of that for an animation). Also raised when the pixels
            are read inside the context.
    """
    file, limit = source if isinstance(source, io.BytesIO) else Path(source), max_pixels()
    name, allowed = _named(file), formats or _available()
    try:
        with open_checked(file, limit, allowed) as image:
            yield image
    except UnreadableFile:
        raise
    except UnidentifiedImageError as e:
        reason = "its content is not in a picture format that Pillow knows and zoo reads: " + ", ".join(allowed)
        size = file.stat().st_size if isinstance(file, Path) else len(file.getbuffer())
        reason = "it is empty" if size == 0 else reason
        raise UnreadableFile(f"{name} cannot be read as a picture: {reason}.") from e
    except Image.DecompressionBombError as e:
        raise UnreadableFile(f"{name} is refused as a decompression bomb: {e}") from e
    except (
        Exception
    ) as e:  # a decoder may raise any exception for a damaged file: SyntaxError, struct.error, RuntimeError
        raise UnreadableFile(f"{name} cannot be read as a picture: {str(e) or type(e).__name__}") from e


_LAST = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}  # the end of such files, perhaps followed by other data


def check_picture(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of a picture, rotated according to its EXIF data. Only the header is read, or everything if the
    end is missing.

    Raises:
        UnreadableFile: it cannot be opened, or is truncated.
    """
    with opened(path) as image:
        size = (image.width, image.height) if image.getexif().get(0x0112, 1) >= 5 else (image.height, image.width)
        last = _LAST.get(image.format or "", b"")
        with Path(path).open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - 4096))
            if last not in f.read():
                image.load()
    return size


@contextlib.contextmanager
def open_checked(file: Path | io.BytesIO, limit: float, formats: Sequence[str] | None = None) -> Iterator[Image.Image]:
    """:func:`opened` without conversion of exceptions. All picture files are opened here."""
    if isinstance(file, Path) and not file.is_file():
        raise OSError("it is not a file" if file.exists() else "it does not exist")
    try:
        with _open(file, limit, formats or _available()) as image:
            moves = image.format in _MOVING and getattr(image, "is_animated", False)
            if image.width * image.height * (_CANVASES if moves else 1) > limit:
                raise Image.DecompressionBombError(f"It has {image.width} × {image.height} pixels.")
            yield image
    except Image.DecompressionBombError as e:
        raise Image.DecompressionBombError(
            f"{e} If you trust it, raise ZOO_MAX_PIXELS, which is {limit:.0f} (an animation counts {_CANVASES} times)."
        ) from e


def _open(file: Path | io.BytesIO, limit: float, formats: Sequence[str]) -> Image.Image:
    guard = Image.MAX_IMAGE_PIXELS
    if guard is None or limit <= 2 * guard:
        return Image.open(file, formats=list(formats))
    with _lifting:  # Pillow's own limit is global
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(file, formats=list(formats))
        finally:
            Image.MAX_IMAGE_PIXELS = guard


def upright(image: Image.Image) -> Image.Image:
    """``image``, rotated according to its EXIF orientation."""
    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image


def open_image(
    source: str | os.PathLike[str] | io.BytesIO | Image.Image,
    mode: ImageReadMode | str = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = True,
) -> Image.Image:
    """Read a picture completely, in any format of :data:`FORMATS`; the first frame of an animation.

    Args:
        source: path of the file, or its bytes; or a PIL image, which is converted in the same way.
        mode: channels of the result. Transparent pixels become white in modes without alpha, 16 bits are scaled to 8.
        apply_exif_orientation: whether to rotate a picture upright, according to its EXIF data.

    Raises:
        UnreadableFile: there is no such file, or it is a device or a pipe, not a picture, damaged or truncated, or it
            has more pixels than ``ZOO_MAX_PIXELS`` (179 million).
        InvalidArgument: ``mode`` is unknown, or a PIL image cannot be converted to it.
    """
    wanted = ImageReadMode.parse(mode)
    if isinstance(source, Image.Image):
        source.load()
        return _converted(upright(source) if apply_exif_orientation else source, wanted)
    with opened(source) as lazy:
        image = upright(lazy) if apply_exif_orientation else lazy
        return _converted(_without_file(image), wanted)


def _without_file(image: Image.Image) -> Image.Image:
    """A picture of a file as a plain one, whose pixels are not copied: at 1280×960 that takes as long as a tenth of
    decoding. Those that Pillow maps from the file are."""
    if type(image) is Image.Image:
        return image
    image.load()
    mapped = image.readonly or getattr(image, "map", None) is not None
    return image.copy() if mapped else image._new(image.im)


def open_reduced(source: str | os.PathLike[str], least: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]]:
    """A picture as :func:`open_image` returns it, but a JPEG at a half, a quarter or an eighth of its size.

    Args:
        source: path of the file.
        least: minimum width and height of the result.

    Returns:
        The picture, and its original (width, height).

    Raises:
        UnreadableFile: as for :func:`open_image`.
    """
    with opened(source) as lazy:
        whole = lazy.size
        turned = lazy.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        lazy.draft(None, least)
        image = upright(lazy)
        size = whole[::-1] if turned else whole
        return _converted(_without_file(image), ImageReadMode.UNCHANGED), size


def _converted(image: Image.Image, wanted: ImageReadMode) -> Image.Image:
    if wanted is ImageReadMode.UNCHANGED and image.mode in ("1", "P", "PA"):
        transparent = image.mode == "PA" or "transparency" in image.info
        return image.convert("L" if image.mode == "1" else "RGBA" if transparent else "RGB")
    return image if wanted is ImageReadMode.UNCHANGED else convert_mode(image, _PIL_MODES[wanted])


def load_image(
    path: str | os.PathLike[str] | io.BytesIO,
    mode: ImageReadMode | str = ImageReadMode.RGB,
    apply_exif_orientation: bool = True,
) -> Tensor:
    """Read a picture as a tensor: uint8 ``[C, H, W]`` in [0, 255], by default RGB and upright, as pipelines see it.

    :func:`zoo.io.read_image` has torchvision's defaults. With ``mode="UNCHANGED"``, a file with 16 bits per value gives
    uint16 ``[C, H, W]``, one of floats float32. Arguments and errors are those of :func:`open_image`.
    """
    if ImageReadMode.parse(mode) is ImageReadMode.UNCHANGED:
        with opened(path) as image:
            kind, _, order = _raw_mode(image).partition(";")
        if order in _SWAPPED and kind != "I":
            if kind not in ("RGB", "RGBA"):
                raise UnreadableFile(
                    f"{_named(path)} has {kind} in 16 bits, of which Pillow reads 8: choose another mode."
                )
            high, low = (_numbers(path, f"{kind};{o}", apply_exif_orientation) for o in (order, _SWAPPED[order]))
            return torch.from_numpy((high.astype(np.uint16) << 8 | low).transpose(2, 0, 1).copy())
    return pil_to_tensor(open_image(path, mode, apply_exif_orientation))


# For pixels of several 16 bit values, Pillow keeps the higher byte, or with swapped byte order the lower.
_SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def _raw_mode(image: Image.Image) -> str:
    """Pillow's name of the file's pixel layout, such as ``RGB;16B``; empty if it is unknown."""
    tiles = getattr(image, "tile", [])
    told = tiles[0][3] if tiles else ""
    return str(told[0] if isinstance(told, tuple) and told else told)


def _numbers(
    path: str | os.PathLike[str] | io.BytesIO, raw_mode: str, apply_exif_orientation: bool
) -> np.ndarray[Any, Any]:
    """uint8 [H, W, C], with the file's pixels read in this layout."""
    with opened(path) as image:
        tiles: list[Any] = image.tile  # type: ignore[attr-defined]
        make = getattr(type(tiles[0]), "_make", tuple)  # named tuples since Pillow 11
        image.tile = [  # type: ignore[attr-defined]
            make((*rest, (raw_mode, *told[1:]) if isinstance(told, tuple) else raw_mode)) for *rest, told in tiles
        ]
        image.load()
        return np.asarray(upright(image) if apply_exif_orientation else image)


def save_image(image: Image.Image | Tensor, path: str | os.PathLike[str]) -> None:
    """Write a picture in the format of the suffix of ``path``, replacing an existing file.

    Args:
        image: PIL image, or tensor ``[C, H, W]`` or ``[H, W]``, uint8 or float in [0, 1]. JPEG has no transparency:
            transparent pixels become white.
        path: ends in ``.png``, ``.jpg``, or another suffix that Pillow knows.

    Raises:
        InvalidArgument: the suffix is not that of a format, or the format does not support the picture.
    """
    file = Path(path)
    picture = to_pil_image(image) if isinstance(image, Tensor) else image
    kind = Image.registered_extensions().get(file.suffix.lower())
    if kind not in Image.SAVE:
        raise InvalidArgument(f"{str(file)!r} does not have the suffix of a picture format; use .png, .jpg or .webp.")
    if kind == "JPEG" and picture.mode not in ("L", "RGB", "CMYK"):
        picture = convert_mode(picture, "RGB")
    try:
        picture.save(file, format=kind)
    except (OSError, ValueError) as e:
        if isinstance(e, OSError) and e.errno is not None:  # an error of the disk, with its own message
            raise
        raise InvalidArgument(f"A picture of mode {picture.mode!r} cannot be written as {kind}: {e}.") from e


def __getattr__(name: str) -> Any:
    encoding = None if name.startswith("__") else importlib.import_module("zoo.io.encoding")  # it imports this module
    if encoding is not None and name in encoding.__all__:
        return getattr(encoding, name)
    importlib.import_module("zoo.io").say_what_serves(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
