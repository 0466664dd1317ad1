"""Every operator on integers, which must not wrap, and on arguments of the wrong kind, which must be named."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo.ops as ops
from zoo.errors import InvalidArgument

BOXES = torch.tensor([[0.0, 0, 10, 10], [20, 30, 40, 60]])
FEATURES = torch.rand(1, 8, 6, 6)
ROIS = torch.tensor([[0.0, 0, 0, 4, 4]])
PAIR = {"boxes1": BOXES, "boxes2": BOXES + 1}
POOLED = {"input": FEATURES, "boxes": ROIS, "output_size": 2, "spatial_scale": 1.0}
CALLS: dict[str, dict[str, Any]] = {
    "batched_nms": {"boxes": BOXES, "scores": torch.rand(2), "idxs": torch.tensor([0, 1]), "iou_threshold": 0.5},
    "box_area": {"boxes": BOXES, "fmt": "xyxy"},
    "box_convert": {"boxes": BOXES, "in_fmt": "xyxy", "out_fmt": "xywh"},
    "box_iou": {**PAIR, "fmt": "xyxy"},
    "clip_boxes_to_image": {"boxes": BOXES, "size": (30, 30)},
    "complete_box_iou": {**PAIR, "eps": 1e-7},
    "complete_box_iou_loss": {**PAIR, "reduction": "mean", "eps": 1e-7},
    "deform_conv2d": {
        "input": FEATURES,
        "offset": torch.zeros(1, 18, 4, 4),
        "weight": torch.rand(2, 8, 3, 3),
        "stride": 1,
        "padding": (0, 0),
        "dilation": 1,
    },
    "distance_box_iou": {**PAIR, "eps": 1e-7},
    "distance_box_iou_loss": {**PAIR, "reduction": "mean", "eps": 1e-7},
    "drop_block2d": {"input": FEATURES, "p": 0.5, "block_size": 2},
    "drop_block3d": {"input": FEATURES[None], "p": 0.5, "block_size": 2},
    "generalized_box_iou": PAIR,
    "generalized_box_iou_loss": {**PAIR, "reduction": "mean", "eps": 1e-7},
    "masks_to_boxes": {"masks": FEATURES[0] > 0.5},
    "nms": {"boxes": BOXES, "scores": torch.rand(2), "iou_threshold": 0.5},
    "nms_mask": {
        "boxes": BOXES[None],
        "scores": torch.rand(1, 2),
        "iou_threshold": 0.5,
        "idxs": torch.zeros(1, 2, dtype=torch.int64),
        "valid": torch.ones(1, 2, dtype=torch.bool),
    },
    "nms_padded": {"boxes": BOXES, "scores": torch.rand(2), "iou_threshold": 0.5, "max_output": 3},
    "ps_roi_align": {**POOLED, "sampling_ratio": 2},
    "ps_roi_pool": POOLED,
    "remove_small_boxes": {"boxes": BOXES, "min_size": 5},
    "roi_align": {**POOLED, "sampling_ratio": 2},
    "roi_pool": POOLED,
    "sigmoid_focal_loss": {"inputs": torch.rand(3), "targets": torch.rand(3), "alpha": 0.25, "gamma": 2},
    "stochastic_depth": {"input": FEATURES, "p": 0.5, "mode": "row"},
}


def test_every_function_is_here() -> None:
    assert set(CALLS) == {name for name in ops.__all__ if inspect.isfunction(getattr(ops, name))}


@pytest.mark.parametrize(("name", "argument"), [(name, argument) for name in CALLS for argument in CALLS[name]])
def test_arguments_of_the_wrong_kind_are_refused(name: str, argument: str) -> None:
    function, arguments = getattr(ops, name), CALLS[name]
    function(**arguments)
    wrong: list[Any] = [None, "0.5", [[0, 0, "x", 1]], object(), 1j]
    if isinstance(arguments[argument], Tensor):
        wrong += [BOXES.tolist(), torch.rand(2, 3, 1, 1, 2, 1, 1)]
        # Masks and branches have any rank and shape from two dimensions on.
        wrong = wrong[:-1] if name in ("masks_to_boxes", "stochastic_depth") else wrong
    for value in wrong:
        with pytest.raises(InvalidArgument):
            function(**{**arguments, argument: value})


def test_pooling_a_pyramid_names_what_is_wrong() -> None:
    good = ({"0": FEATURES}, [BOXES], [(48, 48)])
    pool = ops.MultiScaleRoIAlign(["0"], 2, 2)
    assert pool(*good).shape == (2, 8, 2, 2)
    for i in range(3):
        for value in (None, "0", BOXES):
            with pytest.raises(InvalidArgument):
                pool(*good[:i], value, *good[i + 1 :])
    for arguments in (("0", 2, 2), (["0"], "2", 2), (["0"], 2, "2"), (["0"], 2, 2.5)):
        with pytest.raises(InvalidArgument):
            ops.MultiScaleRoIAlign(*arguments)
    with pytest.raises(InvalidArgument):
        ops.DeformConv2d(4, 4, "3")
    with pytest.raises(InvalidArgument):
        ops.FeaturePyramidNetwork([8], 4)([FEATURES])


INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_computed_as_the_numbers_that_they_are(dtype: torch.dtype) -> None:
    most = min(torch.iinfo(dtype).max, 60_000)
    whole = torch.tensor([[0, 0, most, most], [1, 0, most - 1, most], [0, most - 2, 3, most], [5, 5, 9, 5]])
    boxes, exact = whole.to(dtype), whole.double()
    assert ops.box_area(boxes).tolist() == ops.box_area(exact).tolist()
    for function in (ops.box_iou, ops.generalized_box_iou, ops.distance_box_iou, ops.complete_box_iou):
        torch.testing.assert_close(function(boxes, boxes).double(), function(exact, exact), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(function(boxes, exact), function(exact, exact), rtol=1e-5, atol=1e-6)
    for loss in (ops.generalized_box_iou_loss, ops.distance_box_iou_loss, ops.complete_box_iou_loss):
        got, wanted = loss(boxes, boxes.roll(1, 0)), loss(exact, exact.roll(1, 0))
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-6)
    for given in ops.boxes.FORMATS:
        for wanted_format in ops.boxes.FORMATS:
            got = ops.box_convert(boxes, given, wanted_format)
            assert got.double().tolist() == ops.box_convert(exact, given, wanted_format).tolist()
            assert got.is_floating_point() == (given != wanted_format and "cxcywh" in (given, wanted_format))
    assert (
        ops.clip_boxes_to_image(boxes, (most + 9, 7)).tolist() == ops.clip_boxes_to_image(whole, (most + 9, 7)).tolist()
    )
    assert ops.clip_boxes_to_image(boxes, (4, 7)).dtype == dtype
    assert ops.remove_small_boxes(boxes, 2.5).tolist() == [0, 1]


def test_complete_iou_of_flat_boxes() -> None:
    """A box without height is infinitely wide: the arc tangent of its aspect ratio is a right angle."""
    flat, square = torch.tensor([[0.0, 5, 10, 5]]), torch.tensor([[0.0, 0, 10, 10]])
    v = 4 / math.pi**2 * (math.pi / 2 - math.pi / 4) ** 2
    distance = 0.0  # their centres are one
    assert ops.complete_box_iou(flat, square).item() == pytest.approx(-distance - v * v / (1 + v))
    assert ops.complete_box_iou_loss(flat, square).item() == pytest.approx(1 + v * v / (1 + v))
    tall = torch.tensor([[5.0, 0, 5, 10]])
    v = 4 / math.pi**2 * (math.pi / 4) ** 2
    assert ops.complete_box_iou(tall, square).item() == pytest.approx(-v * v / (1 + v))
    point = torch.zeros(1, 4, requires_grad=True)
    ops.complete_box_iou_loss(point, flat).sum().backward()
    assert point.grad is not None
    assert point.grad.isfinite().all()
