"""Deformable convolution: as an ordinary one, tap by tap, and in gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from core.ops import reference

import zoo.ops as ops
from zoo.errors import InvalidArgument


def test_without_offsets_it_is_a_convolution(device: str) -> None:
    x, weight, bias = (torch.randn(*shape, device=device) for shape in ((2, 6, 9, 8), (4, 3, 3, 2), (4,)))
    for stride, padding, dilation in ((1, 0, 1), ((2, 1), (1, 2), (1, 2)), (2, 1, 2)):
        expected = F.conv2d(x, weight, bias, stride, padding, dilation, groups=2)
        offset = torch.zeros(2, 2 * 3 * 2, *expected.shape[2:], device=device)
        out = ops.deform_conv2d(x, offset, weight, bias, stride, padding, dilation)  # type: ignore[arg-type]
        torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)
        mask = torch.full((2, 6, *expected.shape[2:]), 0.5, device=device)
        out = ops.deform_conv2d(x, offset, weight, None, stride, padding, dilation, mask)  # type: ignore[arg-type]
        torch.testing.assert_close(out * 2 + bias[:, None, None], expected, atol=1e-4, rtol=1e-4)


def test_equals_tap_by_tap() -> None:
    x, weight, bias = torch.randn(2, 8, 5, 4), torch.randn(6, 4, 2, 3), torch.randn(6)
    offset, mask = torch.randn(2, 2 * 4 * 6, 4, 2) * 2, torch.rand(2, 4 * 6, 4, 2)  # 2 groups, 4 groups of offsets
    expected = reference.deform_conv2d(x, offset, weight, bias, 2, 2, 2, mask)
    torch.testing.assert_close(
        ops.deform_conv2d(x, offset, weight, bias, 2, 2, 2, mask), expected, atol=1e-4, rtol=1e-4
    )


def test_gradients() -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    offset = (torch.rand(1, 2 * 2 * 4, 3, 3, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()
    mask = torch.rand(1, 2 * 4, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    inputs = (x, offset, weight, bias, mask)
    assert torch.autograd.gradcheck(lambda x, o, w, b, m: ops.deform_conv2d(x, o, w, b, mask=m), inputs)


def test_module_types_and_meta() -> None:
    layer = ops.DeformConv2d(4, 6, (3, 2), stride=2, padding=1, groups=2)
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"weight": (6, 2, 3, 2), "bias": (6,)}
    assert "kernel_size=(3, 2), stride=(2, 2)" in repr(layer)
    x, offset = torch.randn(1, 4, 8, 8), torch.randn(1, 12, 4, 5)
    expected = layer(x, offset)
    assert torch.equal(expected, ops.deform_conv2d(x, offset, layer.weight, layer.bias, 2, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(layer(x, offset), expected)
    half = ops.deform_conv2d(x.bfloat16(), offset.bfloat16(), layer.weight.bfloat16(), None, 2, 1)
    assert half.dtype == torch.bfloat16
    assert layer.to("meta")(x.to("meta"), offset.to("meta")).shape == expected.shape
    assert (
        ops.deform_conv2d(x[:0], offset[:0], layer.weight.new_zeros(6, 2, 3, 2, device="cpu"), None, 2, 1).shape[0] == 0
    )


def test_bad_arguments_are_named() -> None:
    x, weight = torch.zeros(1, 4, 5, 5), torch.zeros(2, 4, 3, 3)
    with pytest.raises(InvalidArgument, match="has 17"):
        ops.deform_conv2d(x, torch.zeros(1, 17, 3, 3), weight)
    with pytest.raises(InvalidArgument, match=r"\[1, 18, 3, 3\].*\[1, 18, 5, 5\]"):
        ops.deform_conv2d(x, torch.zeros(1, 18, 5, 5), weight)
    with pytest.raises(InvalidArgument, match="mask"):
        ops.deform_conv2d(x, torch.zeros(1, 18, 3, 3), weight, mask=torch.zeros(1, 8, 3, 3))
    with pytest.raises(InvalidArgument, match="4 channels"):
        ops.deform_conv2d(x, torch.zeros(1, 18, 3, 3), torch.zeros(2, 3, 3, 3))
    with pytest.raises(InvalidArgument, match="groups=3"):
        ops.DeformConv2d(4, 6, 3, groups=3)
