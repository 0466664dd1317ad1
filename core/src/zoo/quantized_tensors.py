"""torch's quantized tensors (``qint8`` and its kin), which torch deprecates. Nothing else of zoo's touches them.

Published int8 files hold them, and torch's int8 kernels take them. Elsewhere zoo has plain int8 tensors, scales and
zero points; ``zoo convert`` writes such files for the time when torch has no quantized tensors any more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import CheckpointError, silenced

TYPES = ("qint8", "quint8", "qint32")
# What torch says when such a tensor is made or read.
DEPRECATED = r"torch\.quantize_per_tensor, torch\.quantize_per_channel and other quantized tensor creation functions"


class Parts(NamedTuple):
    """A quantized tensor, taken apart.

    Attributes:
        integers: int8, uint8 or int32, of the tensor's shape.
        scales: of one element, or of one for each channel.
        zero_points: likewise.
        axis: of the channels; None where one scale is for all.
        dtype: one of :data:`TYPES`.
    """

    integers: Tensor
    scales: Tensor
    zero_points: Tensor
    axis: int | None
    dtype: str


def is_quantized(value: Any) -> bool:
    """Whether it is one of torch's quantized tensors."""
    return isinstance(value, Tensor) and bool(getattr(value, "is_quantized", False))


def dequantized(value: Any) -> Any:
    """``value``, as floating point if it is a quantized tensor."""
    return value.dequantize() if is_quantized(value) else value


def quantized_like(value: Tensor, like: Tensor) -> Tensor:
    """``value`` with the scale, the zero point and the type of ``like``, which has one of each."""
    return torch.quantize_per_tensor(value, like.q_scale(), like.q_zero_point(), like.dtype)


def take_apart(t: Tensor) -> Parts:
    """What a quantized tensor holds."""
    integers, dtype = t.int_repr(), str(t.dtype).removeprefix("torch.")
    if t.qscheme() == torch.per_tensor_affine:
        scale = torch.tensor([t.q_scale()], dtype=torch.float64)  # as torch has it
        return Parts(integers, scale, torch.tensor([t.q_zero_point()]), None, dtype)
    return Parts(integers, t.q_per_channel_scales(), t.q_per_channel_zero_points(), t.q_per_channel_axis(), dtype)


def put_together(parts: Parts) -> Tensor:
    """The quantized tensor.

    Raises:
        CheckpointError: its integers are of another type than ``dtype``'s, or this torch has no such tensors.
    """
    try:
        wanted: torch.dtype = getattr(torch, parts.dtype) if parts.dtype in TYPES else torch.float
        with silenced(DEPRECATED):
            if parts.axis is None:
                scale, zero_point = float(parts.scales.item()), int(parts.zero_points.item())
                made = torch._make_per_tensor_quantized_tensor(parts.integers, scale, zero_point)
            else:
                made = torch._make_per_channel_quantized_tensor(
                    parts.integers, parts.scales.double(), parts.zero_points.long(), parts.axis
                )
    except AttributeError as e:
        raise CheckpointError(f"torch {torch.__version__} has no quantized tensors any more; `zoo convert`, with an "
                              "earlier torch, writes such a file as plain int8 tensors.") from e  # fmt: skip
    if made.dtype != wanted:
        raise CheckpointError(f"the integers of a quantized tensor are {parts.integers.dtype}, not {parts.dtype}'s")
    return made


def quantized_type(name: str) -> Any:
    """``torch.qint8`` and the like, by name; None where this torch has none."""
    return getattr(torch, name, None)
