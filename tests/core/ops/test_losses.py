"""Losses against values worked out by hand, the limits they must reach, and batches without objects."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import zoo.ops as ops
from zoo.errors import InvalidArgument

BOX_LOSSES = [ops.generalized_box_iou_loss, ops.distance_box_iou_loss, ops.complete_box_iou_loss]
OVERLAPS = [ops.generalized_box_iou, ops.distance_box_iou, ops.complete_box_iou]


def test_focal_loss_by_hand() -> None:
    # A logit of 0 is a probability of one half: the cross entropy log 2, turned down by a half squared.
    inputs, targets = torch.zeros(2), torch.tensor([1.0, 0.0])
    expected = math.log(2) * 0.25 * torch.tensor([0.25, 0.75])
    torch.testing.assert_close(ops.sigmoid_focal_loss(inputs, targets), expected)
    torch.testing.assert_close(ops.sigmoid_focal_loss(inputs, targets, reduction="mean"), expected.mean())
    torch.testing.assert_close(ops.sigmoid_focal_loss(inputs, targets, reduction="sum"), expected.sum())
    without = ops.sigmoid_focal_loss(inputs, targets, alpha=-1, gamma=0)
    torch.testing.assert_close(without, torch.full((2,), math.log(2)))
    sure = ops.sigmoid_focal_loss(torch.tensor([200.0, -200.0]), targets)  # right and certain: nothing, and no overflow
    assert sure.tolist() == [0, 0]


@pytest.mark.parametrize(("loss", "overlap"), list(zip(BOX_LOSSES, OVERLAPS, strict=True)))
def test_box_losses_are_one_minus_the_overlap(loss: Callable[..., Tensor], overlap: Callable[..., Tensor]) -> None:
    a, b = torch.rand(2, 7, 4)
    a[:, 2:], b[:, 2:] = a[:, 2:] + a[:, :2] + 0.1, b[:, 2:] + b[:, :2] + 0.1
    expected = 1 - overlap(a, b).diagonal()
    torch.testing.assert_close(loss(a, b), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(loss(a, b, reduction="mean"), expected.mean(), atol=1e-4, rtol=1e-4)
    assert loss(a, a).abs().max() < 1e-4
    assert loss(a.half(), b.half()).dtype == torch.float32


@pytest.mark.parametrize("loss", [*BOX_LOSSES, ops.sigmoid_focal_loss])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_no_objects_make_a_finite_loss(loss: Callable[..., Tensor], reduction: str) -> None:
    none = torch.zeros(0, 4, requires_grad=True)
    value = loss(none, torch.zeros(0, 4), reduction=reduction)
    assert value.sum() == 0
    value.sum().backward()
    assert none.grad is not None


@pytest.mark.parametrize("loss", BOX_LOSSES)
def test_boxes_without_area_make_finite_gradients(loss: Callable[..., Tensor]) -> None:
    points = torch.tensor([[1.0, 1, 1, 1], [0, 0, 2, 2]], requires_grad=True)
    value = loss(points, torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 1]]), reduction="sum")
    value.backward()
    assert value.isfinite()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_gradients() -> None:
    a, b = torch.rand(2, 3, 4, dtype=torch.float64)
    a[:, 2:], b[:, 2:] = a[:, 2:] + a[:, :2] + 0.1, b[:, 2:] + b[:, :2] + 0.1
    a.requires_grad_()
    for loss in BOX_LOSSES[:2]:  # the third has a weight that is a constant for the gradient
        assert torch.autograd.gradcheck(loss, (a, b))
        assert torch.autograd.gradgradcheck(loss, (a, b))
    logits = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ops.sigmoid_focal_loss, (logits, torch.tensor([0.0, 1, 1, 0]).double()))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InvalidArgument, match="Did you mean 'mean'"):
        ops.sigmoid_focal_loss(torch.zeros(2), torch.zeros(2), reduction="means")
    with pytest.raises(InvalidArgument, match=r"\[2\] and \[3\]"):
        ops.sigmoid_focal_loss(torch.zeros(2), torch.zeros(3))
    for loss in BOX_LOSSES:
        with pytest.raises(InvalidArgument, match=r"\[2, 4\] and \[3, 4\]"):
            loss(torch.zeros(2, 4), torch.zeros(3, 4))
        with pytest.raises(InvalidArgument, match="complex64"):
            loss(torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.complex64))
