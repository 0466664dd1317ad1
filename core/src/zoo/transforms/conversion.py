"""Checks and conversions of pictures: PIL images, tensors, arrays, their modes and dtypes."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.errors import InvalidArgument, InvalidKind

Picture = TypeVar("Picture", Image.Image, Tensor)

_MODES_OF = {  # (dtype, channels) → the PIL modes of such values, the usual one first
    ("uint8", 1): ("L", "P"),
    ("uint8", 2): ("LA",),
    ("uint8", 3): ("RGB", "YCbCr", "HSV", "LAB"),
    ("uint8", 4): ("RGBA", "CMYK", "RGBX"),
    ("int16", 1): ("I;16",),
    ("uint16", 1): ("I;16",),
    ("int32", 1): ("I",),
    ("float32", 1): ("F",),
}

# Integer images span [0, 2**bits - 1].
_BITS = {torch.uint8: 8, torch.int8: 7, torch.int16: 15, torch.uint16: 16, torch.int32: 31, torch.int64: 63}


def get_dimensions(img: Image.Image | Tensor | Any) -> list[int]:
    """``[channels, height, width]``.

    Raises:
        InvalidArgument: ``img`` is not a picture, or has no pixels.
    """
    if isinstance(img, Image.Image):
        dimensions = [len(img.getbands()), img.height, img.width]
    elif isinstance(img, Tensor):
        if img.ndim < 2:
            raise InvalidArgument(f"A tensor of shape {list(img.shape)} is not a picture; expected [C, H, W].")
        dimensions = [img.shape[-3] if img.ndim > 2 else 1, img.shape[-2], img.shape[-1]]
    else:
        hint = ""
        if isinstance(img, np.ndarray):
            hint = " zoo.transforms.functional.to_pil_image converts a uint8 array [H, W, C]."
        raise InvalidKind(f"{type(img).__name__} is not a picture; expected a PIL image or a torch tensor.{hint}")
    if 0 in dimensions[1:]:
        raise InvalidArgument(f"A picture of {dimensions[2]} × {dimensions[1]} pixels is empty.")
    return dimensions


def get_image_size(img: Image.Image | Tensor) -> list[int]:
    """``[width, height]``, in PIL's order; see :func:`get_dimensions`."""
    _, height, width = get_dimensions(img)
    return [width, height]


def convert_mode(image: Image.Image, mode: str) -> Image.Image:
    """``image`` converted to ``L``, ``LA``, ``RGB`` or ``RGBA``, eight bits per channel, as it is displayed.

    Palettes and CMYK become colours. Transparent pixels become white when the alpha channel is removed, as on a page,
    since their stored colours are arbitrary. Pictures of 16 bits are scaled to 8; PIL would clip them.

    Raises:
        InvalidArgument: the picture has 32-bit floats, which have no fixed range, or a mode that PIL cannot convert.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise InvalidArgument(
                f"A picture of mode {image.mode!r} with values from {values.min()} to {values.max()} cannot be "
                f"converted to {mode}; expected values from 0 to 65535. Scale it to 8 bits first."
            )
        image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    elif image.mode == "F":
        raise InvalidArgument(
            f"A picture of 32-bit floats has no fixed range and cannot be converted to {mode}. Scale it to 8 bits "
            "first, or convert it to a tensor with values in [0, 1]."
        )
    transparent = image.getbands()[-1] in "Aa" or "transparency" in image.info
    try:
        if transparent and image.mode != "RGBA":
            image = image.convert("RGBA")
        if transparent and "A" not in mode:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image if image.mode == mode else image.convert(mode)
    except ValueError as e:
        raise InvalidArgument(f"A picture of mode {image.mode!r} cannot be converted to {mode}: {e}.") from e


def pil_to_tensor(pic: Image.Image) -> Tensor:
    """The unscaled values of ``pic``: uint8 ``[C, H, W]``; palette indices, 16-bit and float values are kept.

    Raises:
        InvalidArgument: ``pic`` is not a PIL image, or has no pixels.
    """
    if not isinstance(pic, Image.Image):
        raise InvalidKind(f"pic is {type(pic).__name__}; expected a PIL image.")
    get_dimensions(pic)
    if pic.mode == "1":
        pic = pic.convert("L")
    if pic.mode in ("RGB", "RGBA"):  # band by band: twice as fast as turning [H, W, C] round
        return torch.from_numpy(np.stack([np.asarray(band) for band in pic.split()]))
    array = np.array(pic)  # a copy: PIL's memory is read-only
    tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()


def to_tensor(pic: Image.Image | np.ndarray[Any, Any]) -> Tensor:
    """``[C, H, W]``: float in [0, 1] for eight bits; other types keep their dtype and values.

    Args:
        pic: PIL image, or array ``[H, W]`` or ``[H, W, C]``.
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise InvalidArgument(f"pic is an array of shape {list(pic.shape)}; expected [H, W] or [H, W, C].")
        tensor = torch.from_numpy(np.atleast_3d(pic).transpose(2, 0, 1).copy())
    else:
        tensor = pil_to_tensor(pic)
    return convert_image_dtype(tensor, torch.get_default_dtype()) if tensor.dtype == torch.uint8 else tensor


