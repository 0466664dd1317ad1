"""How far a flow is from the true one: end-point error, and the shares of pixels that are far off."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.errors import InvalidArgument


def end_point_error(flow: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """The mean distance between the ends of the flow vectors, in pixels.

    Args:
        flow, target: [N, 2, H, W] or [2, H, W], in pixels.
        valid: where the truth is known, [N, H, W] or [H, W], bool or 0 and 1; None means everywhere.

    Returns:
        A scalar, the mean over the valid pixels of the whole batch; NaN where none is valid.

    Raises:
        InvalidArgument: shapes that do not fit together.
    """
    distance, _ = distances(flow, target, valid)
    return distance.mean()


def outlier_share(flow: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """KITTI's ``Fl-all``: the share of pixels, in percent, that are off by over 3 pixels and over 5 % of the motion.

    From `Object Scene Flow for Autonomous Vehicles <https://www.cvlibs.net/publications/Menze2015CVPR.pdf>`_.
    Arguments and errors are those of :func:`end_point_error`.
    """
    distance, length = distances(flow, target, valid)
    return 100 * outliers(distance, length).to(distance.dtype).mean()


def error_shares(
    flow: Tensor, target: Tensor, valid: Tensor | None = None, beyond: Sequence[float] = (1, 3, 5)
) -> Tensor:
    """The shares of pixels, in percent, whose flow is off by over 1, 3 and 5 pixels.

    Arguments and errors are those of :func:`end_point_error`.

    Args:
        beyond: distances in pixels.

    Returns:
        As many numbers as there are distances, float64; NaN where no pixel is valid.
    """
    distance, _ = distances(flow, target, valid)
    return 100 * torch.stack([(distance > pixels).to(distance.dtype).mean() for pixels in beyond])


def outliers(distance: Tensor, length: Tensor) -> Tensor:
    """Which pixels KITTI counts as wrong, bool; the arguments are what :func:`distances` gives."""
    return (distance > 3) & (distance > 0.05 * length)


def distances(flow: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of the valid pixels, each float64 [P]: the distance to the truth, and the length of the true vector, in pixels.

    Arguments and errors are those of :func:`end_point_error`.
    """
    if flow.shape != target.shape or flow.ndim not in (3, 4) or flow.shape[-3] != 2:
        raise InvalidArgument(
            f"flow and target have the shapes {list(flow.shape)} and {list(target.shape)}; expected [N, 2, H, W] or "
            "[2, H, W], both the same."
        )
    pixels = target.shape[:-3] + target.shape[-2:]
    if valid is not None and valid.shape != pixels:
        raise InvalidArgument(f"valid has shape {list(valid.shape)}; expected {list(pixels)}.")
    known = torch.ones(pixels, dtype=torch.bool, device=target.device) if valid is None else valid.bool()
    ours, truth = (t.double().movedim(-3, -1)[known] for t in (flow, target))
    return (ours - truth).norm(dim=-1), truth.norm(dim=-1)
