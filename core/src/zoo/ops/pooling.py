"""Pooled regions as weighted sums of feature rows.

Bilinear sampling on a regular grid is a weighted sum of pixels, and so is the mean of the samples of a cell. With the
features as a table of one row per pixel, `embedding_bag` computes such sums without materialising the gathered pixels.
A pixel's weight is the product of a factor for its row and one for its column, so a region is described by a few places
along each axis. The operators of :mod:`zoo.ops.regions` differ only in these.
"""
# ruff: noqa: A002  the usual name is input

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.ops._checks import captured, widened

# Summands per step, of a few dozen bytes each: forward, and backward, where each step reads the whole table. A GPU
# needs many to be busy, and each step takes a dozen calls.
_SUMMANDS = {"cpu": 1 << 17}
_SUMMANDS_BACKWARD = {"cpu": 1 << 21}
_SUMMANDS_ELSEWHERE = 1 << 23


def _at_a_time(t: Tensor, of_devices: dict[str, int]) -> int:
    return of_devices.get(t.device.type, _SUMMANDS_ELSEWHERE)


class Axis(NamedTuple):
    """The values that each cell reads along one axis ``[K, cells, n]``: rows of the table, to be added to those of the
    other axis, and their weights, to be multiplied by those of the other axis."""

    places: Tensor
    weights: Tensor


# ------------------------------------------------------------------------------------------------ weighted sums


def _summands(y: Axis, x: Axis, lo: int, hi: int) -> tuple[Tensor, Tensor]:
    """Places in the table and weights, ``[cells of the regions from lo to hi, summands]``."""
    places = y.places[lo:hi, :, None, :, None] + x.places[lo:hi, None, :, None, :]
    weights = y.weights[lo:hi, :, None, :, None] * x.weights[lo:hi, None, :, None, :]
    return places.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)