def as_pil(image: Image.Image | Tensor) -> Image.Image:
    """A PIL image unchanged; a tensor converted by :func:`to_pil_image`."""
    return image if isinstance(image, Image.Image) else to_pil_image(image)


def to_pil_image(pic: Tensor | np.ndarray[Any, Any], mode: str | None = None) -> Image.Image:
    """A PIL image from a tensor ``[C, H, W]`` or ``[H, W]``, or an array ``[H, W, C]`` or ``[H, W]``.

    One channel gives mode ``L`` (``I;16`` or ``I`` from wider integers), two ``LA``, three ``RGB``, four ``RGBA``.

    Args:
        pic: uint8; or floating point, clipped to [0, 1]; or a bool tensor. With one channel also int16, uint16 or
            int32.
        mode: PIL mode of the values, if it is another (``HSV``, ``CMYK``, ``F``, …).

    Raises:
        InvalidArgument: the shape, dtype or mode is invalid.
    """
    if isinstance(pic, Tensor):
        tensor = pic.detach().cpu()
        if mode == "F":
            tensor = tensor.float()
        elif tensor.is_floating_point() or tensor.dtype == torch.bool:
            tensor = (tensor.float().clamp(0, 1) * 255).to(torch.uint8)
        values = np.moveaxis(tensor.numpy(), 0, -1) if tensor.ndim == 3 else tensor.numpy()
    elif isinstance(pic, np.ndarray):
        values = pic
        if np.issubdtype(pic.dtype, np.floating) and mode != "F":
            values = (pic.clip(0, 1) * 255).astype(np.uint8)
    else:
        raise InvalidKind(f"pic is {type(pic).__name__}; expected a torch tensor or a numpy array.")
    if values.ndim not in (2, 3):
        expected = "[C, H, W] or [H, W]" if isinstance(pic, Tensor) else "[H, W, C] or [H, W]"
        raise InvalidArgument(f"pic has the shape {list(pic.shape)}; expected {expected}.")
    channels = 1 if values.ndim == 2 else values.shape[2]
    modes = _MODES_OF.get((str(values.dtype), channels))
    if modes is None:
        known = ", ".join(f"{dtype} with {n}" for dtype, n in _MODES_OF)
        raise InvalidArgument(f"PIL images cannot have {channels} channel(s) of {values.dtype}; expected {known}.")
    if mode is not None and mode not in modes:
        raise InvalidArgument(f"mode is {mode!r}; {values.dtype} with {channels} channel(s) is {' or '.join(modes)}.")
    height, width = values.shape[:2]
    return Image.frombytes(mode or modes[0], (width, height), np.ascontiguousarray(values).tobytes())


def convert_image_dtype(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """``image`` in another dtype, scaled to its range: [0, 1] for floats, [0, largest value] for integers.

    Raises:
        InvalidArgument: values are bool or complex, or the float type is too narrow for the requested integer type.
    """
    for kind in (image.dtype, dtype):
        if not kind.is_floating_point and kind not in _BITS:
            raise InvalidArgument(f"{kind} cannot be scaled; expected a float or integer dtype.")
    if image.dtype == dtype:
        return image
    if image.dtype.is_floating_point:
        if dtype.is_floating_point:
            return image.to(dtype)
        bits = _BITS[dtype]
        if bits > {torch.float64: 53}.get(image.dtype, 24):
            raise InvalidArgument(f"{image.dtype} cannot be scaled to {dtype} without loss; use a wider float first.")
        wide = image if image.dtype == torch.float64 else image.float()
        limits = torch.iinfo(dtype)
        return (wide * ((1 << bits) - 1e-3)).clamp(limits.min, limits.max).to(dtype)  # bins of equal width
    if dtype.is_floating_point:
        return image.to(dtype) / ((1 << _BITS[image.dtype]) - 1)
    shift = _BITS[dtype] - _BITS[image.dtype]
    return (image.long() << shift if shift > 0 else image.long() >> -shift).to(dtype)
