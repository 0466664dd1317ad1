"""Deformable convolution: each tap of the kernel reads at a learned offset, which differs for every position."""
# ruff: noqa: A001, A002  the usual name is input

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import InvalidOperand
from zoo.nn.checks import refuse_script
from zoo.ops._checks import check_floating, check_shape, check_whole, pair, widened


def _corners(places: Tensor, height: int, width: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The four pixels around ``places`` ``[..., 2]`` (y, x): index, whether inside, share along y and along x."""
    low = places.detach().floor()
    fraction = places - low
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = low[..., 0] + dy, low[..., 1] + dx
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            share = [f if d else 1 - f for f, d in zip(fraction.unbind(-1), (dy, dx), strict=True)]
            yield torch.where(inside, y * width + x, 0).long(), inside, share[0], share[1]


class _Samples(NamedTuple):
    """The values that the taps of a kernel read: rows of a table, four for each place and group of channels."""

    table: Tensor  # [N * H * W * G, C / G]
    rows: Tensor  # [N * H_out * W_out * taps * G, 4]
    weights: Tensor  # of the rows, same shape
    places: Tensor  # [N, H_out, W_out, taps, G, 2]
    modulation: Tensor  # [N, H_out, W_out, taps, G], or [] for none

    def read(self) -> Tensor:
        """``[N * H_out * W_out * taps * G, C / G]``."""
        return F.embedding_bag(self.rows, self.table, mode="sum", per_sample_weights=self.weights)


def _sample(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> _Samples:
    (N, C, H, W), (H_out, W_out), taps, device = input.shape, offset.shape[2:], kernel[0] * kernel[1], input.device
    G = offset.shape[1] // (2 * taps)
    axes = [
        (torch.arange(n, device=device) * s - p)[:, None] + torch.arange(k, device=device) * d
        for n, k, s, p, d in zip((H_out, W_out), kernel, stride, padding, dilation, strict=True)
    ]
    y, x = axes[0][:, None, :, None], axes[1][:, None, :]
    grid = torch.stack([t.expand(H_out, W_out, *kernel).flatten(2) for t in (y, x)], -1)[..., None, :]
    places = grid + offset.view(N, G, taps, 2, H_out, W_out).permute(0, 4, 5, 2, 1, 3)
    modulation = places.new_ones(()) if mask is None else mask.view(N, G, taps, H_out, W_out).permute(0, 3, 4, 2, 1)
    corners = list(_corners(places, H, W))
    pixels = torch.stack([pixel for pixel, *_ in corners], -1)
    weights = torch.stack([torch.where(inside, y * x * modulation, 0) for _, inside, y, x in corners], -1)
    # One row of the table per pixel and group, one bag of four rows per position, tap and group.
    image = torch.arange(N, device=device)[:, None, None, None, None, None] * (H * W)
    rows = (pixels + image) * G + torch.arange(G, device=device)[:, None]
    table = input.view(N, G, C // G, H, W).permute(0, 3, 4, 1, 2).reshape(-1, C // G)
    return _Samples(table, rows.view(-1, 4), weights.reshape(-1, 4).to(table.dtype), places, modulation)


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = (1, 1),
    padding: int | tuple[int, int] = (0, 0),
    dilation: int | tuple[int, int] = (1, 1),
    mask: Tensor | None = None,
) -> Tensor:
    """`Deformable Convolutional Networks <https://arxiv.org/abs/1703.06211>`_; with ``mask``,
    `version 2 <https://arxiv.org/abs/1811.11168>`_.

    Args:
        input: ``[N, C_in, H, W]``.
        offset: ``[N, 2 * G * kH * kW, H_out, W_out]``, (y, x) in pixels for each tap of each of G groups of channels.
        weight: ``[C_out, C_in / groups, kH, kW]``.
        bias: ``[C_out]``.
        mask: ``[N, G * kH * kW, H_out, W_out]``, factors of the values that are read.

    Returns ``[N, C_out, H_out, W_out]``. Outside the image the input is 0. Differentiable in all tensors. The numbers
    of groups are determined from the shapes; :class:`~zoo.errors.InvalidArgument` is raised if they do not fit.
    """
    check_shape("input", input, "N", "C_in", "H", "W")
    check_shape("weight", weight, "C_out", "C_in / groups", "kH", "kW")
    check_shape("offset", offset, "N", "2 * G * kH * kW", "H_out", "W_out")
    check_floating(input=input, offset=offset, weight=weight)
    (N, C, H, W), (C_out, C_weight, kH, kW) = input.shape, weight.shape
    (sy, sx), (py, px) = pair("stride", stride), pair("padding", padding, 0)
    dy, dx = pair("dilation", dilation)
    H_out = (H + 2 * py - dy * (kH - 1) - 1) // sy + 1
    W_out = (W + 2 * px - dx * (kW - 1) - 1) // sx + 1
    G = offset.shape[1] // (2 * kH * kW)
    if offset.shape[1] != 2 * G * kH * kW or not G or C % G:
        raise InvalidOperand(
            f"offset must have 2 * G * {kH} * {kW} channels where G divides the {C} channels of the input, but has "
            f"{offset.shape[1]}."
        )
    groups = C // C_weight
    if groups * C_weight != C or not groups or C_out % groups:
        raise InvalidOperand(f"A weight of {list(weight.shape)} does not fit an input of {C} channels.")
    check_shape("offset", offset, N, 2 * G * kH * kW, H_out, W_out)
    if mask is not None:
        check_shape("mask", mask, N, G * kH * kW, H_out, W_out)
    if bias is not None:
        check_shape("bias", bias, C_out)
    if input.is_meta:
        return input.new_empty(N, C_out, H_out, W_out)

    dtype, taps = input.dtype, kH * kW
    input, offset, weight = widened(input), widened(offset), widened(weight)
    mask = None if mask is None else widened(mask)
    read = _sample(input, offset, mask, (kH, kW), (sy, sx), (py, px), (dy, dx)).read()
    with torch.autocast(input.device.type, enabled=False):
        out = torch.einsum(
            "nltgc,goct->ngol",
            read.view(N, H_out * W_out, taps, groups, C_weight),
            weight.reshape(groups, C_out // groups, C_weight, taps).to(read.dtype),
        ).reshape(N, C_out, H_out, W_out)
    if bias is not None:
        out = out + bias[:, None, None]
    return out.to(dtype)


def deform_conv2d_backward(
    grad: Tensor,
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The backward of :func:`deform_conv2d` without autograd: the gradients of input, offset, weight and mask, for the
    ``grad`` ``[N, C_out, H_out, W_out]`` of the output. All have the same dtype, at least float32.
    """
    (N, C, H, W), (C_out, C_weight, kH, kW), L = input.shape, weight.shape, grad.shape[2:].numel()
    groups, taps = C // C_weight, kH * kW
    samples = _sample(input, offset, mask, (kH, kW), stride, padding, dilation)
    grad = grad.reshape(N, groups, C_out // groups, L)
    read = samples.read().view(N, L, taps, groups, C_weight)
    grad_weight = torch.einsum("ngol,nltgc->goct", grad, read).reshape(weight.shape)
    flat = weight.reshape(groups, C_out // groups, C_weight, taps)
    grad_read = torch.einsum("ngol,goct->nltgc", grad, flat).reshape(-1, samples.table.shape[1])
    grad_table, grad_modulation = torch.zeros_like(samples.table), torch.zeros_like(samples.places[..., 0])
    grad_places = torch.zeros_like(samples.places)
    for i, (_, inside, y, x) in enumerate(_corners(samples.places, H, W)):
        rows = samples.rows[:, i]
        grad_table.index_add_(0, rows, grad_read * samples.weights[:, i : i + 1])
        slope = torch.where(inside, (grad_read * samples.table[rows]).sum(1).view(inside.shape), 0)
        grad_modulation += slope * y * x
        grad_places[..., 0] += slope * (x if i >= 2 else -x)  # the lower two increase with y
        grad_places[..., 1] += slope * (y if i % 2 else -y)  # the right two with x
    grad_places *= samples.modulation[..., None]
    grad_input = grad_table.view(N, H, W, C).permute(0, 3, 1, 2).contiguous()
    grad_offset = grad_places.permute(0, 4, 3, 5, 1, 2).reshape(offset.shape)
    grad_mask = None if mask is None else grad_modulation.permute(0, 4, 3, 1, 2).reshape(mask.shape)
    return grad_input, grad_offset, grad_weight, grad_mask


torch.fx.wrap("deform_conv2d")  # a single node in graphs of torch.fx


class DeformConv2d(nn.Module):
    """:func:`deform_conv2d` with a weight ``[out_channels, in_channels / groups, kH, kW]`` and a bias as parameters.

    Called with ``(input, offset, mask=None)``; another layer computes the offsets and the mask.
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        for name, number in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
            check_whole(name, number, 1)
        if in_channels % groups or out_channels % groups:
            raise InvalidOperand(
                f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}."
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = pair("kernel_size", kernel_size), pair("stride", stride)
        self.padding, self.dilation = pair("padding", padding, 0), pair("dilation", dilation)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As for other convolutions: uniform, depending on the number of inputs."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(input, offset, self.weight, self.bias, self.stride, self.padding, self.dilation, mask)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}"
        )
