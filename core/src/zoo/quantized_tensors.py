"""torch's quantized tensors (``qint8``, ``quint8``, ``qint32``), which torch deprecates. No other module of zoo uses
them.

Published int8 files contain them, and torch's int8 kernels take them. Elsewhere zoo has plain int8 tensors, scales and
zero points; ``zoo convert`` writes such files for later torches without quantized tensors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import CheckpointError, silenced

TYPES = ("qint8", "quint8", "qint32")
# torch's warning when such a tensor is made or read.
DEPRECATED = r"torch\.quantize_per_tensor, torch\.quantize_per_channel and other quantized tensor creation functions"


class Parts(NamedTuple):
    """The parts of a quantized tensor.

    Attributes:
        integers: int8, uint8 or int32, with the tensor's shape.
        scales: one element, or one per channel.
        zero_points: as ``scales``.
        axis: of the channels; None for a single scale.
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
    """The parts of a quantized tensor."""
    integers, dtype = t.int_repr(), str(t.dtype).removeprefix("torch.")
    if t.qscheme() == torch.per_tensor_affine:
        scale = torch.tensor([t.q_scale()], dtype=torch.float64)  # as in torch
        return Parts(integers, scale, torch.tensor([t.q_zero_point()]), None, dtype)
    return Parts(integers, t.q_per_channel_scales(), t.q_per_channel_zero_points(), t.q_per_channel_axis(), dtype)


def put_together(parts: Parts) -> Tensor:
    """The quantized tensor.

    Raises:
        CheckpointError: its integers do not have the type of ``dtype``, or this torch has no such tensors.
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
    """``torch.qint8`` or another quantized dtype, by name; None if this torch does not have it."""
    return getattr(torch, name, None)
