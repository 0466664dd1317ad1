"""Rotated boxes: values by hand and by counting points; every format; quantized tensors and numpy's integers."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo import ops
from zoo.errors import InvalidArgument

ROTATED = ("xywhr", "cxcywhr", "xyxyxyxy")


def boxes(n: int, seed: int = 0) -> Tensor:
    """``[n, 5]`` float64 in cxcywhr."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([20.0, 20, 15, 15, 720]).double()
    return torch.rand(n, 5, generator=generator, dtype=torch.float64) * scale + torch.tensor([0, 0, 1, 1, -360.0])


def test_corners_by_hand() -> None:
    # A quarter counterclockwise: what was the top left corner is at the bottom left.
    turned = ops.box_convert(torch.tensor([[10.0, 10, 4, 2, 90]]), "cxcywhr", "xyxyxyxy")
    assert torch.allclose(turned, torch.tensor([[9.0, 12, 9, 8, 11, 8, 11, 12]]))
    corner = ops.box_convert(torch.tensor([[9.0, 12, 4, 2, 90]]), "xywhr", "cxcywhr")
    assert torch.allclose(corner, torch.tensor([[10.0, 10, 4, 2, 90]]))
    upright = ops.box_convert(torch.tensor([[10, 10, 4, 2, 30]]), "cxcywhr", "xyxyxyxy")
    assert upright.tolist() == [[8, 10, 11, 8, 12, 10, 9, 12]]  # integers are rounded
    assert upright.dtype == torch.int64


@pytest.mark.parametrize("fmt", ROTATED)
@pytest.mark.parametrize("through", ROTATED)
def test_there_and_back(fmt: str, through: str) -> None:
    given = ops.box_convert(boxes(20).view(4, 5, 5), "cxcywhr", fmt)
    back = ops.box_convert(ops.box_convert(given, fmt, through), through, fmt)
    same = back - given
    if fmt != "xyxyxyxy":
        same[..., 4] = (same[..., 4] + 180) % 360 - 180
    assert same.abs().max() < 1e-9
    for dtype in (torch.float16, torch.float32, torch.int32):
        assert ops.box_convert(given.to(dtype), fmt, through).dtype == dtype


def test_areas() -> None:
    given = boxes(20)
    for fmt in ROTATED:
        assert torch.allclose(ops.box_area(ops.box_convert(given, "cxcywhr", fmt), fmt), given[:, 2] * given[:, 3])


def test_overlaps_by_hand() -> None:
    # A square and itself turned by 45 degrees: an octagon of 8 (sqrt 2 - 1) quarters of the square.
    square = torch.tensor(
        [[0, 0, 2, 2, 0], [0, 0, 2, 2, 45], [0, 0, 2, 2, 90.0], [0, 0, 2, 2, 180], [2, 0, 2, 2, 0]]
    ).double()
    octagon = 8 * (math.sqrt(2) - 1)
    iou = ops.box_iou(square, square, fmt="cxcywhr")
    assert torch.allclose(iou[0], torch.tensor([1, octagon / (8 - octagon), 1, 1, 0]).double())
    assert torch.allclose(iou, iou.T)
    slab = torch.tensor([[0, 0, 4, 2, 30.0], [0, 0, 2, 4, -60], [0, 0, 1, 1, 77], [100, 0, 1, 1, 0], [0, 0, 0, 3, 10]])
    assert torch.allclose(ops.box_iou(slab, slab, "cxcywhr")[0], torch.tensor([1, 1, 1 / 8, 0, 0]))


def test_upright_ones_are_as_ever() -> None:
    given = boxes(40)
    given[:, 4] = 0
    upright = ops.box_convert(given[:, :4], "cxcywh", "xyxy")
    assert torch.allclose(ops.box_iou(given, given, "cxcywhr"), ops.box_iou(upright, upright), atol=1e-12)


@pytest.mark.parametrize("fmt", ROTATED)
def test_overlaps_by_counting(fmt: str) -> None:
    a, b = boxes(6, 1), boxes(5, 2)
    points = torch.cartesian_prod(*[torch.linspace(-20, 40, 700).double()] * 2)

    def inside(box: Tensor) -> Tensor:
        angle = box[4].deg2rad()
        x, y = (points - box[:2]).unbind(1)
        across, down = x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()
        return (across.abs() <= box[2] / 2) & (down.abs() <= box[3] / 2)

    in_a, in_b = torch.stack([inside(x) for x in a]), torch.stack([inside(x) for x in b])
    common = (in_a[:, None] & in_b).sum(-1)
    want = common / (in_a.sum(-1)[:, None] + in_b.sum(-1) - common)
    got = ops.box_iou(*(ops.box_convert(t, "cxcywhr", fmt) for t in (a, b)), fmt=fmt)
    assert want.max() > 0.3
    assert (got - want).abs().max() < 0.02


