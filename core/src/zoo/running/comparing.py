"""Compares the outputs of a changed model with its former outputs, within a tolerance for its precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

TOLERANCE = 1e-4  # for single precision: the largest difference, in standard deviations of the outputs
# For half precision: the root mean squared difference, in the same unit. bfloat16 has 8 bits, float16 has 11.
HALF = {torch.bfloat16: 0.1, torch.float16: 0.02}


def compared(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """The outputs of the model, or of its ``comparable`` if the outputs are discontinuous."""
    with torch.no_grad():
        return getattr(model, "comparable", model)(*inputs)


def difference(
    model: nn.Module, inputs: tuple[Any, ...], expected: Any, dtype: torch.dtype | None = None
) -> tuple[str | None, float]:
    """How the outputs of the model differ from ``expected``, or None; and by how much.

    Args:
        dtype: the dtype that it computes in; by default that of the outputs.
    """
    try:
        got, structure = tree_flatten(compared(model, inputs))
        want, expected_structure = tree_flatten(expected)
    except Exception as e:  # noqa: BLE001  a model's code may raise any exception
        return f"the model fails with {type(e).__name__}: {e}", 0.0
    if structure != expected_structure:
        return "the outputs have another structure", 0.0
    most = 0.0
    for a, b in zip(got, want, strict=True):
        if not isinstance(b, Tensor):
            if not isinstance(b, int | float | str | None):
                return f"the outputs contain a {type(b).__name__}, which cannot be compared", most
            if a != b:
                return f"an output is {a!r} and was {b!r}", most
        elif a.shape != b.shape or a.dtype != b.dtype:
            return f"an output is {a.dtype} {list(a.shape)} and was {b.dtype} {list(b.shape)}", most
        elif b.numel():
            off, limit = _distance(a, b, dtype), _tolerance(b, dtype)
            if not off <= limit:
                return f"an output would differ by {off:.1e} of its standard deviation, and {limit:.1e} is allowed", off
            most = max(most, off)
    return None, most


def _distance(a: Tensor, b: Tensor, dtype: torch.dtype | None) -> float:
    """The difference in standard deviations of ``b``: the largest, or for half precision the root mean square."""
    apart = a.double() - b.double()
    off = apart.square().mean().sqrt() if dtype in HALF else apart.abs().max()
    return off.item() / _spread(b)


def _spread(values: Tensor) -> float:
    values = values.double()
    return values.std(correction=0).item() or values.abs().max().item() or 1.0


def _tolerance(output: Tensor, dtype: torch.dtype | None) -> float:
    """The tolerance, or the rounding error of the arithmetic if that is larger."""
    if not output.is_floating_point():
        return 0.0
    # By default GPUs compute float32 convolutions with 10 bits (TF32).
    eps = torch.finfo(output.dtype).eps if output.device.type == "cpu" else max(torch.finfo(output.dtype).eps, 2**-10)
    magnitude = max(
        1.0, output.abs().max().item() / _spread(output)
    )  # few significant digits if the spread is small against the magnitude
    if dtype in HALF:
        return max(HALF[dtype], torch.finfo(dtype).eps * magnitude)
    return max(TOLERANCE, 32 * eps * magnitude)
