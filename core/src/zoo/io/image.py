"""Pictures read and written with Pillow; what is broken, or would fill the memory, is refused by name."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo.errors import InvalidArgument, UnreadableFile, suggest
from zoo.transforms.functional import convert_mode, pil_to_tensor, to_pil_image

Picture = Image.Image | Tensor
"""A PIL image, or a tensor [C, H, W], uint8 in [0, 255] or float in [0, 1]."""


class ImageReadMode(Enum):
    """Which channels :func:`read_image` gives. ``UNCHANGED`` is what the file holds, a palette resolved."""

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


def open_image(
    path: str | os.PathLike[str],
    mode: ImageReadMode | str = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = True,
) -> Image.Image:
    """Read a picture whole, in any format that Pillow knows; of an animation the first frame.

    Args:
        path: of the file.
        mode: the channels wanted. Transparent parts turn white in modes without alpha, 16 bits are scaled to 8.
        apply_exif_orientation: whether a picture that a camera marked as turned is turned upright.

    Raises:
        UnreadableFile: there is no such file, it is no picture, it is damaged or cut short, or it has more pixels
            than Pillow's guard against decompression bombs allows (twice ``PIL.Image.MAX_IMAGE_PIXELS``).
        InvalidArgument: an unknown ``mode``.
    """
    wanted = ImageReadMode.parse(mode)
    file = Path(path)
    try:
        if not file.is_file():
            raise OSError("it is not a file" if file.exists() else "it does not exist")
        with Image.open(file) as lazy:
            image = ImageOps.exif_transpose(lazy) if apply_exif_orientation else lazy.copy()
        if wanted is ImageReadMode.UNCHANGED and image.mode in ("1", "P", "PA"):
            transparent = image.mode == "PA" or "transparency" in image.info
            return image.convert("L" if image.mode == "1" else "RGBA" if transparent else "RGB")
        return image if wanted is ImageReadMode.UNCHANGED else convert_mode(image, _PIL_MODES[wanted])
    except UnidentifiedImageError as e:
        reason = "it is empty" if file.stat().st_size == 0 else "its content is no picture format that Pillow knows"
        raise UnreadableFile(f"{str(file)!r} cannot be read as a picture: {reason}.") from e
    except Image.DecompressionBombError as e:
        raise UnreadableFile(
            f"{str(file)!r} is refused as a decompression bomb: {e} If you trust it, raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from e
    except Exception as e:  # the decoder of a broken file may raise anything: SyntaxError, struct.error, RuntimeError
        raise UnreadableFile(f"{str(file)!r} cannot be read as a picture: {str(e) or type(e).__name__}") from e


def read_image(
    path: str | os.PathLike[str],
    mode: ImageReadMode | str = ImageReadMode.RGB,
    apply_exif_orientation: bool = True,
) -> Tensor:
    """Read a picture as a tensor: uint8 ``[C, H, W]`` in [0, 255], by default RGB and upright.

    With ``mode="UNCHANGED"``, a file of 16 bits a pixel gives uint16 ``[1, H, W]``, one of floats float32.
    Arguments and errors are those of :func:`open_image`.
    """
    return pil_to_tensor(open_image(path, mode, apply_exif_orientation))


def save_image(image: Image.Image | Tensor, path: str | os.PathLike[str]) -> None:
    """Write a picture in the format that the ending of ``path`` names, replacing a file that is there.

    Args:
        image: PIL image, or tensor ``[C, H, W]`` or ``[H, W]``, uint8 or float in [0, 1]. JPEG has no transparency:
            what is transparent turns white.
        path: ends in ``.png``, ``.jpg``, or another ending that Pillow knows.

    Raises:
        InvalidArgument: an ending that names no format, or a picture that the format cannot hold.
    """
    file = Path(path)
    picture = to_pil_image(image) if isinstance(image, Tensor) else image
    kind = Image.registered_extensions().get(file.suffix.lower())
    if kind not in Image.SAVE:
        raise InvalidArgument(f"{str(file)!r} has no ending that names a picture format; use .png, .jpg or .webp.")
    if kind == "JPEG" and picture.mode not in ("L", "RGB", "CMYK"):
        picture = convert_mode(picture, "RGB")
    try:
        picture.save(file, format=kind)
    except (OSError, ValueError) as e:
        if isinstance(e, OSError) and e.errno is not None:  # the disk's fault, and it says so
            raise
        raise InvalidArgument(f"A picture of mode {picture.mode!r} cannot be written as {kind}: {e}.") from e