def test_any_convex_corners_either_way_round() -> None:
    kite = torch.tensor([[0, 0, 3, 1, 4, 4, 1, 3.0]]).double()
    assert ops.box_area(kite, "xyxyxyxy").item() == 8
    mirrored = kite.view(4, 2).flip(0).reshape(1, 8)
    assert torch.allclose(ops.box_iou(kite, mirrored, "xyxyxyxy"), torch.ones(1, 1).double())


def test_shapes_types_gradients() -> None:
    a, b = boxes(4, 3).requires_grad_(), boxes(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: ops.box_iou(a, b, fmt="cxcywhr"), (a, b))
    batch = ops.box_iou(a.expand(2, 4, 5), b, fmt="cxcywhr")
    assert torch.equal(batch[1], ops.box_iou(a, b, fmt="cxcywhr"))
    assert ops.box_iou(a[:0], b, fmt="xywhr").shape == (0, 3)
    assert ops.box_iou(a.half(), b.half(), fmt="xywhr").dtype == torch.float32
    assert ops.box_iou(a.int(), b.int(), fmt="xywhr").dtype == torch.float32
    graph = torch.export.export(Overlap(), (a.detach(), b.detach())).module()
    assert torch.equal(graph(a, b), ops.box_iou(a, b, fmt="cxcywhr"))


class Overlap(torch.nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return ops.box_iou(a, b, fmt="cxcywhr")


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"boxes must have the shape \[..., 5\] in xywhr, but got \[2, 4\]"):
        ops.box_area(torch.rand(2, 4), "xywhr")
    with pytest.raises(InvalidArgument, match="out_fmt must be one of xywhr, cxcywhr, xyxyxyxy"):
        ops.box_convert(torch.rand(2, 5), "xywhr", "xyxy")
    with pytest.raises(InvalidArgument, match="out_fmt must be one of xyxy, xywh, cxcywh"):
        ops.box_convert(torch.rand(2, 4), "xyxy", "cxcywhr")
    with pytest.raises(InvalidArgument, match="boxes2 must have the shape"):
        ops.box_iou(torch.rand(2, 5), torch.rand(5), fmt="xywhr")


def test_quantized_tensors_are_dequantized() -> None:
    given, scores = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]]), torch.tensor([0.5, 0.9, 0.3])
    features, rois = torch.rand(1, 3, 9, 9), torch.tensor([[0.0, 1, 1, 7, 6]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that such tensors are deprecated
        whole, hundredth = (torch.quantize_per_tensor(t, s, 0, torch.quint8) for t, s in ((given, 1), (scores, 0.01)))
        assert ops.nms(whole, hundredth, 0.5).tolist() == [1, 2]
        assert ops.batched_nms(whole, hundredth, torch.tensor([0, 1, 1]), 0.5).tolist() == [1, 0, 2]
        quantized = torch.quantize_per_tensor(features, 0.01, 3, torch.quint8)
        for regions in (torch.quantize_per_tensor(rois, 1, 0, torch.quint8), [rois[:, 1:]]):
            out = ops.roi_align(quantized, regions, 2, sampling_ratio=2)
            assert (out.dtype, out.q_scale(), out.q_zero_point()) == (torch.quint8, 0.01, 3)
            real = ops.roi_align(quantized.dequantize(), rois, 2, sampling_ratio=2)
            assert (out.dequantize() - real).abs().max() <= 0.00501


def test_integers_of_numpy() -> None:
    one, two, three = (np.int64(n) for n in (1, 2, 3))
    features, rois = torch.rand(2, 8, 9, 10), torch.tensor([[0.0, 1, 1, 6, 7]])
    given, scores = rois[:, 1:], torch.rand(1)
    for pool in (ops.roi_align, ops.roi_pool, ops.ps_roi_align, ops.ps_roi_pool):
        for size in (two, (two, two), np.array([2, 2])):
            assert torch.equal(pool(features, rois, size, np.float32(0.5)), pool(features, rois, 2, 0.5))
    assert ops.nms_padded(given, scores, 0.5, three).tolist() == [0, -1, -1]
    assert torch.equal(ops.clip_boxes_to_image(given, np.array([4, 4])), given.clamp(0, 4))
    offset = torch.zeros(2, 18, 9, 10)
    assert ops.DeformConv2d(np.int64(8), two, three, one, one, one, two)(features, offset).shape == (2, 2, 9, 10)
    pooler = ops.MultiScaleRoIAlign(["0"], three, two)
    assert pooler({"0": features}, [given, given], [(np.int64(9), np.int64(10))] * 2).shape == (2, 8, 3, 3)
    assert ops.Conv2dNormActivation(np.int64(8), two, three, one)(features).shape == (2, 2, 9, 10)
    assert ops.drop_block2d(features, np.float32(0.5), three).shape == features.shape
