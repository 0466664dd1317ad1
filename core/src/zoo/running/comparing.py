"""Whether a model that was changed still gives what it gave, within what its precision allows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

TOLERANCE = 1e-4  # of single precision: the largest difference, in standard deviations of the outputs
# Of half precision: the root of the mean squared difference, in the same measure. bfloat16 has 8 bits, float16 has 11.
HALF = {torch.bfloat16: 0.1, torch.float16: 0.02}


def compared(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """What the model returns; or, where that jumps, what its ``comparable`` does."""
    with torch.no_grad():
        return getattr(model, "comparable", model)(*inputs)


def difference(
    model: nn.Module, inputs: tuple[Any, ...], expected: Any, dtype: torch.dtype | None = None
) -> tuple[str | None, float]:
    """How what the model returns differs from ``expected``, None where it does not; and by how much.

    Args:
        dtype: what it computes in; None for what the outputs have.
    """
    try:
        got, structure = tree_flatten(compared(model, inputs))
        want, expected_structure = tree_flatten(expected)
    except Exception as e:  # noqa: BLE001  a model's own code can raise anything
        return f"the model fails with {type(e).__name__}: {e}", 0.0
    if structure != expected_structure:
        return "the outputs have another structure", 0.0
    most = 0.0
    for a, b in zip(got, want, strict=True):
        if not isinstance(b, Tensor):
            if not isinstance(b, int | float | str | None):
                return f"the outputs have a {type(b).__name__} among them, which cannot be compared", most
            if a != b:
                return f"an output is {a!r} and was {b!r}", most
        elif a.shape != b.shape or a.dtype != b.dtype:
            return f"an output is {a.dtype} {list(a.shape)} and was {b.dtype} {list(b.shape)}", most
        elif b.numel():
            off, limit = _distance(a, b, dtype), _tolerance(b, dtype)
            if not off <= limit:
                return f"an output would be off by {off:.1e} of its spread, and {limit:.1e} is allowed", off
            most = max(most, off)
    return None, most


def _distance(a: Tensor, b: Tensor, dtype: torch.dtype | None) -> float:
    """In standard deviations of ``b``: the largest difference, or that of half precision on the average."""
    apart = a.double() - b.double()
    off = apart.square().mean().sqrt() if dtype in HALF else apart.abs().max()
    return off.item() / _spread(b)


def _spread(values: Tensor) -> float:
    values = values.double()
    return values.std(correction=0).item() or values.abs().max().item() or 1.0


def _tolerance(output: Tensor, dtype: torch.dtype | None) -> float:
    """What is allowed, or what the arithmetic itself leaves uncertain where that is more."""
    if not output.is_floating_point():
        return 0.0
    # GPUs compute convolutions of float32 with 10 bits (TF32) unless told otherwise.
    eps = torch.finfo(output.dtype).eps if output.device.type == "cpu" else max(torch.finfo(output.dtype).eps, 2**-10)
    magnitude = max(1.0, output.abs().max().item() / _spread(output))  # close together, far from zero: few digits
    if dtype in HALF:
        return max(HALF[dtype], torch.finfo(dtype).eps * magnitude)
    return max(TOLERANCE, 32 * eps * magnitude)
