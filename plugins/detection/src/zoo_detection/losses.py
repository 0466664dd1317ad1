"""Losses over many anchors, of which few are matched to an object."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def sparse_focal_loss(
    logits: Tensor, rows: Tensor, labels: Tensor, counted: Tensor | None = None, alpha: float = 0.25, gamma: float = 2
) -> Tensor:
    """The sum of the focal loss over [A, C] binary decisions, of which those at (``rows``, ``labels``) are positive.

    From `Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_; equals
    ``zoo.ops.sigmoid_focal_loss`` for targets with few ones. All decisions are computed as negative, which takes half
    the arithmetic, and the few positive ones are corrected.

    Args:
        rows, labels: int64 [P].
        counted: bool [A]; the other rows have no loss. By default all rows have one.
    """
    no = _focal(logits, 1 - alpha, gamma).sum(dim=1)
    if counted is not None:
        no = no * counted
    positive = logits[rows, labels]
    return no.sum() + (_focal(-positive, alpha, gamma) - _focal(positive, 1 - alpha, gamma)).sum()


def _focal(logits: Tensor, weight: float, gamma: float) -> Tensor:
    """The loss of positive predictions ``logits`` for negative targets."""
    p = logits.sigmoid()
    return (p * p if gamma == 2 else p**gamma) * F.softplus(logits) * weight
