"""Metrics of optical flow: end-point error, and the shares of pixels with large errors."""

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
        A scalar, the mean over the valid pixels of the batch; NaN if none is valid.

    Raises:
        InvalidArgument: the shapes do not match.
    """
    distance, _ = distances(flow, target, valid)
    return distance.mean()


def outlier_share(flow: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """KITTI's ``Fl-all``: the share of pixels, in percent, with an error above 3 pixels and above 5 % of the motion.

    From `Object Scene Flow for Autonomous Vehicles <https://www.cvlibs.net/publications/Menze2015CVPR.pdf>`_.
    Arguments and errors are those of :func:`end_point_error`.
    """
    distance, length = distances(flow, target, valid)
    return 100 * outliers(distance, length).to(distance.dtype).mean()


def error_shares(
    flow: Tensor, target: Tensor, valid: Tensor | None = None, beyond: Sequence[float] = (1, 3, 5)
) -> Tensor:
    """The shares of pixels, in percent, with an error above 1, 3 and 5 pixels.

    Arguments and errors are those of :func:`end_point_error`.

    Args:
        beyond: distances in pixels.

    Returns:
        One number per distance, float64; NaN if no pixel is valid.
    """
    distance, _ = distances(flow, target, valid)
    return 100 * torch.stack([(distance > pixels).to(distance.dtype).mean() for pixels in beyond])


def outliers(distance: Tensor, length: Tensor) -> Tensor:
    """Which pixels are outliers by KITTI's definition, bool; the arguments are the results of :func:`distances`."""
    return (distance > 3) & (distance > 0.05 * length)


def distances(flow: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """For the valid pixels, each float64 [P]: the distance to the truth, and the length of the true vector, in pixels.

    Arguments and errors are those of :func:`end_point_error`.
    """
    if flow.shape != target.shape or flow.ndim not in (3, 4) or flow.shape[-3] != 2:
        raise InvalidArgument(
            f"flow and target have the shapes {list(flow.shape)} and {list(target.shape)}; expected [N, 2, H, W] or "
            "[2, H, W], the same for both."
        )
    pixels = target.shape[:-3] + target.shape[-2:]
    if valid is not None and valid.shape != pixels:
        raise InvalidArgument(f"valid has shape {list(valid.shape)}; expected {list(pixels)}.")
    known = torch.ones(pixels, dtype=torch.bool, device=target.device) if valid is None else valid.bool()
    ours, truth = (t.double().movedim(-3, -1)[known] for t in (flow, target))
    return (ours - truth).norm(dim=-1), truth.norm(dim=-1)
