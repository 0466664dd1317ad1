"""Losses over very many anchors, of which very few stand for an object."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def sparse_focal_loss(
    logits: Tensor, rows: Tensor, labels: Tensor, counted: Tensor | None = None, alpha: float = 0.25, gamma: float = 2
) -> Tensor:
    """The sum of the focal loss over [A, C] independent decisions, of which those at (``rows``, ``labels``) are yes.

    From `Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_; what
    ``zoo.ops.sigmoid_focal_loss`` gives for targets that are zeros but for a few ones. All decisions are taken for a
    no, which takes half the arithmetic, and the few are put right.

    Args:
        rows, labels: int64 [P].
        counted: bool [A]; the other rows have no loss. By default all count.
    """
    no = _focal(logits, 1 - alpha, gamma).sum(dim=1)
    if counted is not None:
        no = no * counted
    positive = logits[rows, labels]
    return no.sum() + (_focal(-positive, alpha, gamma) - _focal(positive, 1 - alpha, gamma)).sum()


def _focal(logits: Tensor, weight: float, gamma: float) -> Tensor:
    """The loss of saying yes with ``logits`` where no is right."""
    p = logits.sigmoid()
    return (p * p if gamma == 2 else p**gamma) * F.softplus(logits) * weight
