"""Pooling of regions: RoIAlign and its kin, as weighted sums of feature rows.

Bilinear sampling on a regular grid is a weighted sum of pixels, and so is the mean of the samples of a cell. With the
features as a table of one row per pixel, `embedding_bag` computes such sums without materialising a single gathered
pixel. A pixel's weight is the product of a factor for its row and one for its column, so a region is described by its
few places along each axis. The operators differ in these alone.

Regions are ``[K, 5]`` (index of the image in the batch, x1, y1, x2, y2) or a list with the boxes ``[L, 4]`` of each
image, in xyxy. Half precision is computed in float32 and returned in its own type.
"""
# ruff: noqa: A002  the field's name for it is input

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo.ops._checks import captured, check_floating, check_shape, exporting_to_onnx, widened

# Summands laid out at a time, of a few dozen bytes each: forward, and backward, where each time sweeps the whole table.
_SUMMANDS = 1 << 17
_SUMMANDS_BACKWARD = 1 << 21

Axis = tuple[Tensor, Tensor]  # places [K, cells, n] int64, to be added to those of the other axis, and their weights


# ------------------------------------------------------------------------------------------------ weighted sums


def _summands(y: Axis, x: Axis, lo: int, hi: int) -> tuple[Tensor, Tensor]:
    """Places in the table and weights, ``[cells of the regions from lo to hi, summands]``."""
    places = y[0][lo:hi, :, None, :, None] + x[0][lo:hi, None, :, None, :]
    weights = y[1][lo:hi, :, None, :, None] * x[1][lo:hi, None, :, None, :]
    return places.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)


