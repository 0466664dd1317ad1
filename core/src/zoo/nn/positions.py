"""Position embeddings: what grid they are of."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def patch_grid(embeddings: Tensor) -> tuple[int, int]:
    """(rows, columns) of the grid of patches that position embeddings [n, width] are of: a square where n is one.

    Files do not say it of others. The embeddings do: those of patches that lie beside or above each other are alike.
    Grids more than four times as long as they are wide count where there are no others.
    """
    n = len(embeddings)
    if (side := math.isqrt(n)) ** 2 == n:
        return side, side
    grids = [(rows, n // rows) for rows in range(1, n + 1) if n % rows == 0]
    near = [(rows, columns) for rows, columns in grids if max(rows, columns) <= 4 * min(rows, columns)]

    def apart(grid: tuple[int, int]) -> float:
        picture = embeddings.float().view(*grid, -1)
        return float(torch.cat([picture.diff(dim=0).flatten(0, 1), picture.diff(dim=1).flatten(0, 1)]).square().mean())

    return min(near or grids, key=apart)