def _pieces(y: Axis, x: Axis, summands: int) -> Iterator[tuple[int, int]]:
    """Ranges of regions with about ``summands`` summands, at least one region each."""
    regions, per_region = len(y.places), y.places.shape[1:].numel() * x.places.shape[1:].numel()
    step = max(1, summands // max(1, per_region))
    for lo in range(0, regions, step):
        yield lo, min(lo + step, regions)


class _Pool(torch.autograd.Function):
    """Sums of rows of a table ``[R, C]`` into cells ``[K, C, rows, columns]``; a linear function with a linear
    gradient."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, yp: Tensor, yw: Tensor, xp: Tensor, xw: Tensor, rows_last: bool) -> Tensor:
        ctx.save_for_backward(yp, yw, xp, xw)
        ctx.table_size = len(table)
        K, h, w, C = len(yp), yp.shape[1], xp.shape[1], table.shape[1]
        y, x = Axis(yp.int(), yw), Axis(xp.int(), xw)  # faster than int64; no table has 2 billion rows
        summands = _at_a_time(table, _SUMMANDS)
        at_once = not rows_last and K * yp[:1].numel() * xp[:1].numel() <= 8 * summands  # the sums are the output
        out = table.new_empty(K, C, h, w) if rows_last else table.new_empty(0 if at_once else K, h, w, C)
        out = out if rows_last else out.permute(0, 3, 1, 2)
        for lo, hi in [(0, K)] if at_once else _pieces(y, x, summands):
            places, weights = _summands(y, x, lo, hi)
            cells = F.embedding_bag(places, table, mode="sum", per_sample_weights=weights)
            cells = cells.view(hi - lo, h, w, C).permute(0, 3, 1, 2)
            if at_once:
                return cells
            out[lo:hi] = cells
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table = _Unpool.apply(grad, *ctx.saved_tensors, ctx.table_size)  # type: ignore[no-untyped-call]
        return table, None, None, None, None, None


class _Unpool(torch.autograd.Function):
    """The transpose of `_Pool`: each row of the table is the weighted sum of the cells that read it."""

    @staticmethod
    def forward(ctx: Any, cells: Tensor, yp: Tensor, yw: Tensor, xp: Tensor, xw: Tensor, table_size: int) -> Tensor:
        ctx.save_for_backward(yp, yw, xp, xw)
        ctx.rows_last = cells.is_contiguous()
        y, x, table = Axis(yp, yw), Axis(xp, xw), None
        summands = _at_a_time(cells, _SUMMANDS_BACKWARD)
        for lo, hi in _pieces(y, x, summands):
            places, weights = _summands(y, x, lo, hi)
            sorted_places, order = places.flatten().int().sort()  # int32 sorts far faster
            count = torch.bincount(sorted_places, minlength=table_size)
            cell = order.div(places.shape[1], rounding_mode="floor")
            rows = cells[lo:hi].permute(0, 2, 3, 1).flatten(0, 2)
            offsets = count.cumsum(0) - count
            part = F.embedding_bag(
                cell, rows.contiguous(), offsets, mode="sum", per_sample_weights=weights.flatten()[order]
            )
            table = part if table is None else table.add_(part)
        return cells.new_zeros(table_size, cells.shape[1]) if table is None else table

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        cells = _Pool.apply(grad, *ctx.saved_tensors, ctx.rows_last)  # type: ignore[no-untyped-call]
        return cells, None, None, None, None, None


def pool_sum(table: Tensor, y: Axis, x: Axis, like: Tensor) -> Tensor:
    """Cells ``[K, C, rows, columns]`` in the memory format and the dtype of ``like``."""
    if captured():  # the sizes are symbolic there, and a graph needs only one operator
        places, weights = _summands(y, x, 0, y.places.shape[0])
        cells = F.embedding_bag(places, table, mode="sum", per_sample_weights=weights)
        out = cells.view(-1, y.places.shape[1], x.places.shape[1], table.shape[1]).permute(0, 3, 1, 2)
    else:
        out = _Pool.apply(table, *y, *x, like.is_contiguous())  # type: ignore[no-untyped-call]
    return out.to(like.dtype)


def unpool_sum(cells: Tensor, y: Axis, x: Axis, table_size: int) -> Tensor:
    """The transpose of :func:`pool_sum`, its gradient: ``[table_size, C]`` of cells ``[K, C, rows, columns]``."""
    table: Tensor = _Unpool.apply(widened(cells), *y, *x, table_size)  # type: ignore[no-untyped-call]
    return table


def places_of_max(table: Tensor, y: Axis, x: Axis) -> Tensor:
    """The row of the table that :func:`pool_max` selects, int64 ``[K, C, rows, columns]``; -1 for a cell without
    pixels."""
    parts = [table.new_empty(0, table.shape[1], dtype=torch.int64)]
    for lo, hi in _pieces(y, x, _at_a_time(table, _SUMMANDS)):
        places, weights = _summands(y, x, lo, hi)
        offsets = torch.arange(0, places.numel(), places.shape[1], device=table.device)
        best = torch.embedding_bag(table, places.flatten(), offsets, False, 2)[3]
        parts.append(torch.where(weights[:, :1] > 0, best.long(), -1))
    found = torch.cat(parts).view(-1, y.places.shape[1], x.places.shape[1], table.shape[1])
    return found.permute(0, 3, 1, 2)


def pool_max(table: Tensor, y: Axis, x: Axis, like: Tensor) -> Tensor:
    """The same with maxima instead of sums; 0 if a cell has no pixel with a weight."""
    parts = []
    summands = _at_a_time(table, _SUMMANDS)
    for lo, hi in [(0, y.places.shape[0])] if captured() else _pieces(y, x, summands):
        places, weights = _summands(y, x, lo, hi)
        parts.append(F.embedding_bag(places, table, mode="max") * (weights[:, :1] > 0))
    cells = torch.cat(parts) if parts else table[:0]
    out = cells.view(-1, y.places.shape[1], x.places.shape[1], table.shape[1]).permute(0, 3, 1, 2)
    return (out.contiguous() if like.is_contiguous() else out).to(like.dtype)


# ------------------------------------------------------------------------------------------------ places and weights


def bilinear(start: Tensor, cell: Tensor, cells: int, size: Tensor, samples: int) -> Axis:
    """Pixels along an axis and their weights in the means of the samples of each cell, ``[..., cells, n]``.

    ``start`` and ``cell`` ``[...]`` are the start of the first cell and the width of each, ``size`` ``[...]`` the
    number of pixels. If ``samples`` is below 1, there is one per pixel of a cell, rounded up. A sample up to one pixel
    outside has the value of the border, a sample farther out is 0.
    """
    start, cell, size = start[..., None, None], cell[..., None, None], size[..., None, None]
    number: Tensor | int = samples
    if samples > 0:
        half = 0.5 / samples
        middles = torch.linspace(half, cells - half, cells * samples, dtype=start.dtype, device=start.device)
        at = torch.addcmul(start, cell, middles.view(cells, samples))
        valid = (at >= -1) & (at <= size)
    else:
        index = torch.arange(cells, device=start.device)[:, None]
        number = cell.ceil().nan_to_num().clamp(min=0)
        # If a region is far larger than the image, only the samples on the image are used: at most two per pixel.
        most = min(int(number.max()), 2 * int(size.max()) + 4) if len(cell) else 0
        skipped = (
            ((-1 - start - index * cell) * number / cell).floor().clamp(min=0).minimum((number - most).clamp(min=0))
        )
        sample = skipped.nan_to_num() + torch.arange(most, device=start.device)
        at = start + index * cell + (sample + 0.5) * cell / number
        valid = (at >= -1) & (at <= size) & (sample < number)
    at = torch.where(valid, at, 0).clamp(min=0).minimum(size - 1)
    low = at.floor()
    high_weight = torch.where(valid, (at - low) / number, 0)
    low_weight = torch.where(valid, (1 - at + low) / number, 0)
    if samples > 0:
        high = (low + 1).minimum(size - 1)  # has a weight of 0 where this is not the next pixel
        return Axis(torch.cat([low, high], -1).long(), torch.cat([low_weight, high_weight], -1))
    # Neighbouring samples share pixels: one weight per pixel needs about a quarter of the summands.
    low, last = low.long(), size.long() - 1
    first = torch.where(valid, low, last).amin(-1, keepdim=True) if most else low.new_zeros(*low.shape[:-1], 1)
    offset = torch.where(valid, low - first, 0)
    n = int(offset.max()) + 2 if offset.numel() else 1
    weights = (
        at.new_zeros(*low.shape[:-1], n).scatter_add_(-1, offset, low_weight).scatter_add_(-1, offset + 1, high_weight)
    )
    return Axis((first + torch.arange(n, device=start.device)).minimum(last), weights)


def whole_pixels(lo: Tensor, hi: Tensor, cells: int, size: int, border: int) -> Axis:
    """Pixels along an axis of ``size`` and their shares of each cell ``[K, cells, n]``; cells are rounded outwards.

    A cell is limited by ``border``. Padding repeats its last pixel with a share of 0.
    """
    cell = ((hi - lo) / cells)[:, None]
    index = torch.arange(cells, device=lo.device)
    first = ((index * cell).floor() + lo[:, None]).nan_to_num().clamp(0, border)[..., None]
    end = (((index + 1) * cell).ceil() + lo[:, None]).nan_to_num().clamp(0, border)[..., None]
    number = (end - first).clamp(min=0)
    n = size if captured() or not number.numel() else max(1, int(number.max()))
    step = torch.arange(n, device=lo.device)
    places = (first + step.minimum((number - 1).clamp(min=0))).clamp(max=size - 1)
    return Axis(places.long(), (step < number) / number.clamp(min=1))


def table_of(input: Tensor) -> Tensor:
    """Features ``[N, C, H, W]`` as rows ``[N * H * W, C]``, at least float32: a view if they are channels-last."""
    return widened(input).contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).flatten(0, 2)
