"""Functions that resize, crop, convert and normalise pictures; the presets use them.

A picture is a PIL image or a tensor ``[..., C, H, W]``; each function returns the type of its input. The names,
arguments and numbers are those of ``torchvision.transforms.functional``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zoo.errors import InvalidArgument, InvalidKind, MissingPlugin, ZooWarning, suggest
from zoo.transforms import elsewhere
from zoo.transforms.conversion import (
    Picture as Picture,
    as_pil as as_pil,
    convert_image_dtype as convert_image_dtype,
    convert_mode as convert_mode,
    get_dimensions as get_dimensions,
    get_image_size as get_image_size,
    pil_to_tensor as pil_to_tensor,
    to_pil_image as to_pil_image,
    to_tensor as to_tensor,
)


class InterpolationMode(Enum):
    """Interpolation modes for resizing. ``BOX``, ``HAMMING`` and ``LANCZOS`` are only for PIL images."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"

    @classmethod
    def parse(cls, given: InterpolationMode | str | int) -> InterpolationMode:
        """The mode that ``given`` names: a member, ``"bicubic"``, or one of PIL's ``Image.Resampling``.

        Raises:
            InvalidArgument: anything else; the modes are listed.
        """
        if isinstance(given, Enum):  # torchvision's members have the same values
            given = given.value
        if isinstance(given, int):
            # Several modes share PIL's NEAREST; PIL means the first.
            given = next((mode for mode, pil in _PIL_RESAMPLING.items() if pil == given), given)
        try:
            return cls(given.lower() if isinstance(given, str) else given)
        except ValueError:
            names = [mode.value for mode in cls]
            close = suggest(given, names) if isinstance(given, str) else ""
            raise InvalidArgument(f"interpolation is {given!r}; expected one of {', '.join(names)}.{close}") from None

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(other).__name__ == type(self).__name__ and self.value == getattr(other, "value", 0)
        )

    def __hash__(self) -> int:
        return hash(self.name)  # as for every enum, including torchvision's


_PIL_RESAMPLING = {
    InterpolationMode.NEAREST: Image.Resampling.NEAREST,
    InterpolationMode.NEAREST_EXACT: Image.Resampling.NEAREST,
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
    InterpolationMode.BOX: Image.Resampling.BOX,
    InterpolationMode.HAMMING: Image.Resampling.HAMMING,
    InterpolationMode.LANCZOS: Image.Resampling.LANCZOS,
}
_TENSOR_MODES = (
    InterpolationMode.NEAREST,
    InterpolationMode.NEAREST_EXACT,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
)

_MAX_PIXELS = 2**28  # limit of resizing by the shorter side: a strip of 1 × 100,000 pixels is an error instead of 3 GB


def parse_size(name: str, size: int | Sequence[int]) -> tuple[int, ...]:
    """``size`` as ``(shorter side,)`` or ``(height, width)``, in pixels.

    Raises:
        InvalidArgument: ``size``, which the message calls ``name``, is neither.
    """
    numbers = _whole_numbers(size)
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise InvalidArgument(f"{name} is {size!r}; expected a whole number of pixels, or (height, width) in pixels.")
    return numbers


def _whole_numbers(given: object) -> tuple[int, ...]:
    """The number or numbers in ``given``; empty for other types."""
    numbers = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    whole = tuple(int(n) for n in numbers if isinstance(n, int | np.integer) and not isinstance(n, bool))
    return whole if len(whole) == len(numbers) else ()


def resized_size(height: int, width: int, size: tuple[int, ...], max_size: int | None = None) -> tuple[int, int]:
    """(height, width) of a picture of height × width after :func:`resize` to ``size``.

    Raises:
        InvalidArgument: ``max_size`` contradicts ``size``, or the result would have more than 2**28 pixels because of
            the picture's aspect ratio.
    """
    if max_size is not None and (len(size) == 2 or max_size <= size[0]):
        raise InvalidArgument(
            f"max_size is {max_size} and size {size}; max_size limits the longer side if size is the "
            "shorter, so it must be larger, and size a single number."
        )
    if len(size) == 2:
        return size[0], size[1]
    short, long = min(height, width), max(height, width)
    new_short, new_long = size[0], int(size[0] * long / short)
    if max_size is not None and new_long > max_size:
        new_short, new_long = max(1, int(max_size * new_short / new_long)), max_size
    if new_short * new_long > _MAX_PIXELS:
        raise InvalidArgument(
            f"A picture of {width} × {height} pixels resized to a shorter side of {size[0]} would have a longer side "
            f"of {new_long}. Crop it first, or give both sides: size=(height, width)."
        )
    return (new_long, new_short) if height > width else (new_short, new_long)


