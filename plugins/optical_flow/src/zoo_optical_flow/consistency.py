"""What a flow and the flow back say of one another: where they agree, and what is hidden in the other frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import InvalidArgument

RELATIVE, ABSOLUTE = 0.01, 0.5  # of the squared lengths; of squared pixels


def forward_backward_error(flow: Tensor, backward: Tensor) -> Tensor:
    """How far a pixel comes out from where it was, when it goes along ``flow`` and then back along ``backward``.

    Args:
        flow: from the first frame to the second, floating point [2, H, W] or [N, 2, H, W], in pixels.
        backward: from the second to the first, of the same shape.

    Returns:
        float32 [H, W] or [N, H, W], in pixels; infinite where ``flow`` leads out of the frame, or is not finite.

    Raises:
        InvalidArgument: no flows of one shape.
    """
    return _there_and_back(flow, backward)[0]


def occlusion(flow: Tensor, backward: Tensor, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> Tensor:
    """Which pixels of the first frame are not seen in the second: hidden by something, or out of the frame.

    A pixel is seen where ``|w + b|² <= relative * (|w|² + |b|²) + absolute``, of the flow ``w`` there and the flow
    back ``b`` where it leads: `Sundaram, Brox and Keutzer, 2010 <https://doi.org/10.1007/978-3-642-15549-9_32>`_.

    Args:
        flow, backward: as of :func:`forward_backward_error`.
        relative, absolute: of the bound, from 0 on.

    Returns:
        bool [H, W] or [N, H, W].

    Raises:
        InvalidArgument: no flows of one shape, or a bound below 0.
    """
    for name, value in (("relative", relative), ("absolute", absolute)):
        if not value >= 0:
            raise InvalidArgument(f"{name} is {value!r}; expected a number from 0 on.")
    error, squares = _there_and_back(flow, backward)
    return ~(error.square() <= relative * squares + absolute)


def _there_and_back(flow: Tensor, backward: Tensor) -> tuple[Tensor, Tensor]:
    """The error, and the sum of the squared lengths of both flows."""
    if flow.shape != backward.shape or flow.ndim not in (3, 4) or flow.shape[-3] != 2 or not flow.numel():
        raise InvalidArgument(
            f"The flows have the shapes {list(flow.shape)} and {list(backward.shape)}; expected [2, H, W] both."
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
