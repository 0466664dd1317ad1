"""Box functions against values worked out by hand, and what holds for any boxes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

import zoo.ops as ops
from zoo.errors import InvalidArgument

A = torch.tensor([[0.0, 0, 2, 2], [0, 0, 4, 1]])
B = torch.tensor([[1.0, 1, 3, 3], [0, 0, 2, 2], [10, 10, 12, 12]])


def test_iou_by_hand() -> None:
    # The first box of A covers 4, shares 1 with B's first (union 7), is B's second, and is 8 away from B's third.
    expected = torch.tensor([[1 / 7, 1, 0], [0, 2 / 6, 0]])
    torch.testing.assert_close(ops.box_iou(A, B), expected)


def test_generalized_iou_by_hand() -> None:
    # Around A0 and B0 lies a box of 9, of which 2 are covered by neither; around A0 and B2 one of 144.
    torch.testing.assert_close(ops.generalized_box_iou(A[:1], B), torch.tensor([[1 / 7 - 2 / 9, 1, -136 / 144]]))


def test_distance_iou_by_hand() -> None:
    # Centres (1, 1) and (2, 2), in a box whose diagonal squared is 18.
    torch.testing.assert_close(ops.distance_box_iou(A[:1], B), torch.tensor([[1 / 7 - 2 / 18, 1, -200 / 288]]))


def test_complete_iou_by_hand() -> None:
    v = 4 / math.pi**2 * (math.atan(4) - math.atan(1)) ** 2
    iou, distance = 2 / 6, (1**2 + 0.5**2) / (4**2 + 2**2)
    expected = iou - distance - v * v / (1 - iou + v)
    torch.testing.assert_close(ops.complete_box_iou(A[1:], B[1:2]), torch.tensor([[expected]]))


def test_convert_by_hand() -> None:
    xyxy, xywh, cxcywh = torch.tensor([[1.0, 2, 5, 8]]), torch.tensor([[1.0, 2, 4, 6]]), torch.tensor([[3.0, 5, 4, 6]])
    formats = {"xyxy": xyxy, "xywh": xywh, "cxcywh": cxcywh}
    for given_as, boxes in formats.items():
        assert ops.box_area(boxes, given_as).tolist() == [24]
        for wanted, expected in formats.items():
            torch.testing.assert_close(ops.box_convert(boxes, given_as, wanted), expected)
    torch.testing.assert_close(ops.box_iou(xywh, xywh, fmt="xywh"), torch.ones(1, 1))


def test_clip_and_small_and_masks_by_hand() -> None:
    boxes = torch.tensor([[-5.0, 2, 30, 8], [1, 1, 2, 9], [3, 3, 40, 40]])
    assert ops.clip_boxes_to_image(boxes, (10, 20)).tolist() == [[0, 2, 20, 8], [1, 1, 2, 9], [3, 3, 20, 10]]
    assert ops.remove_small_boxes(boxes, 6).tolist() == [0, 2]
    assert ops.remove_small_boxes(boxes, 1).tolist() == [0, 1, 2]  # a size of exactly the minimum stays
    masks = torch.zeros(3, 6, 7)
    masks[0, 2:5, 1:4] = 1
    masks[1, 5, 6] = 0.5
    assert ops.masks_to_boxes(masks).tolist() == [[1, 2, 3, 4], [6, 5, 6, 5], [0, 0, 0, 0]]
    assert ops.masks_to_boxes(masks[:0]).shape == (0, 4)


def test_boxes_without_area_overlap_nothing() -> None:
    points = torch.tensor([[1.0, 1, 1, 1], [0, 0, 2, 2]]).requires_grad_()
    for function in (ops.box_iou, ops.generalized_box_iou, ops.distance_box_iou, ops.complete_box_iou):
        result = function(points, points)
        assert result.isfinite().all()
        assert torch.autograd.grad(result.sum(), points)[0].isfinite().all()
    assert ops.box_iou(points, points)[0].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_before_products(dtype: torch.dtype) -> None:
    boxes = torch.tensor([[0, 0, 1000, 1000]], dtype=dtype)  # an area that float16 cannot hold
    assert ops.box_area(boxes).tolist() == [1e6]
    assert ops.box_iou(boxes, boxes).tolist() == [[1]]
    assert ops.box_area(torch.tensor([[0, 0, 200, 200]], dtype=torch.int16)).tolist() == [40000]


def test_no_boxes() -> None:
    none = torch.zeros(0, 4)
    assert ops.box_iou(none, B).shape == (0, 3)
    assert ops.complete_box_iou(B, none).shape == (3, 0)
    assert ops.box_convert(none, "xyxy", "xywh").shape == (0, 4)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"\[2, 3\]"):
        ops.box_area(torch.zeros(2, 3))
    with pytest.raises(InvalidArgument, match="Did you mean 'xyxy'"):
        ops.box_convert(A, "xyyx", "xywh")
    with pytest.raises(InvalidArgument, match=r"\[4\]"):
        ops.box_iou(A[0], B)


coordinate = st.floats(-100, 100, width=32)
box_lists = st.lists(st.tuples(coordinate, coordinate, st.floats(0.5, 50), st.floats(0.5, 50)), min_size=1, max_size=6)


def made(boxes: list[tuple[float, float, float, float]]) -> Tensor:
    return ops.box_convert(torch.tensor(boxes, dtype=torch.float64), "xywh", "xyxy")


@settings(max_examples=40, deadline=None)
@given(box_lists, box_lists, st.floats(-50, 50))
def test_overlaps_are_symmetric_bounded_and_move_along(first: list, second: list, shift: float) -> None:
    a, b = made(first), made(second)
    for function, least in ((ops.box_iou, 0), (ops.generalized_box_iou, -1), (ops.distance_box_iou, -1)):
        value = function(a, b)
        assert (value >= least - 1e-9).all()
        assert (value <= 1 + 1e-9).all()
        torch.testing.assert_close(value, function(b, a).T)
        torch.testing.assert_close(value, function(a + shift, b + shift), rtol=0, atol=1e-6)
        torch.testing.assert_close(function(a, a).diagonal(), torch.ones(len(a), dtype=a.dtype))


@settings(max_examples=30, deadline=None)
@given(box_lists, st.sampled_from(["xywh", "cxcywh"]))
def test_converting_there_and_back_changes_nothing(boxes: list, fmt: str) -> None:
    a = made(boxes)
    torch.testing.assert_close(ops.box_convert(ops.box_convert(a, "xyxy", fmt), fmt, "xyxy"), a)


def test_gradients_twice() -> None:
    a, b = (torch.rand(n, 4, dtype=torch.float64) for n in (3, 2))
    a[:, 2:], b[:, 2:] = a[:, 2:] + a[:, :2] + 0.1, b[:, 2:] + b[:, :2] + 0.1
    a.requires_grad_()
    for function in (ops.box_iou, ops.generalized_box_iou, ops.distance_box_iou):
        assert torch.autograd.gradcheck(function, (a, b))
        assert torch.autograd.gradgradcheck(function, (a, b))


def test_vmap_over_images() -> None:
    a = torch.rand(5, 3, 4)
    a[..., 2:] += a[..., :2]
    for function in (ops.box_iou, ops.generalized_box_iou, ops.distance_box_iou, ops.complete_box_iou):
        mapped = torch.func.vmap(function)(a, a.flip(1))
        torch.testing.assert_close(mapped, torch.stack([function(x, y) for x, y in zip(a, a.flip(1), strict=True)]))
        torch.testing.assert_close(mapped, function(a, a.flip(1)))  # leading dimensions do the same
    clipped = torch.func.vmap(lambda x: ops.clip_boxes_to_image(ops.box_convert(x, "xyxy", "xywh"), (1, 1)))(a)
    assert clipped.shape == a.shape