def _pieces(y: Axis, x: Axis, summands: int) -> Iterator[tuple[int, int]]:
    regions, per_region = len(y[0]), y[0][0].numel() * x[0][0].numel() if len(y[0]) else 1
    step = max(1, summands // max(1, per_region))
    for lo in range(0, regions, step):
        yield lo, min(lo + step, regions)


class _Pool(torch.autograd.Function):
    """Sums of rows of a table ``[R, C]`` into cells ``[K, C, rows, columns]``; linear, and so is its gradient."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, yp: Tensor, yw: Tensor, xp: Tensor, xw: Tensor, rows_last: bool) -> Tensor:
        ctx.save_for_backward(yp, yw, xp, xw)
        ctx.table_size = len(table)
        K, h, w, C = len(yp), yp.shape[1], xp.shape[1], table.shape[1]
        y, x = (yp.int(), yw), (xp.int(), xw)  # faster than int64; no table has 2 billion rows
        at_once = not rows_last and K * yp[:1].numel() * xp[:1].numel() <= 8 * _SUMMANDS  # the sums are the output
        out = table.new_empty(K, C, h, w) if rows_last else table.new_empty(0 if at_once else K, h, w, C)
        out = out if rows_last else out.permute(0, 3, 1, 2)
        for lo, hi in [(0, K)] if at_once else _pieces(y, x, _SUMMANDS):
            places, weights = _summands(y, x, lo, hi)
            cells = F.embedding_bag(places, table, mode="sum", per_sample_weights=weights)
            cells = cells.view(hi - lo, h, w, C).permute(0, 3, 1, 2)
            if at_once:
                return cells
            out[lo:hi] = cells
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (
            _Unpool.apply(  # type: ignore[no-untyped-call]
                grad, *ctx.saved_tensors, ctx.table_size
            ),
            None,
            None,
            None,
            None,
            None,
        )


class _Unpool(torch.autograd.Function):
    """The transpose of `_Pool`: each row of the table is the weighted sum of the cells that it is part of."""

    @staticmethod
    def forward(ctx: Any, cells: Tensor, yp: Tensor, yw: Tensor, xp: Tensor, xw: Tensor, table_size: int) -> Tensor:
        ctx.save_for_backward(yp, yw, xp, xw)
        ctx.rows_last = cells.is_contiguous()
        table = None
        for lo, hi in _pieces((yp, yw), (xp, xw), _SUMMANDS_BACKWARD):
            places, weights = _summands((yp, yw), (xp, xw), lo, hi)
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
        return (
            _Pool.apply(  # type: ignore[no-untyped-call]
                grad, *ctx.saved_tensors, ctx.rows_last
            ),
            None,
            None,
            None,
            None,
            None,
        )


def _pool(table: Tensor, y: Axis, x: Axis, like: Tensor) -> Tensor:
    """Cells ``[K, C, rows, columns]`` in the memory format and the type of ``like``."""
    if captured():  # the sizes are symbols there, and one operator is all that a graph needs
        places, weights = _summands(y, x, 0, y[0].shape[0])
        cells = F.embedding_bag(places, table, mode="sum", per_sample_weights=weights)
        out = cells.view(-1, y[0].shape[1], x[0].shape[1], table.shape[1]).permute(0, 3, 1, 2)
    else:
        out = _Pool.apply(  # type: ignore[no-untyped-call]
            table, *y, *x, like.is_contiguous()
        )
    return out.to(like.dtype)


# ------------------------------------------------------------------------------------------------ places and weights


def _bilinear(start: Tensor, cell: Tensor, cells: int, size: Tensor, samples: int) -> Axis:
    """Pixels along an axis and their weights in the means of the samples of each cell, ``[K, cells, n]``.

    ``start`` and ``cell`` ``[K]`` are where the first cell begins and how wide each is, ``size`` ``[K]`` the number of
    pixels. ``samples`` below 1 are as many per cell as it has pixels, rounded up. A sample up to a pixel outside takes
    the value of the border, and one farther out is 0.
    """
    start, cell, size = start[:, None, None], cell[:, None, None], size[:, None, None]
    index = torch.arange(cells, device=start.device)[:, None]
    if samples > 0:
        number: Tensor | int = samples
        sample: Tensor = torch.arange(samples, device=start.device)
    else:
        number = cell.ceil().nan_to_num().clamp(min=0)
        # Of a region that is far larger than the image, only the samples on the image count: at most two per pixel.
        most = min(int(number.max()), 2 * int(size.max()) + 4) if len(cell) else 0
        skipped = (
            ((-1 - start - index * cell) * number / cell).floor().clamp(min=0).minimum((number - most).clamp(min=0))
        )
        sample = skipped.nan_to_num() + torch.arange(most, device=start.device)
    at = start + index * cell + (sample + 0.5) * cell / number
    valid = (at >= -1) & (at <= size) & (sample < number)
    at = torch.where(valid, at, 0).clamp(min=0).minimum(size - 1)
    low = at.floor().minimum((size - 2).clamp(min=0))
    high_weight = torch.where(valid, (at - low) / number, 0)
    low_weight = torch.where(valid, (1 - at + low) / number, 0)
    low = low.long()
    last = size.long() - 1
    if samples > 0:
        return torch.cat([low, (low + 1).minimum(last)], -1), torch.cat([low_weight, high_weight], -1)
    # Neighbouring samples share pixels: with one weight per pixel there are about a quarter as many summands.
    first = torch.where(valid, low, last).amin(-1, keepdim=True) if most else low.new_zeros(*low.shape[:2], 1)
    offset = torch.where(valid, low - first, 0)
    n = int(offset.max()) + 2 if offset.numel() else 1
    weights = (
        at.new_zeros(*low.shape[:2], n).scatter_add_(2, offset, low_weight).scatter_add_(2, offset + 1, high_weight)
    )
    return (first + torch.arange(n, device=start.device)).minimum(last), weights


def _rounded(t: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero."""
    return t.sign() * (t.abs() + 0.5).floor()


def _whole_pixels(lo: Tensor, hi: Tensor, cells: int, size: int, border: int) -> Axis:
    """Pixels along an axis of ``size`` and their shares of each cell ``[K, cells, n]``; cells are rounded outwards.

    A cell goes no farther than ``border``. What fills up repeats its last pixel with a share of 0.
    """
    cell = ((hi - lo) / cells)[:, None]
    index = torch.arange(cells, device=lo.device)
    first = ((index * cell).floor() + lo[:, None]).nan_to_num().clamp(0, border)[..., None]
    end = (((index + 1) * cell).ceil() + lo[:, None]).nan_to_num().clamp(0, border)[..., None]
    number = (end - first).clamp(min=0)
    n = size if captured() or not number.numel() else max(1, int(number.max()))
    step = torch.arange(n, device=lo.device)
    places = (first + step.minimum((number - 1).clamp(min=0))).clamp(max=size - 1)
    return places.long(), (step < number) / number.clamp(min=1)


# ------------------------------------------------------------------------------------------------ arguments


def _regions(input: Tensor, boxes: Tensor | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Image ``[K]`` int64 and box ``[K, 4]`` of each region, checked; no gradient flows to them."""
    check_shape("input", input, "N", "C", "H", "W")
    if isinstance(boxes, Tensor):
        check_shape("boxes", boxes, "K", 5)
        check_floating(input=input, boxes=boxes)
        images = boxes[:, 0].long()
        if not captured() and not boxes.is_meta and len(boxes) and not (0 <= images.min() <= images.max() < len(input)):
            raise InvalidArgument(
                f"boxes[:, 0] are indices of images, and must be from 0 to {len(input) - 1} for an input of "
                f"{list(input.shape)}, but go from {int(images.min())} to {int(images.max())}."
            )
        regions = boxes[:, 1:]
    else:
        if len(boxes) != len(input):
            raise InvalidArgument(f"Expected boxes for each of {len(input)} images, but got {len(boxes)} tensors.")
        for i, part in enumerate(boxes):
            check_shape(f"boxes[{i}]", part, "L", 4)
            check_floating(input=input, **{f"boxes[{i}]": part})
        regions = torch.cat(list(boxes))
        images = torch.cat([part.new_full(part.shape[:1], i, dtype=torch.int64) for i, part in enumerate(boxes)])
    if regions.device != input.device:
        raise InvalidArgument(f"input and boxes must be on one device, but got {input.device} and {regions.device}.")
    return images, widened(regions.detach()).to(widened(input).dtype)


def _pair(name: str, size: int | Sequence[int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise InvalidArgument(f"{name} must be positive, but got {size}.")
    return height, width


def table_of(input: Tensor) -> Tensor:
    """Features ``[N, C, H, W]`` as rows ``[N * H * W, C]``, at least float32: a view if they are channels last."""
    return widened(input).contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).flatten(0, 2)


# ------------------------------------------------------------------------------------------------ operators


def pool_aligned(
    table: Tensor,
    boxes: Tensor,
    begin: Tensor,
    height: Tensor,
    width: Tensor,
    scale: Tensor | float,
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
    like: Tensor,
) -> Tensor:
    """RoIAlign of boxes ``[K, 4]``; the features of each begin at row ``begin`` of ``table`` and may differ in size."""
    offset = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (boxes * scale - offset).unbind(1)
    w, h = x2 - x1, y2 - y1
    if not aligned:
        w, h = w.clamp(min=1), h.clamp(min=1)
    rows, row_weights = _bilinear(y1, h / output_size[0], output_size[0], height, sampling_ratio)
    columns = _bilinear(x1, w / output_size[1], output_size[1], width, sampling_ratio)
    rows = rows * width.long()[:, None, None] + begin[:, None, None]
    return _pool(table, (rows, row_weights), columns, like)


def onnx_roi_align(
    input: Tensor,
    images: Tensor,
    boxes: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """ONNX's own operator."""
    return torch.onnx.ops.symbolic(
        "RoiAlign",
        (widened(input), boxes, images),
        {
            "mode": "avg",
            "coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel",
            "output_height": output_size[0],
            "output_width": output_size[1],
            "sampling_ratio": max(sampling_ratio, 0),
            "spatial_scale": float(spatial_scale),
        },
        dtype=widened(input).dtype,
        shape=(boxes.shape[0], input.shape[1], *output_size),
        version=16,
    ).to(input.dtype)


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Features of regions by bilinear sampling: `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_'s RoIAlign.

    ``input`` ``[N, C, H, W]`` and regions in pixels of the image, of which ``spatial_scale`` makes pixels of ``input``,
    give ``[K, C, height, width]``, in the memory format of ``input``. Each cell is the mean of ``sampling_ratio``
    squared samples, or below 1 of about one per pixel (how many depends on values, so a captured graph has to fix it).
    ``aligned`` takes a pixel's centre for its position, which is right; without, regions lie half a pixel off and are
    at least one pixel large, as in the first implementations, whose weights want it so.

    Raises :class:`~zoo.errors.InvalidArgument` for other shapes or types, and for an index of no image.
    """
    images, boxes = _regions(input, boxes)
    size = _pair("output_size", output_size)
    if input.is_meta:
        return input.new_empty(boxes.shape[0], input.shape[1], *size)
    if exporting_to_onnx():
        return onnx_roi_align(input, images, boxes, size, spatial_scale, sampling_ratio, aligned)
    _, _, H, W = input.shape
    height, width = (boxes.new_full(boxes.shape[:1], length) for length in (H, W))
    return pool_aligned(
        table_of(input), boxes, images * (H * W), height, width, spatial_scale, size, sampling_ratio, aligned, input
    )


def _position_sensitive(input: Tensor, size: tuple[int, int]) -> Tensor:
    """Rows ``[N * H * W * cells, C / cells]``: a row holds the channels of one pixel that one cell reads."""
    cells = size[0] * size[1]
    if input.shape[1] % cells:
        raise InvalidArgument(
            f"The number of channels must be a multiple of {size[0]} x {size[1]} cells, but got {input.shape[1]}."
        )
    N, C, H, W = input.shape
    return widened(input).reshape(N, C // cells, cells, H, W).permute(0, 3, 4, 2, 1).flatten(0, 3)


def _pool_position_sensitive(input: Tensor, images: Tensor, y: Axis, x: Axis, size: tuple[int, int]) -> Tensor:
    _, _, H, W = input.shape
    row, column = (torch.arange(n, device=input.device)[:, None] for n in size)
    cells = size[0] * size[1]
    rows = ((images * H)[:, None, None] + y[0]) * (W * cells) + row * size[1]
    return _pool(_position_sensitive(input, size), (rows, y[1]), (x[0] * cells + column, x[1]), input)


def ps_roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
) -> Tensor:
    """:func:`roi_align` where each cell has channels of its own, as in `Light-Head R-CNN <https://arxiv.org/abs/1711.07264>`_.

    ``input`` ``[N, C * height * width, H, W]`` gives ``[K, C, height, width]``. A pixel's centre is its position.
    """
    images, boxes = _regions(input, boxes)
    size = _pair("output_size", output_size)
    channels = _position_sensitive(input[:0], size).shape[1]
    if input.is_meta:
        return input.new_empty(boxes.shape[0], channels, *size)
    x1, y1, x2, y2 = (boxes * spatial_scale - 0.5).unbind(1)
    height, width = (boxes.new_full(boxes.shape[:1], length) for length in input.shape[2:])
    y = _bilinear(y1, (y2 - y1) / size[0], size[0], height, sampling_ratio)
    x = _bilinear(x1, (x2 - x1) / size[1], size[1], width, sampling_ratio)
    return _pool_position_sensitive(input, images, y, x, size)


def ps_roi_pool(
    input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """Mean over whole pixels where each cell has channels of its own: `R-FCN <https://arxiv.org/abs/1605.06409>`_.

    ``input`` ``[N, C * height * width, H, W]`` gives ``[K, C, height, width]``. A cell without pixels is 0.
    """
    images, boxes = _regions(input, boxes)
    size = _pair("output_size", output_size)
    channels = _position_sensitive(input[:0], size).shape[1]
    if input.is_meta:
        return input.new_empty(boxes.shape[0], channels, *size)
    x1, y1, x2, y2 = _rounded(boxes * spatial_scale).unbind(1)
    _, _, H, W = input.shape
    y = _whole_pixels(y1, torch.maximum(y2, y1 + 1), size[0], H, H - 1)  # the first implementation's border
    x = _whole_pixels(x1, torch.maximum(x2, x1 + 1), size[1], W, W - 1)
    return _pool_position_sensitive(input, images, y, x, size)


def roi_pool(
    input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """Maximum over whole pixels: `Fast R-CNN <https://arxiv.org/abs/1504.08083>`_'s RoIPool.

    ``input`` ``[N, C, H, W]`` gives ``[K, C, height, width]``. A cell without pixels is 0.
    """
    images, boxes = _regions(input, boxes)
    size = _pair("output_size", output_size)
    if input.is_meta:
        return input.new_empty(boxes.shape[0], input.shape[1], *size)
    _, C, H, W = input.shape
    x1, y1, x2, y2 = _rounded(boxes * spatial_scale).unbind(1)
    y, shares_y = _whole_pixels(y1, torch.maximum(y2, y1) + 1, size[0], H, H)
    x, shares_x = _whole_pixels(x1, torch.maximum(x2, x1) + 1, size[1], W, W)
    y = (y + (images * H)[:, None, None]) * W
    table = table_of(input)
    parts = []
    for lo, hi in [(0, y.shape[0])] if captured() else _pieces((y, shares_y), (x, shares_x), _SUMMANDS):
        places, shares = _summands((y, shares_y), (x, shares_x), lo, hi)
        parts.append(F.embedding_bag(places, table, mode="max") * (shares[:, :1] > 0))
    cells = torch.cat(parts) if parts else table[:0]
    out = cells.view(-1, *size, C).permute(0, 3, 1, 2)
    return (out.contiguous() if input.is_contiguous() else out).to(input.dtype)


# ------------------------------------------------------------------------------------------------ modules

for name in ("roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool"):  # of a module, one node in a graph of torch.fx
    torch.fx.wrap(name)


class RoIAlign(nn.Module):
    """:func:`roi_align` as a module: ``(input, rois)`` to ``[K, C, height, width]``."""

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float,
        sampling_ratio: int,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in vars(self).items() if name in _SETTINGS)


class PSRoIAlign(nn.Module):
    """:func:`ps_roi_align` as a module: ``(input, rois)`` to ``[K, C, height, width]``."""

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float, sampling_ratio: int) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return ps_roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio)

    extra_repr = RoIAlign.extra_repr


class RoIPool(nn.Module):
    """:func:`roi_pool` as a module: ``(input, rois)`` to ``[K, C, height, width]``."""

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    extra_repr = RoIAlign.extra_repr


class PSRoIPool(RoIPool):
    """:func:`ps_roi_pool` as a module: ``(input, rois)`` to ``[K, C, height, width]``."""

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        return ps_roi_pool(input, rois, self.output_size, self.spatial_scale)


_SETTINGS = ("output_size", "spatial_scale", "sampling_ratio", "aligned")
