"""Pooling of regions: by hand, sample by sample, by properties that must hold, in gradients and in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from core.ops import reference
from core.ops.memory import peak_allocated
from hypothesis import given, settings, strategies as st
from torch import Tensor

import zoo.ops as ops
from zoo.errors import InvalidArgument
from zoo.ops import pooling

# In a batch of two images of 9 x 11 at half scale: inside, across the border, outside, tiny, inside out, and huge.
ROIS = torch.tensor(
    [
        [0, 2.0, 3, 14, 12],
        [1, -7, -5, 9, 30],
        [0, 60, 60, 70, 70],
        [1, 4.2, 4.2, 4.3, 4.4],
        [0, 12, 10, 6, 4],
        [1, -90, -80, 95, 99],
        [1, 0, 0, 22, 18],
    ],
    dtype=torch.float64,
)
FEATURES = torch.randn(2, 12, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_roi_align_by_hand() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)  # the value at (y, x) is 4 y + x
    box = torch.tensor([[0.0, 0, 0, 4, 2]])
    # Two cells of 2 x 2 pixels, one sample each, at (1, 1) and (1, 3); half a pixel less when aligned.
    assert ops.roi_align(image, box, (1, 2), sampling_ratio=1).flatten().tolist() == [5, 7]
    assert ops.roi_align(image, box, (1, 2), sampling_ratio=1, aligned=True).flatten().tolist() == [2.5, 4.5]
    # Samples at -1.5 read nothing, those at -0.5 the border.
    outside = torch.tensor([[0.0, -2, 0, 0, 2]])
    assert ops.roi_align(image, outside, (1, 2), sampling_ratio=1).flatten().tolist() == [0, 4]


def test_roi_pool_by_hand() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    box = torch.tensor([[0.0, 0, 0, 2, 3]])  # 3 x 4 pixels, in cells that overlap by one
    assert ops.roi_pool(image, box, (2, 2)).flatten().tolist() == [5, 6, 13, 14]
    assert ops.roi_pool(image, torch.tensor([[0.0, 9, 9, 12, 12]]), 1).flatten().tolist() == [0]
    # Four channels for four cells; up to, not including, the last row and column.
    assert ops.ps_roi_pool(image.expand(1, 4, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]), 2).flatten().tolist() == [
        0,
        1,
        4,
        5,
    ]


@pytest.mark.parametrize("samples", [1, 2, 3, 0, -1])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_roi_align_equals_sample_by_sample(samples: int, aligned: bool, channels_last: bool, device: str) -> None:
    x = FEATURES.contiguous(memory_format=torch.channels_last) if channels_last else FEATURES
    dtype = torch.float32 if device == "mps" else torch.float64
    out = ops.roi_align(x.to(device, dtype), ROIS.to(device, dtype), (3, 2), 0.5, samples, aligned)
    expected = reference.roi_align(FEATURES, ROIS, (3, 2), 0.5, samples, aligned)
    torch.testing.assert_close(out.cpu().double(), expected, atol=1e-5, rtol=1e-5)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert out.is_contiguous(memory_format=layout), "the output has the input's memory format"


@pytest.mark.parametrize("samples", [2, -1])
def test_ps_roi_align_equals_sample_by_sample(samples: int) -> None:
    out = ops.ps_roi_align(FEATURES, ROIS, (3, 2), 0.5, samples)
    torch.testing.assert_close(out, reference.roi_align(FEATURES, ROIS, (3, 2), 0.5, samples, True, own_channels=True))


def test_whole_pixels_equal_pixel_by_pixel() -> None:
    for scale in (0.5, 1.0):
        rois = torch.cat([ROIS, ROIS + torch.tensor([0, 1.0, 1, 1, 1])])  # halves round away from zero
        out = ops.roi_pool(FEATURES, rois, (3, 2), scale)
        torch.testing.assert_close(out, reference.roi_pool(FEATURES, rois, (3, 2), scale))
        out = ops.ps_roi_pool(FEATURES, rois, (3, 2), scale)
        torch.testing.assert_close(out, reference.roi_pool(FEATURES, rois, (3, 2), scale, own_channels=True))


def test_lists_of_boxes_and_modules() -> None:
    boxes = [ROIS[ROIS[:, 0] == i, 1:] for i in (0, 1)]
    rois = torch.cat([ROIS[ROIS[:, 0] == i] for i in (0, 1)])
    pairs: list[tuple[torch.nn.Module, Callable[..., Tensor], tuple[object, ...]]] = [
        (ops.RoIAlign((3, 2), 0.5, 2, aligned=True), ops.roi_align, (0.5, 2, True)),
        (ops.PSRoIAlign((3, 2), 0.5, 2), ops.ps_roi_align, (0.5, 2)),
        (ops.RoIPool((3, 2), 0.5), ops.roi_pool, (0.5,)),
        (ops.PSRoIPool((3, 2), 0.5), ops.ps_roi_pool, (0.5,)),
    ]
    for module, function, arguments in pairs:
        expected = function(FEATURES, rois, (3, 2), *arguments)
        assert torch.equal(module(FEATURES, boxes), expected)
        assert torch.equal(module(FEATURES, rois), expected)
        assert "output_size=(3, 2), spatial_scale=0.5" in repr(module)


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[Tensor]:
        x = FEATURES.clone().requires_grad_()
        outputs = [ops.roi_align(x, ROIS, 3, 0.5, samples) for samples in (2, -1)] + [ops.roi_pool(x, ROIS, 3, 0.5)]
        torch.cat(outputs).square().sum().backward()
        assert x.grad is not None
        return [*outputs, x.grad]

    whole = run()
    monkeypatch.setattr(pooling, "_SUMMANDS", {"cpu": 1})
    monkeypatch.setattr(pooling, "_SUMMANDS_BACKWARD", {"cpu": 1})
    monkeypatch.setattr(pooling, "_SUMMANDS_ELSEWHERE", 1)
    for a, b in zip(whole, run(), strict=True):
        torch.testing.assert_close(a, b)


def test_gradients() -> None:
    x = FEATURES[:, :4, :5, :6].clone().requires_grad_()
    rois = ROIS * torch.tensor([1, 0.5, 0.5, 0.5, 0.5])
    for samples in (2, -1):
        assert torch.autograd.gradcheck(lambda x, s=samples: ops.roi_align(x, rois, 2, 0.5, s), x)
        assert torch.autograd.gradcheck(lambda x, s=samples: ops.ps_roi_align(x, rois, 2, 0.5, s), x)
    assert torch.autograd.gradcheck(lambda x: ops.roi_pool(x, rois, 2, 0.5), x)
    assert torch.autograd.gradcheck(lambda x: ops.ps_roi_pool(x, rois, 2, 0.5), x)
    assert torch.autograd.gradgradcheck(lambda x: ops.roi_align(x, rois, 2, 0.5, 2), x)
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.roi_align(x, rois, 2, 0.5, 2), last)


def test_no_regions(device: str) -> None:
    x = FEATURES.float().to(device).requires_grad_()
    none = torch.zeros(0, 5, device=device)
    shapes = []
    for function in (ops.roi_align, ops.roi_pool, ops.ps_roi_align, ops.ps_roi_pool):
        out = function(x, none, (3, 2))
        shapes.append(tuple(out.shape))
        out.sum().backward()
    assert shapes == [(0, 12, 3, 2), (0, 12, 3, 2), (0, 2, 3, 2), (0, 2, 3, 2)]
    assert x.grad is not None
    assert not x.grad.any()
    assert ops.roi_align(x, [none[:, 1:], none[:, 1:]], 3).shape == (0, 12, 3, 3)


def test_impossible_regions_are_zero() -> None:
    nan, inf = float("nan"), float("inf")
    rois = torch.tensor([[0, nan, 0, 5, 5], [0, inf, 0, inf, 5], [1, 1e30, 1e30, 2e30, 2e30]])
    for samples in (2, -1):
        assert not ops.roi_align(FEATURES.float(), rois, 3, 1.0, samples).any()
    far = ops.roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0, -1e6, -1e6, 1e6, 1e6]]), 2, sampling_ratio=-1)
    assert far.shape == (1, 1, 2, 2)  # and it took neither the time nor the memory of 10^12 samples
    assert 0 < far.max() < 1e-9


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    x, rois = FEATURES.to(dtype), ROIS.float()
    for function in (ops.roi_align, ops.roi_pool, ops.ps_roi_align, ops.ps_roi_pool):
        out = function(x, rois, (3, 2), 0.5)
        assert out.dtype == dtype
        torch.testing.assert_close(out, function(x.float(), rois, (3, 2), 0.5).to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ops.roi_align(x.float(), rois, 3).dtype == torch.float32


def test_meta_tensors_give_shapes() -> None:
    x, rois = FEATURES.to("meta"), ROIS.to("meta")
    assert ops.roi_align(x, rois, (3, 2)).shape == ops.roi_pool(x, rois, (3, 2)).shape == (7, 12, 3, 2)
    assert ops.ps_roi_align(x, rois, (3, 2)).shape == ops.ps_roi_pool(x, rois, (3, 2)).shape == (7, 2, 3, 2)


def test_bad_arguments_are_named() -> None:
    x = FEATURES
    for index in (2.0, -1.0):
        bad = torch.tensor([[index, 0, 0, 1, 1]])
        for function in (ops.roi_align, ops.roi_pool):
            with pytest.raises(InvalidArgument, match="from 0 to 1"):
                function(x, bad, 3)
    with pytest.raises(InvalidArgument, match=r"\[K, 5\].*\[7, 4\]"):
        ops.roi_align(x, ROIS[:, 1:], 3)
    with pytest.raises(InvalidArgument, match="2 images, but got 1"):
        ops.roi_align(x, [ROIS[:, 1:]], 3)
    with pytest.raises(InvalidArgument, match=r"boxes\[1\].*\[7, 5\]"):
        ops.roi_align(x, [ROIS[:, 1:], ROIS], 3)
    with pytest.raises(InvalidArgument, match=r"float64.*int64"):
        ops.roi_align(x, ROIS.long(), 3)
    with pytest.raises(InvalidArgument, match=r"multiple of 5 x 5"):
        ops.ps_roi_align(x, ROIS, 5)
    with pytest.raises(InvalidArgument, match="output_size"):
        ops.roi_align(x, ROIS, 0)
    with pytest.raises(InvalidArgument, match=r"\[12, 9, 11\]"):
        ops.roi_align(x[0], ROIS, 3)


inside = st.floats(1, 4)
sizes = st.floats(0.5, 5)


@settings(max_examples=60, deadline=None)
@given(inside, inside, sizes, sizes, st.sampled_from([-1, 1, 2, 3]), st.booleans(), st.integers(0, 3))
def test_constant_linear_and_follows_translations(
    x: float, y: float, w: float, h: float, samples: int, aligned: bool, shift: int
) -> None:
    roi = torch.tensor([[0, x, y, x + w, y + h]], dtype=torch.float64)

    def pool(features: Tensor, roi: Tensor = roi) -> Tensor:
        return ops.roi_align(features, roi, 2, 1.0, samples, aligned)

    a, b = torch.randn(2, 1, 2, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(pool(torch.full_like(a, 3.5)), torch.full((1, 2, 2, 2), 3.5, dtype=a.dtype))
    torch.testing.assert_close(pool(2 * a - b), 2 * pool(a) - pool(b))
    moved = torch.zeros(1, 2, 16, 16, dtype=a.dtype)
    moved[:, :, shift : shift + 12, shift : shift + 12] = a
    torch.testing.assert_close(pool(moved, roi + torch.tensor([0] + [shift] * 4)), pool(a), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("samples", [2, -1])
@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_stays_under_twice_the_output(channels_last: bool, samples: int) -> None:
    x = torch.randn(1, 256, 50, 68)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    corner = torch.rand(1000, 2) * 500
    rois = torch.cat([torch.zeros(1000, 1), corner, corner + 30 + torch.rand(1000, 2) * 200], 1)
    most = peak_allocated(lambda: ops.roi_align(x, rois, 7, 1 / 16, samples))
    output = 1000 * 256 * 7 * 7 * 4
    turned = 0 if channels_last else x.nbytes  # one copy with the channels last
    assert output <= most - turned < 2 * output
