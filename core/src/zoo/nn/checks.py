"""Checks on what users pass to models: they raise :class:`zoo.errors.InvalidArgument` and change nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contract import check_count as check_count
from zoo.errors import InvalidArgument


def check_probability(name: str, value: float) -> float:
    """``value`` if it is a number in [0, 1] (a dropout, a stochastic depth), else an InvalidArgument."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidArgument(f"{name} is {value!r}; expected a probability between 0 and 1.")
    return value


def check_features(x: Tensor) -> None:
    """Raise unless ``x`` is a tensor of floating point."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise InvalidArgument(f"the input is {what}; expected a tensor of floating point.")


def check_images(x: Tensor, channels: int, min_size: int | tuple[int, int] = 1) -> None:
    """Raise unless ``x`` is a batch of images that a model can take. Skipped in a captured graph.

    Args:
        x: images, floating point, [N, ``channels``, H, W].
        channels: number of channels of the model's first convolution.
        min_size: smallest (height, width) the model accepts; one number means a square.

    Raises:
        InvalidArgument: not a tensor, not floating point, not four dimensions, other channels, or too small.
    """
    if torch.compiler.is_compiling():
        return
    if not isinstance(x, Tensor):
        raise InvalidArgument(
            f"the input is a {type(x).__name__}; expected a tensor [N, {channels}, H, W]. The weights' transforms() "
            "turns a PIL image into [C, H, W]; torch.stack makes a batch of several."
        )
    if x.dim() != 4:
        batch = " Add the batch dimension with x.unsqueeze(0)." if x.dim() == 3 else ""
        raise InvalidArgument(f"the input has shape {list(x.shape)}; expected [N, {channels}, H, W].{batch}")
    if x.shape[1] != channels:
        nhwc = " Channels come second: x.permute(0, 3, 1, 2)." if x.shape[3] == channels else ""
        raise InvalidArgument(
            f"the images have {x.shape[1]} channels (shape {list(x.shape)}) and this model takes {channels}.{nhwc} "
            f"A model for other channels is built with in_channels={x.shape[1]}."
        )
    height, width = (min_size, min_size) if isinstance(min_size, int) else min_size
    if x.shape[2] < height or x.shape[3] < width:
        raise InvalidArgument(
            f"the images are {x.shape[2]}×{x.shape[3]} and this model needs at least {height}×{width} pixels. "
            "Enlarge them, e.g. with torch.nn.functional.interpolate."
        )
    if not (x.is_floating_point() or x.is_quantized):
        raise InvalidArgument(
            f"the images are {x.dtype}; expected floating point. Scale bytes with x.float() / 255 and normalise them "
            "as the weights' transforms() does."
        )


def check_clips(x: Tensor, channels: int, min_size: tuple[int, int, int] = (1, 1, 1)) -> None:
    """Raise unless ``x`` is a batch of video clips that a model can take. Skipped in a captured graph.

    Args:
        x: clips, floating point, [N, ``channels``, T, H, W].
        channels: number of channels of the model's first convolution.
        min_size: fewest frames, smallest height and width that the model accepts.

    Raises:
        InvalidArgument: not a tensor, not floating point, not five dimensions, other channels, too short or small.
    """
    if torch.compiler.is_compiling():
        return
    if not isinstance(x, Tensor):
        raise InvalidArgument(
            f"the input is a {type(x).__name__}; expected a tensor [N, {channels}, T, H, W]. The weights' transforms() "
            "turns frames [T, C, H, W] into [C, T, H, W]; torch.stack makes a batch of several clips."
        )
    if x.dim() != 5:
        batch = " Add the batch dimension with x.unsqueeze(0)." if x.dim() == 4 else ""
        raise InvalidArgument(f"the input has shape {list(x.shape)}; expected [N, {channels}, T, H, W].{batch}")
    if x.shape[1] != channels:
        swapped = " Channels come before frames: x.transpose(1, 2)." if x.shape[2] == channels else ""
        raise InvalidArgument(
            f"the clips have {x.shape[1]} channels (shape {list(x.shape)}) and this model takes {channels}.{swapped} "
            f"A model for other channels is built with in_channels={x.shape[1]}."
        )
    if any(n < least for n, least in zip(x.shape[2:], min_size, strict=True)):
        (frames, height, width), (least, *side) = x.shape[2:], min_size
        raise InvalidArgument(
            f"the clips have {frames} frame(s) of {height}×{width} and this model needs at least {least} of "
            f"{side[0]}×{side[1]} pixels. Take longer clips, or enlarge the frames, e.g. with "
            "torch.nn.functional.interpolate."
        )
    if not x.is_floating_point():
        raise InvalidArgument(
            f"the clips are {x.dtype}; expected floating point. Scale bytes with x.float() / 255 and normalise them "
            "as the weights' transforms() does."
        )
