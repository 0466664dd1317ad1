"""Checks of operators' arguments, and whether a graph is being captured."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from operator import index
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InvalidArgument, InvalidKind, InvalidOperand, suggest


def captured() -> bool:
    """Whether a graph is being recorded (compile, export, trace): then values are unknown and are not checked."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def exporting_to_onnx() -> bool:
    # Accessing torch.onnx imports it, which takes as long as a small model's first prediction.
    return (torch.compiler.is_compiling() or "torch.onnx" in sys.modules) and torch.onnx.is_in_onnx_export()


def widened(t: Tensor) -> Tensor:
    """``t`` in a dtype whose products neither overflow nor lose precision: float32 for half, int64 for integers (int32
    for 8 bit integers)."""
    if t.is_floating_point():
        return t if t.dtype in (torch.float32, torch.float64) else t.float()
    return t.int() if t.dtype in (torch.uint8, torch.int8) else t.long()


def check_tensor(name: str, t: object) -> None:
    if not isinstance(t, Tensor):
        raise InvalidKind(f"{name} must be a tensor, but got {type(t).__name__}.")


def check_number(name: str, value: object) -> None:
    """Raise unless ``value`` is a number, or a tensor of one number."""
    if captured() or (isinstance(value, Tensor) and value.numel() == 1):
        return
    if not isinstance(value, Real) or math.isnan(float(value)):
        raise InvalidArgument(f"{name} must be a number, but got {value!r}.")


def check_whole(name: str, value: object, least: int | None = None) -> None:
    """Raise unless ``value`` is an integer of at least ``least``."""
    if captured():
        return
    if not isinstance(value, Integral) or (least is not None and int(value) < least):
        what = "a whole number" if least is None else f"a whole number of at least {least}"
        raise InvalidArgument(f"{name} must be {what}, but got {value!r}.")


def pair(name: str, value: object, least: int = 1) -> tuple[int, int]:
    """``value`` as (vertical, horizontal), where a single number is used for both."""
    both: tuple[Any, ...] = tuple(value) if is_list(value) else (value, value)
    if len(both) != 2 or not all(isinstance(n, Integral) and int(n) >= least for n in both):
        what = "positive" if least == 1 else f"at least {least}"
        raise InvalidArgument(f"{name} must be {what}, one whole number or two, but got {value!r}.")
    return index(both[0]), index(both[1])


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    array = isinstance(value, np.ndarray) and value.ndim == 1
    return array or (isinstance(value, Sequence) and not isinstance(value, str))


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = suggest(value, choices) if isinstance(value, str) else ""
        raise InvalidArgument(f"{name} must be one of {', '.join(choices)}, but got {value!r}.{close}")


def check_shape(name: str, t: Tensor, *shape: int | str | None) -> None:
    """Raise unless ``t`` is a tensor of this shape. A number must match; a name or None means any size."""
    check_tensor(name, t)
    fits = len(shape) == t.ndim and all(a == b for a, b in zip(t.shape, shape, strict=True) if isinstance(b, int))
    if not fits:
        wanted = ", ".join("*" if size is None else str(size) for size in shape)
        raise InvalidOperand(f"{name} must have the shape [{wanted}], but got {list(t.shape)}.")


def check_boxes(name: str, boxes: Tensor) -> None:
    """Raise unless the last dimension of ``boxes`` has four coordinates, which are real numbers."""
    check_tensor(name, boxes)
    if boxes.is_complex() or boxes.dtype == torch.bool:
        raise InvalidOperand(f"{name} must be of a real type, but got {boxes.dtype}.")
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise InvalidOperand(f"{name} must have the shape [..., 4], but got {list(boxes.shape)}.")


def check_floating(**tensors: Tensor) -> None:
    """Raise unless all tensors are floating point; the message shows the dtype of each."""
    for name, t in tensors.items():
        check_tensor(name, t)
    if not all(t.is_floating_point() for t in tensors.values()):
        given = " and ".join(f"{name} of {t.dtype}" for name, t in tensors.items())
        raise InvalidOperand(f"Expected floating point tensors, but got {given}. Convert them with .float().")
