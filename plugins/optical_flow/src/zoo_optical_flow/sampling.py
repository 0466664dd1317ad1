"""Coordinates of flows, in pixels, and sampling at them: functions for training and warping code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo_optical_flow.raft import upsample_convex

__all__ = ["grid_sample", "make_coords_grid", "upsample_flow"]


def make_coords_grid(batch_size: int, h: int, w: int, device: torch.device | str = "cpu") -> Tensor:
    """x and y of each pixel, float32 [batch_size, 2, h, w]."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32, device=device) for n in (h, w)), indexing="ij")
    return torch.stack([x, y]).repeat(batch_size, 1, 1, 1)


def grid_sample(
    img: Tensor, absolute_grid: Tensor, mode: str = "bilinear", align_corners: bool | None = True
) -> Tensor:
    """Images [N, C, H, W] at x and y in pixels [N, h, w, 2] → [N, C, h, w]; zeros outside. A side of one pixel is
    sampled at every coordinate."""
    height, width = img.shape[2:]
    size = absolute_grid.new_tensor([width, height])
    if align_corners:
        scaled = 2 * absolute_grid / (size - 1).clamp(min=1) - (size > 1).to(absolute_grid)
    else:
        scaled = (2 * absolute_grid + 1) / size - 1
    return F.grid_sample(img, scaled, mode=mode, align_corners=align_corners)


def upsample_flow(flow: Tensor, up_mask: Tensor | None = None, factor: int = 8) -> Tensor:
    """Flow [N, 2, h, w] → [N, 2, factor h, factor w]: with the mask [N, 9 · 64, h, w], which requires a factor of 8, or
    bilinearly."""
    if up_mask is not None:
        return upsample_convex(flow, up_mask)
    size: Any = [n * factor for n in flow.shape[2:]]
    return factor * F.interpolate(flow, size=size, mode="bilinear", align_corners=True)
