"""Markers in a float model: where values are quantized, and which modules are fused.

Nothing here quantizes, and nothing needs ``torch.ao``. :mod:`zoo_quantized.reference` and :mod:`zoo_quantized.eager`
replace these parts by ones that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Quantize(nn.Module):
    """Quantizes float images; in a float model the identity."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Dequantize(nn.Module):
    """Dequantizes logits; in a float model the identity."""

    def forward(self, x: Any) -> Any:
        return x


class Arithmetic(nn.Module):
    """Elementwise operations between layers, whose results are quantized too. The methods are those of ``torch.ao``'s
    ``FloatFunctional``; each result passes through :meth:`forward`."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return self(x + y)  # type: ignore[no-any-return]

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        return self(torch.relu(x + y))  # type: ignore[no-any-return]

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        return self(x * y)  # type: ignore[no-any-return]

    def cat(self, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
        return self(torch.cat(list(tensors), dim))  # type: ignore[no-any-return]


def fusions(model: nn.Module) -> list[list[str]]:
    """Paths of the modules that are fused: convolution, then batch norm and ReLU if present.

    They are adjacent in the order of definition; otherwise a module declares them as ``fused``, a tuple of tuples of
    names.
    """
    found: list[list[str]] = []
    for path, module in model.named_modules():
        groups = getattr(module, "fused", None) or _runs(module)
        found += [[f"{path}.{name}".lstrip(".") for name in group] for group in groups]
    return found


def _runs(module: nn.Module) -> list[list[str]]:
    runs: list[list[str]] = []
    previous: nn.Module | None = None
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            runs.append([name])
        elif (isinstance(child, nn.BatchNorm2d) and isinstance(previous, nn.Conv2d)) or (
            isinstance(child, nn.ReLU) and isinstance(previous, nn.Conv2d | nn.BatchNorm2d)
        ):
            runs[-1].append(name)
        previous = child
    return runs
