"""Checks of models' inputs: they raise :class:`zoo.errors.InvalidArgument` and change nothing."""

from __future__ import annotations

import contextlib
from numbers import Real

import torch
from torch import Tensor, nn

from zoo.contract import check_count as check_count
from zoo.errors import InvalidArgument
from zoo.quantized_tensors import is_quantized


def captured(x: object) -> bool:
    """Whether a graph is being captured, by ``torch.compile``, ``torch.export``, ``torch.jit.trace`` or ``torch.fx``,
    through which other inputs than ``x`` will pass."""
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return traced or torch.compiler.is_compiling() or isinstance(x, torch.fx.Proxy)


def first_channels(layer: nn.Module) -> int | None:
    """The number of input channels of a layer, if it is known: a convolution, or containers that begin with one.

    None for other modules.
    """
    while isinstance(layer, nn.Sequential | nn.ModuleDict) and len(layer):
        layer = next(iter(layer.children()))
    channels = getattr(layer, "in_channels", None)
    return channels if isinstance(channels, int) else None


def refuse_script(model: nn.Module) -> nn.Module:
    """``__prepare_scriptable__`` of a model, which torch.jit.script calls first, to raise a clear error.

    Raises:
        InvalidArgument: always.
    """
    raise InvalidArgument(
        f"{type(model).__name__} does not support torch.jit.script, which is deprecated in PyTorch: use "
        "torch.export.export, torch.jit.trace, or zoo export on the command line."
    )


class _InputChannels(property):
    def __set_name__(self, owner: type[nn.Module], name: str) -> None:
        owner.__prepare_scriptable__ = refuse_script  # type: ignore[attr-defined]


def input_channels(layer: str) -> property:
    """A model's attribute ``in_channels``: the number of input channels of its current first module ``layer``.

    None if it is not known, see :func:`first_channels`. torch.jit.script of the model raises a clear error.

    >>> class Net(nn.Module):
    ...     in_channels = input_channels("conv1")
    """

    def in_channels(model: nn.Module) -> int | None:
        return first_channels(getattr(model, layer))

    return _InputChannels(in_channels)


def check_probability(name: str, value: float) -> float:
    """``value``, checked to be a number in [0, 1] (a dropout, a stochastic depth)."""
    given: object = value
    if isinstance(given, bool) or not isinstance(given, Real) or not 0 <= value <= 1:
        raise InvalidArgument(f"{name} is {value!r}; expected a probability between 0 and 1.")
    return value


def check_features(x: Tensor) -> None:
    """Raise unless ``x`` is a floating point tensor."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise InvalidArgument(f"the input is {what}; expected a floating point tensor.")


def check_images(x: Tensor, channels: int | None, min_size: int | tuple[int, int] = 1) -> None:
    """Raise unless ``x`` is a valid batch of images for a model. Skipped in a captured graph.

    Args:
        x: images, floating point, [N, ``channels``, H, W].
        channels: number of input channels of the model's first layer; None for any number.
        min_size: smallest (height, width) the model accepts; one number means a square.

    Raises:
        InvalidArgument: ``x`` is not a tensor, not floating point, not four-dimensional, has other channels, or is too
            small.
    """
    if captured(x):
        return
    c = "C" if channels is None else channels
    if not isinstance(x, Tensor):
        raise InvalidArgument(
            f"the input is a {type(x).__name__}; expected a tensor [N, {c}, H, W]. The weights' transforms() "
            "turns a PIL image into [C, H, W]; torch.stack makes a batch of several."
        )
    if x.dim() != 4:
        batch = " Add the batch dimension with x.unsqueeze(0)." if x.dim() == 3 else ""
        raise InvalidArgument(f"the input has shape {list(x.shape)}; expected [N, {c}, H, W].{batch}")
    if channels is not None and x.shape[1] != channels:
        nhwc = " Channels come second: x.permute(0, 3, 1, 2)." if x.shape[3] == channels else ""
        raise InvalidArgument(
            f"the images have {x.shape[1]} channels (shape {list(x.shape)}) but this model takes {channels}.{nhwc} "
            f"A model for other channels is built with in_channels={x.shape[1]}."
        )
    height, width = (min_size, min_size) if isinstance(min_size, int) else min_size
    if x.shape[2] < height or x.shape[3] < width:
        raise InvalidArgument(
            f"the images are {x.shape[2]}×{x.shape[3]} but this model needs at least {height}×{width} pixels. "
            "Enlarge them, e.g. with torch.nn.functional.interpolate."
        )
    if not (x.is_floating_point() or is_quantized(x)):
        raise InvalidArgument(
            f"the images are {x.dtype}; expected floating point. Scale bytes with x.float() / 255 and normalise them "
            "as the weights' transforms() does."
        )


class _Explained(contextlib.AbstractContextManager[None]):
    def __init__(self, what: str, advice: str) -> None:
        self.what, self.advice = what, advice

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RuntimeError):
            raise InvalidArgument(f"{self.what} {self.advice}") from error


def at_least(x: Tensor, size: int | tuple[int, ...]) -> contextlib.AbstractContextManager[None]:
    """A context for a model's computation on images or clips ``x``. If it fails and they are smaller than ``size``, the
    error names both sizes. Small inputs may work, since layers may have been replaced.

    Args:
        size: smallest (height, width) of images, where one number means a square; or (frames, height, width).

    Raises:
        InvalidArgument: a RuntimeError was raised inside, and ``x`` is smaller.
    """
    least = (size, size) if isinstance(size, int) else size
    if captured(x) or all(n >= m for n, m in zip(x.shape[2:], least, strict=True)):
        return contextlib.nullcontext()
    *frames, height, width = x.shape[2:]
    *some, h, w = least
    if frames:
        return _Explained(
            f"the clips have {frames[0]} frame(s) of {height}×{width} and this model needs at least {some[0]} of "
            f"{h}×{w} pixels.",
            "Take longer clips, or enlarge the frames, e.g. with torch.nn.functional.interpolate.",
        )
    return _Explained(
        f"the images are {height}×{width} and this model needs at least {h}×{w} pixels.",
        "Enlarge them, e.g. with torch.nn.functional.interpolate.",
    )


def check_clips(x: Tensor, channels: int | None, min_size: tuple[int, int, int] = (1, 1, 1)) -> None:
    """Raise unless ``x`` is a valid batch of video clips for a model. Skipped in a captured graph.

    Args:
        x: clips, floating point, [N, ``channels``, T, H, W].
        channels: number of input channels of the model's first layer; None for any number.
        min_size: smallest number of frames, height and width that the model accepts.

    Raises:
        InvalidArgument: ``x`` is not a tensor, not floating point, not five-dimensional, has other channels, or is too
            short or small.
    """
    if captured(x):
        return
    c = "C" if channels is None else channels
    if not isinstance(x, Tensor):
        raise InvalidArgument(
            f"the input is a {type(x).__name__}; expected a tensor [N, {c}, T, H, W]. The weights' transforms() "
            "turns frames [T, C, H, W] into [C, T, H, W]; torch.stack makes a batch of several clips."
        )
    if x.dim() != 5:
        batch = " Add the batch dimension with x.unsqueeze(0)." if x.dim() == 4 else ""
        raise InvalidArgument(f"the input has shape {list(x.shape)}; expected [N, {c}, T, H, W].{batch}")
    if channels is not None and x.shape[1] != channels:
        swapped = " Channels come before frames: x.transpose(1, 2)." if x.shape[2] == channels else ""
        raise InvalidArgument(
            f"the clips have {x.shape[1]} channels (shape {list(x.shape)}) but this model takes {channels}.{swapped} "
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
