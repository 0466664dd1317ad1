"""Consistency of a flow and the backward flow: the error between them, and the occluded pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import InvalidArgument

RELATIVE, ABSOLUTE = 0.01, 0.5  # relative to the squared lengths; in squared pixels


def forward_backward_error(flow: Tensor, backward: Tensor) -> Tensor:
    """The distance of each pixel from its origin after following ``flow`` and then ``backward``.

    Args:
        flow: flow from the first frame to the second, floating point [2, H, W] or [N, 2, H, W], in pixels.
        backward: flow from the second frame to the first, of the same shape.

    Returns:
        float32 [H, W] or [N, H, W], in pixels; infinite where ``flow`` points outside the frame, or is not finite.

    Raises:
        InvalidArgument: the arguments are not flows of the same shape.
    """
    return _there_and_back(flow, backward)[0]


def occlusion(flow: Tensor, backward: Tensor, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> Tensor:
    """Which pixels of the first frame are not visible in the second: occluded, or outside the frame.

    A pixel is visible if ``|w + b|² <= relative * (|w|² + |b|²) + absolute``, with the flow ``w`` at the pixel and the
    backward flow ``b`` at its end point: `Sundaram, Brox and Keutzer, 2010
    <https://doi.org/10.1007/978-3-642-15549-9_32>`_.

    Args:
        flow, backward: as in :func:`forward_backward_error`.
        relative, absolute: terms of the bound, at least 0.

    Returns:
        bool [H, W] or [N, H, W].

    Raises:
        InvalidArgument: the arguments are not flows of the same shape, or ``relative`` or ``absolute`` is negative.
    """
    for name, value in (("relative", relative), ("absolute", absolute)):
        if not value >= 0:
            raise InvalidArgument(f"{name} is {value!r}; expected a non-negative number.")
    error, squares = _there_and_back(flow, backward)
    return ~(error.square() <= relative * squares + absolute)


def _there_and_back(flow: Tensor, backward: Tensor) -> tuple[Tensor, Tensor]:
    """The error, and the sum of the squared lengths of both flows."""
    if flow.shape != backward.shape or flow.ndim not in (3, 4) or flow.shape[-3] != 2 or not flow.numel():
        raise InvalidArgument(
            f"The flows have the shapes {list(flow.shape)} and {list(backward.shape)}; expected [2, H, W] for both."
        )
    height, width = flow.shape[-2:]
    there = flow.reshape(-1, 2, height, width).float()
    back = backward.reshape(-1, 2, height, width).float().to(there.device)
    x = torch.arange(width, device=there.device) + there[:, 0]
    y = torch.arange(height, device=there.device)[:, None] + there[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    found = F.grid_sample(back, torch.where(inside[..., None], grid, 0), padding_mode="border", align_corners=False)
    error = torch.where(inside, (there + found).norm(dim=1), torch.inf)
    error = torch.where(error.isnan(), torch.inf, error)
    squares = there.square().sum(1) + found.square().sum(1)
    return error.reshape(*flow.shape[:-3], height, width), squares.reshape(*flow.shape[:-3], height, width)
