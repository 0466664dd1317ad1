"""What every operator asks of its arguments, and whether a graph is being captured."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import InvalidArgument


def captured() -> bool:
    """Whether a graph is being recorded (compile, export, trace): then values are unknown and are not checked."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def exporting_to_onnx() -> bool:
    return torch.onnx.is_in_onnx_export()


def widened(t: Tensor) -> Tensor:
    """``t`` in a type whose products neither overflow nor lose the last pixel: float32 for half, int32 for short."""
    if t.is_floating_point():
        return t if t.dtype in (torch.float32, torch.float64) else t.float()
    return t if t.dtype in (torch.int32, torch.int64) else t.int()


def check_shape(name: str, t: Tensor, *shape: int | str | None) -> None:
    """Raise unless ``t`` has this shape. A number must match, a name or None stands for any size."""
    fits = len(shape) == t.ndim and all(a == b for a, b in zip(t.shape, shape, strict=True) if isinstance(b, int))
    if not fits:
        wanted = ", ".join("*" if size is None else str(size) for size in shape)
        raise InvalidArgument(f"{name} must have the shape [{wanted}], but got {list(t.shape)}.")


def check_boxes(name: str, boxes: Tensor) -> None:
    """Raise unless the last dimension of ``boxes`` holds four coordinates."""
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise InvalidArgument(f"{name} must have the shape [..., 4], but got {list(boxes.shape)}.")


def check_floating(**tensors: Tensor) -> None:
    """Raise unless all tensors are floating point; the message shows the type of each."""
    if not all(t.is_floating_point() for t in tensors.values()):
        given = " and ".join(f"{name} of {t.dtype}" for name, t in tensors.items())
        raise InvalidArgument(f"Expected floating point tensors, but got {given}. Convert them with .float().")
