"""Position embeddings: the shape of their grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def patch_grid(embeddings: Tensor) -> tuple[int, int]:
    """(rows, columns) of the grid of patches of position embeddings [n, width]: a square if n is a square number.

    Files do not state other shapes, but neighbouring patches have similar embeddings. Grids with an aspect ratio above
    four are only considered if there are no others.
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