def resize(
    img: Picture,
    size: int | Sequence[int],
    interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Picture:
    """Resize to ``size``: the shorter side, with the aspect ratio kept, or ``(height, width)``.

    PIL images are resized by PIL, tensors by torch; the two differ by rounding. Integer tensors are computed in
    float32 and rounded.

    Args:
        img: PIL image, or tensor ``[C, H, W]`` or ``[N, C, H, W]`` of any dtype.
        size: in pixels.
        interpolation: an :class:`InterpolationMode` or its name.
        max_size: limit of the longer side; the shorter side is reduced accordingly.
        antialias: whether to antialias tensors when they are shrunk (bilinear and bicubic); PIL always does.

    Raises:
        InvalidArgument: a size is below 1, or the mode is unknown or not supported for tensors.
    """
    mode = InterpolationMode.parse(interpolation)
    _, height, width = get_dimensions(img)
    new_height, new_width = resized_size(height, width, parse_size("size", size), max_size)
    if isinstance(img, Image.Image):
        if antialias is False:
            warnings.warn(
                "antialias=False has no effect on a PIL image, which is always antialiased; resize a tensor "
                "instead, or remove the argument to silence this.",
                ZooWarning,
                stacklevel=2,
            )
        if (new_height, new_width) == (height, width):
            return img
        return img.resize((new_width, new_height), _PIL_RESAMPLING[mode])
    if mode not in _TENSOR_MODES:
        raise InvalidArgument(
            f"Tensors cannot be resized with {mode.value!r}; expected one of "
            f"{', '.join(m.value for m in _TENSOR_MODES)}, or a PIL image."
        )
    if img.ndim not in (3, 4):
        raise InvalidArgument(
            f"A tensor of shape {list(img.shape)} cannot be resized; expected [C, H, W] or [N, C, H, W]."
        )
    if (new_height, new_width) == (height, width):
        return img
    smooth = bool(antialias) and mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    wide = img if img.dtype in (torch.float32, torch.float64) else img.float()
    out = F.interpolate(wide.reshape(-1, *img.shape[-3:]), (new_height, new_width), mode=mode.value, antialias=smooth)
    out = out.reshape(*img.shape[:-2], new_height, new_width)
    if not img.is_floating_point():
        out = out.round()
        if img.dtype != torch.bool:  # bicubic overshoots near edges
            out = out.clamp(torch.iinfo(img.dtype).min, torch.iinfo(img.dtype).max)
    return out.to(img.dtype)


def center_crop(img: Picture, output_size: int | Sequence[int]) -> Picture:
    """Crop the central ``output_size`` pixels; smaller pictures are padded with zeros.

    Args:
        img: PIL image, or tensor ``[..., H, W]``.
        output_size: side of a square, or ``(height, width)``.
    """
    size = parse_size("output_size", output_size)
    crop_height, crop_width = size[0], size[-1]
    _, height, width = get_dimensions(img)
    top, left = _margin(height, crop_height), _margin(width, crop_width)
    bottom, right = top + crop_height, left + crop_width
    if isinstance(img, Image.Image):
        return img.crop((left, top, right, bottom))  # pixels outside are zero
    return F.pad(img, [-left, right - width, -top, bottom - height])  # a negative padding crops


def _margin(size: int, crop: int) -> int:
    """The start of a central crop; negative if it has to be padded."""
    return round((size - crop) / 2) if size >= crop else -((crop - size) // 2)


def check_padding(padding: int | Sequence[int], padding_mode: str) -> tuple[int, ...]:
    """Left, top, right, bottom; InvalidArgument if :func:`pad` does not accept the padding."""
    numbers = _whole_numbers(padding)
    if len(numbers) not in (1, 2, 4):
        raise InvalidArgument(
            f"padding is {padding!r}; expected a whole number of pixels, (left and right, top and bottom), "
            "or (left, top, right, bottom)."
        )
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise InvalidArgument(f"padding_mode is {padding_mode!r}; expected constant, edge, reflect or symmetric.")
    return numbers * (4 // len(numbers))


def pad(
    img: Picture, padding: int | Sequence[int], fill: float | Sequence[float] = 0, padding_mode: str = "constant"
) -> Picture:
    """Add a border; negative padding crops.

    Args:
        img: PIL image, or tensor ``[..., H, W]``.
        padding: in pixels: one for all sides, ``(left and right, top and bottom)``, or ``(left, top, right, bottom)``.
        fill: value of the border in mode ``constant``: one number, or one per channel.
        padding_mode: ``constant``, ``edge`` (repeats the last pixel), ``reflect`` (mirrors without it) or
            ``symmetric`` (mirrors with it).

    Raises:
        InvalidArgument: the number of paddings or fills or the mode is invalid, or nothing is left of the picture.
    """
    left, top, right, bottom = check_padding(padding, padding_mode)
    channels, height, width = get_dimensions(img)
    colours = tuple(fill) if isinstance(fill, Sequence) else (fill,)
    if len(colours) not in (1, channels):
        raise InvalidArgument(f"fill is {fill!r}; expected one number, or one for each of {channels} channels.")
    if min(left, top, right, bottom) < 0:
        cut = [-min(n, 0) for n in (left, top, right, bottom)]
        if cut[0] + cut[2] >= width or cut[1] + cut[3] >= height:
            raise InvalidArgument(f"padding {padding!r} removes all pixels of a picture of {width} × {height}.")
        left, top, right, bottom = (max(n, 0) for n in (left, top, right, bottom))
        box = cut[0], cut[1], width - cut[2], height - cut[3]
        img = img.crop(box) if isinstance(img, Image.Image) else img[..., box[1] : box[3], box[0] : box[2]]
        width, height = box[2] - box[0], box[3] - box[1]
    if padding_mode == "constant":
        if isinstance(img, Tensor) and len(colours) > 1:
            planes = [
                F.pad(p, [left, right, top, bottom], value=c) for p, c in zip(img.unbind(-3), colours, strict=True)
            ]
            return torch.stack(planes, -3)
        if isinstance(img, Tensor):
            return F.pad(img, [left, right, top, bottom], value=colours[0])
        colour: Any = colours[0] if channels == 1 else tuple(map(int, colours * (channels // len(colours))))
        out = Image.new(img.mode, (width + left + right, height + top + bottom), colour)
        if img.mode == "P":
            out.putpalette(img.getpalette() or [])
        out.paste(img, (left, top))
        return out
    # Every other border repeats existing rows and columns: numpy gives their indices.
    rows = np.pad(np.arange(height), (top, bottom), mode=padding_mode)  # type: ignore[call-overload]
    columns = np.pad(np.arange(width), (left, right), mode=padding_mode)  # type: ignore[call-overload]
    if isinstance(img, Tensor):
        index_rows, index_columns = (torch.from_numpy(index).to(img.device) for index in (rows, columns))
        return img.index_select(-2, index_rows).index_select(-1, index_columns)
    if img.mode == "1":  # eight pixels per byte
        return pad(img.convert("L"), padding, padding_mode=padding_mode).convert("1")
    padded = Image.frombytes(img.mode, (len(columns), len(rows)), np.asarray(img)[rows][:, columns].tobytes())
    if img.mode == "P":
        padded.putpalette(img.getpalette() or [])
    return padded


def check_mean_std(mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """``mean`` and ``std`` as tuples of one finite number per channel.

    Raises:
        InvalidArgument: lengths differ or are zero, or a number is not finite, or a standard deviation is not positive.
    """
    try:
        means, stds = tuple(float(m) for m in mean), tuple(float(s) for s in std)
    except TypeError:
        raise InvalidArgument(
            f"mean is {mean!r} and std {std!r}; expected sequences with one number per channel."
        ) from None
    if not means or len(means) != len(stds) or not all(map(math.isfinite, means + stds)) or min(stds) <= 0:
        raise InvalidArgument(
            f"mean is {means} and std {stds}; expected sequences of equal length, finite, with std above zero."
        )
    return means, stds


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """``(tensor - mean) / std``, channel by channel.

    Args:
        tensor: float ``[..., C, H, W]``.
        mean, std: one number per channel, or one for all.
        inplace: whether to change ``tensor`` itself.

    Raises:
        InvalidArgument: ``tensor`` has integers or another number of channels, or ``std`` is not above zero.
    """
    means, stds = check_mean_std(mean, std)
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise InvalidKind(f"{kind} cannot be normalised; expected a float tensor (see convert_image_dtype).")
    if tensor.ndim < 3 or tensor.shape[-3] != len(means) != 1:
        raise InvalidArgument(
            f"A tensor of shape {list(tensor.shape)} does not have {len(means)} channels at [..., C, H, W]."
        )
    shift, scale = (torch.tensor(v, dtype=tensor.dtype, device=tensor.device).view(-1, 1, 1) for v in (means, stds))
    return tensor.sub_(shift).div_(scale) if inplace else (tensor - shift).div_(scale)


def __getattr__(name: str) -> Any:
    if sentence := elsewhere.where(name, "functional"):
        raise MissingPlugin(sentence)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
