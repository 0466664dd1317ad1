"""Losses of detectors. Each takes ``reduction``: ``"none"``, ``"mean"`` or ``"sum"``; the mean of an empty tensor is
0."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import InvalidArgument
from zoo.ops._checks import check_boxes, check_choice, check_floating, check_number, widened
from zoo.ops.boxes import aspect_difference, centre_distance, enclosing_size, intersection_and_union

REDUCTIONS = ("none", "mean", "sum")


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    check_choice("reduction", reduction, REDUCTIONS)
    if reduction == "mean":
        # Finite for a batch without objects, also in an exported graph, where the number of elements is a tensor.
        return loss.sum() / torch.ones_like(loss).sum().clamp(min=1)
    return loss.sum() if reduction == "sum" else loss


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """`Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_, for independent binary
    classifications.

    ``inputs`` are logits of any shape and ``targets`` their labels of the same shape, 0 to 1. ``alpha`` weights the
    positives against the negatives (below 0: no weighting), ``gamma`` reduces the loss of well classified examples.
    """
    check_floating(inputs=inputs, targets=targets)
    check_number("alpha", alpha)
    check_number("gamma", gamma)
    if inputs.shape != targets.shape:
        raise InvalidArgument(
            f"inputs and targets must have the same shape, but got {list(inputs.shape)} and {list(targets.shape)}."
        )
    if alpha > 1:
        raise InvalidArgument(f"alpha must be from 0 to 1, or -1 for no weighting, but got {alpha!r}.")
    p = torch.sigmoid(inputs)
    wrong = p * (1 - targets) + (1 - p) * targets
    loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none") * wrong**gamma
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return _reduce(loss, reduction)


def _paired(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    check_boxes("boxes1", boxes1)
    check_boxes("boxes2", boxes2)
    check_number("eps", eps)
    if boxes1.shape != boxes2.shape:
        raise InvalidArgument(
            f"boxes1 and boxes2 are compared pair by pair and must have the same shape, but got "
            f"{list(boxes1.shape)} and {list(boxes2.shape)}."
        )
    return widened(boxes1), widened(boxes2)


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """``1 - GIoU``, 0 to 2, of xyxy boxes ``[..., 4]`` pair by pair; ``eps`` avoids division by zero.

    `Generalized Intersection over Union <https://arxiv.org/abs/1902.09630>`_.
    """
    boxes1, boxes2 = _paired(boxes1, boxes2, eps)
    intersection, union = intersection_and_union(boxes1, boxes2)
    hull = enclosing_size(boxes1, boxes2).prod(-1)
    return _reduce(1 - intersection / (union + eps) + (hull - union) / (hull + eps), reduction)


def _distance_loss(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    intersection, union = intersection_and_union(boxes1, boxes2)
    iou = intersection / (union + eps)
    diagonal = enclosing_size(boxes1, boxes2).square().sum(-1) + eps
    return 1 - iou + centre_distance(boxes1, boxes2) / diagonal, iou


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """``1 - DIoU``, 0 to 2, of xyxy boxes ``[..., 4]`` pair by pair; ``eps`` avoids division by zero.

    `Distance-IoU Loss <https://arxiv.org/abs/1911.08287>`_.
    """
    loss, _ = _distance_loss(*_paired(boxes1, boxes2, eps), eps)
    return _reduce(loss, reduction)


def complete_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """``1 - CIoU`` of xyxy boxes ``[..., 4]`` pair by pair; ``eps`` avoids division by zero.

    `Distance-IoU Loss <https://arxiv.org/abs/1911.08287>`_. The weight of the aspect ratio is a constant for the
    gradient, as in the paper.
    """
    boxes1, boxes2 = _paired(boxes1, boxes2, eps)
    loss, iou = _distance_loss(boxes1, boxes2, eps)
    v = aspect_difference(boxes1, boxes2)
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return _reduce(loss + alpha * v, reduction)
