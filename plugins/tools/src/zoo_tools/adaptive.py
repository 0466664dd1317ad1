"""Adaptive pooling for inputs of any size; exporters support it for one fixed size only."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def any_size_pools(model: nn.Module) -> Iterator[None]:
    """While active, ``nn.AdaptiveAvgPool2d`` computes the same result by multiplying with averaging matrices."""
    pools = [m for m in model.modules() if type(m) is nn.AdaptiveAvgPool2d and _sides(m.output_size) != (1, 1)]
    try:
        for pool in pools:
            pool.forward = functools.partial(_pooled, pool)  # type: ignore[method-assign]
        yield
    finally:
        for pool in pools:
            pool.__dict__.pop("forward", None)


def _sides(size: Any) -> tuple[int | None, int | None]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _pooled(pool: nn.AdaptiveAvgPool2d, x: Tensor) -> Tensor:
    rows, columns = _sides(pool.output_size)
    x = x if rows is None else _means(x.shape[-2], rows, x) @ x
    return x if columns is None else x @ _means(x.shape[-1], columns, x).mT


def _means(size: Any, cells: int, like: Tensor) -> Tensor:
    """[cells, size]: row i averages the positions from ⌊i · size / cells⌋ to ⌈(i + 1) · size / cells⌉."""
    cell = torch.arange(cells, device=like.device)[:, None]
    place = torch.arange(size, device=like.device)[None]
    start, end = cell * size // cells, ((cell + 1) * size + cells - 1) // cells
    inside = ((place >= start) & (place < end)).to(like.dtype)
    means: Tensor = inside / inside.sum(1, keepdim=True)
    return means
