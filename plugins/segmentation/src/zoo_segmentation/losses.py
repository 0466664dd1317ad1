"""Losses for segmentation models."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InvalidArgument, suggest

IGNORED = 255  # the class of pixels without one: Pascal VOC's outlines, and padding


def cross_entropy(logits: Tensor, target: Tensor, ignore_index: int = IGNORED) -> Tensor:
    """Mean cross entropy over the pixels that are not ignored; 0, with a gradient of 0, if all are.

    Args:
        logits: float [N, num_classes, H, W].
        target: int [N, H, W], the class of every pixel, or ``ignore_index``.

    Returns:
        A scalar, in nats.

    Raises:
        InvalidArgument: the shapes do not match.
    """
    _check(logits, target)
    target = target.long()
    total = F.cross_entropy(logits.float(), target, ignore_index=ignore_index, reduction="sum")
    return total / (target != ignore_index).sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor, ignore_index: int = IGNORED) -> Tensor:
    """1 - the mean Dice coefficient of the classes in ``target``, over all pixels of the batch that are not ignored.

    Small classes have the same weight as large ones: `V-Net <https://arxiv.org/abs/1606.04797>`_, with the squares of
    the probabilities in the denominator, as in the paper. Arguments and errors are those of :func:`cross_entropy`.

    Returns:
        A scalar in [0, 1]; 0, with a gradient of 0, if all pixels are ignored.
    """
    _check(logits, target)
    counts = (target != ignore_index)[:, None]
    truth = F.one_hot(target.long().where(counts[:, 0], 0), logits.shape[1]).movedim(-1, 1) * counts
    probabilities = logits.float().softmax(1) * counts
    common = (probabilities * truth).sum((0, 2, 3))
    both = (probabilities**2).sum((0, 2, 3)) + truth.sum((0, 2, 3))
    occurs = truth.sum((0, 2, 3)) > 0
    lost = torch.where(occurs, 1 - 2 * common / both.clamp(min=1e-6), 0)
    return lost.sum() / occurs.sum().clamp(min=1)


def focal_loss(logits: Tensor, target: Tensor, ignore_index: int = IGNORED, gamma: float = 2.0) -> Tensor:
    """Mean of (1 - p)^γ · -log p over the pixels that are not ignored, where p is the probability of the true class:
    well-classified pixels have little weight (`Focal Loss <https://arxiv.org/abs/1708.02002>`_).

    Arguments and errors are those of :func:`cross_entropy`.

    Args:
        gamma: focusing parameter γ; with 0 the loss is the cross entropy.
    """
    _check(logits, target)
    losses = F.cross_entropy(logits.float(), target.long(), ignore_index=ignore_index, reduction="none")
    weights = (1 - (-losses).exp()).clamp(min=0) ** gamma
    return (weights * losses).sum() / (target != ignore_index).sum().clamp(min=1)


LOSSES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "cross-entropy": cross_entropy,
    "dice": dice_loss,
    "focal": focal_loss,
    "cross-entropy+dice": lambda logits, target, ignored: (
        cross_entropy(logits, target, ignored) + dice_loss(logits, target, ignored)
    ),
}
"""Losses by name, called with logits, target and the class to ignore."""


def segmentation_loss(
    outputs: Mapping[str, Tensor],
    target: Tensor,
    *,
    ignore_index: int = IGNORED,
    aux_weight: float = 0.5,
    loss: str = "cross-entropy",
) -> Tensor:
    """A loss of ``outputs["out"]`` plus, if present, that of ``outputs["aux"]`` times ``aux_weight``.

    Args:
        outputs: outputs of a segmentation model: logits [N, num_classes, H, W] by name.
        target: int [N, H, W], the class of every pixel, or ``ignore_index``.
        loss: a key of :data:`LOSSES`.

    Raises:
        InvalidArgument: the loss is unknown, or the shapes do not match.
    """
    if loss not in LOSSES:
        raise InvalidArgument(f"loss is {loss!r}; expected one of {', '.join(LOSSES)}.{suggest(loss, LOSSES)}")
    total = LOSSES[loss](outputs["out"], target, ignore_index)
    if "aux" in outputs:
        total = total + aux_weight * LOSSES[loss](outputs["aux"], target, ignore_index)
    return total


def _check(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        raise InvalidArgument(
            f"logits {list(logits.shape)} and target {list(target.shape)}; expected [N, num_classes, H, W] and "
            "[N, H, W] of the same size."
        )
