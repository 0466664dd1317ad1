"""Encoded pictures as tensors of bytes, by Pillow, with the names and arguments of ``torchvision.io``."""
# ruff: noqa: A002  torchvision's name is input

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract import check_count
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io.image import ImageReadMode, load_image, max_pixels, opened
from zoo.transforms.functional import convert_mode, pil_to_tensor

FilePath = str | os.PathLike[str]

__all__ = [
    "decode_avif",
    "decode_gif",
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "decode_webp",
    "encode_jpeg",
    "encode_png",
    "read_file",
    "read_image",
    "write_file",
    "write_jpeg",
    "write_png",
]


def read_file(path: FilePath) -> Tensor:
    """The bytes of a file, uint8 ``[N]``.

    Raises:
        UnreadableFile: there is no such file, or it is a folder, a device or a pipe.
    """
    file = Path(path)
    if not file.is_file():
        raise UnreadableFile(f"{str(file)!r} is not a file." if file.exists() else f"{str(file)!r} does not exist.")
    return torch.from_numpy(np.fromfile(file, np.uint8))


def write_file(filename: FilePath, data: Tensor) -> None:
    """Write ``data``, uint8 ``[N]``, to a file, replacing an existing one."""
    Path(filename).write_bytes(_bytes("data", data))


def decode_image(
    input: Tensor | FilePath,
    mode: ImageReadMode | str = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """Decode a picture of any format that zoo reads.

    Args:
        input: the bytes of the file, uint8 ``[N]``, or its path.
        mode: channels of the result. Transparent pixels become white in modes without alpha, 16 bits are scaled to 8.
        apply_exif_orientation: whether to rotate a picture upright, according to its EXIF data.

    Returns:
        ``[C, H, W]`` uint8, or with ``UNCHANGED`` the file's dtype and channels; ``[N, 3, H, W]`` for a GIF of several
        pictures.

    Raises:
        UnreadableFile: the input is not a picture, is damaged, or has more pixels than ``ZOO_MAX_PIXELS``.
        InvalidArgument: the input is not bytes, or the mode is unknown.
    """
    data = input if isinstance(input, Tensor) else read_file(input)
    whole = _bytes("input", data)
    if whole.startswith(b"GIF8") and ImageReadMode.parse(mode) in (ImageReadMode.UNCHANGED, ImageReadMode.RGB):
        return decode_gif(data)
    return load_image(io.BytesIO(whole), mode, apply_exif_orientation)


def read_image(
    path: FilePath | io.BytesIO,
    mode: ImageReadMode | str = ImageReadMode.UNCHANGED,
    apply_exif_orientation: bool = False,
) -> Tensor:
    """:func:`decode_image` of a file, with torchvision's defaults: the file's channels, without rotation.

    :func:`zoo.io.load_image` returns the picture as pipelines see it: RGB and upright.
    """
    held = torch.frombuffer(bytearray(path.getbuffer()), dtype=torch.uint8) if isinstance(path, io.BytesIO) else path
    return decode_image(held, mode, apply_exif_orientation)


def decode_jpeg(
    input: Tensor | Sequence[Tensor],
    mode: ImageReadMode | str = ImageReadMode.UNCHANGED,
    device: str | torch.device = "cpu",
    apply_exif_orientation: bool = False,
) -> Any:
    """:func:`decode_image` of a JPEG, or of each in a list, on the CPU; the result is moved to ``device``."""
    if not isinstance(input, Tensor):
        return [decode_jpeg(one, mode, device, apply_exif_orientation) for one in input]
    return _decode(input, "JPEG", mode, apply_exif_orientation).to(device)


def decode_png(
    input: Tensor, mode: ImageReadMode | str = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """:func:`decode_image` of a PNG."""
    return _decode(input, "PNG", mode, apply_exif_orientation)


def decode_webp(input: Tensor, mode: ImageReadMode | str = ImageReadMode.UNCHANGED) -> Tensor:
    """:func:`decode_image` of a WebP; for an animation, the first picture."""
    return _decode(input, "WEBP", mode)


def decode_avif(input: Tensor, mode: ImageReadMode | str = ImageReadMode.UNCHANGED) -> Tensor:
    """:func:`decode_image` of an AVIF, which Pillow reads from 11.3 on."""
    return _decode(input, "AVIF", mode)


def decode_gif(input: Tensor) -> Tensor:
    """Decode a GIF: uint8 ``[3, H, W]``; ``[N, 3, H, W]`` for several pictures, each composed as it is displayed.

    Raises:
        UnreadableFile: the input is not a GIF, is damaged, or its pictures together have more pixels than
            ``ZOO_MAX_PIXELS``.
    """
    with opened(io.BytesIO(_bytes("input", input)), ("GIF",)) as image:
        pixels, limit = getattr(image, "n_frames", 1) * image.width * image.height, max_pixels()
        if pixels > limit:
            raise Image.DecompressionBombError(
                f"Its pictures have {pixels} pixels. If you trust it, raise ZOO_MAX_PIXELS, which is {limit:.0f}."
            )
        frames = []
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            frames.append(pil_to_tensor(convert_mode(image, "RGB")))
    return torch.stack(frames) if len(frames) > 1 else frames[0]


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """Encode a picture, uint8 ``[1 or 3, H, W]``, as the bytes of a PNG, uint8 ``[N]``.

    ``compression_level`` is 0 (none) to 9 (smallest). Raises :class:`~zoo.errors.InvalidArgument` for others.
    """
    return _encode(input, "PNG", compress_level=_between("compression_level", compression_level, 0, 9))


def encode_jpeg(input: Tensor | Sequence[Tensor], quality: int = 75) -> Any:
    """Encode a picture, uint8 ``[1 or 3, H, W]``, as the bytes of a JPEG, uint8 ``[N]``; a list of them as a list.

    ``quality`` is 1 to 100. Raises :class:`~zoo.errors.InvalidArgument` for others.
    """
    if not isinstance(input, Tensor):
        return [encode_jpeg(one, quality) for one in input]
    return _encode(input, "JPEG", quality=_between("quality", quality, 1, 100))


def write_png(input: Tensor, filename: FilePath, compression_level: int = 6) -> None:
    """Write the bytes of :func:`encode_png` to a file."""
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input: Tensor, filename: FilePath, quality: int = 75) -> None:
    """Write the bytes of :func:`encode_jpeg` to a file."""
    if not isinstance(input, Tensor):
        raise InvalidArgument(f"input must be one picture, but got {type(input).__name__}.")
    write_file(filename, encode_jpeg(input, quality))


def _bytes(name: str, data: Tensor) -> bytes:
    if not isinstance(data, Tensor) or data.dtype != torch.uint8 or data.ndim != 1:
        given = f"{data.dtype} {list(data.shape)}" if isinstance(data, Tensor) else type(data).__name__
        raise InvalidArgument(f"{name} must be the bytes of a file, a uint8 tensor [N], but got {given}.")
    return data.cpu().contiguous().numpy().tobytes()


def _decode(input: Tensor, kind: str, mode: ImageReadMode | str, apply_exif_orientation: bool = False) -> Tensor:
    data = io.BytesIO(_bytes("input", input))
    with opened(data, (kind,)):
        pass
    return load_image(data, mode, apply_exif_orientation)


def _encode(input: Tensor, kind: str, **settings: Any) -> Tensor:
    if not isinstance(input, Tensor) or input.dtype != torch.uint8 or input.ndim != 3 or len(input) not in (1, 3):
        given = f"{input.dtype} {list(input.shape)}" if isinstance(input, Tensor) else type(input).__name__
        raise InvalidArgument(f"input must be a uint8 tensor [1 or 3, H, W], but got {given}.")
    if not input.numel():
        raise InvalidArgument(f"A picture of {list(input.shape)} has no pixels to encode.")
    pixels = input.cpu().permute(1, 2, 0).contiguous().numpy()
    out = io.BytesIO()
    Image.fromarray(pixels if len(input) == 3 else pixels[..., 0]).save(out, kind, **settings)
    return torch.frombuffer(bytearray(out.getbuffer()), dtype=torch.uint8)


def _between(name: str, value: int, least: int, most: int) -> int:
    number = check_count(name, value, least)
    if number > most:
        raise InvalidArgument(f"{name} must be from {least} to {most}, but got {value!r}.")
    return number
