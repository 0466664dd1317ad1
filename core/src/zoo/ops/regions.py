"""Pooling of regions: RoIAlign, RoIPool and their position-sensitive variants, with the weighted sums of
:mod:`zoo.ops.pooling`.

Regions are ``[K, 5]`` (index of the image in the batch, x1, y1, x2, y2) or a list with the boxes ``[L, 4]`` of each
image, in xyxy. Half precision is computed in float32 and returned in its own dtype.
"""
# ruff: noqa: A002  the usual name is input

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import InvalidKind, InvalidOperand
from zoo.nn.checks import refuse_script
from zoo.ops._checks import (
    captured,
    check_floating,
    check_number,
    check_shape,
    check_whole,
    exporting_to_onnx,
    is_list,
    pair,
    widened,
)
from zoo.ops._onnx import onnx_operator
from zoo.ops.pooling import Axis, bilinear, pool_max, pool_sum, table_of, whole_pixels
from zoo.quantized_tensors import dequantized, is_quantized, quantized_like

# ------------------------------------------------------------------------------------------------ arguments


def _regions(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float,
    sampling_ratio: int = -1,
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Image ``[K]`` int64 and box ``[K, 4]`` of each region, which get no gradient, and the output's size."""
    check_number("spatial_scale", spatial_scale)
    check_whole("sampling_ratio", sampling_ratio)
    check_shape("input", input, "N", "C", "H", "W")
    if isinstance(boxes, Tensor):
        check_shape("boxes", boxes, "K", 5)
        check_floating(input=input, boxes=boxes)
        images = boxes[:, 0].long()
        if not captured() and not boxes.is_meta and len(boxes):
            least, most = torch.stack(torch.aminmax(images)).tolist()  # one synchronisation with a GPU
            if not 0 <= least <= most < len(input):
                raise InvalidOperand(
                    f"boxes[:, 0] are indices of images, and must be from 0 to {len(input) - 1} for an input of "
                    f"{list(input.shape)}, but go from {least} to {most}."
                )
        regions = boxes[:, 1:]
    else:
        if not is_list(boxes):
            raise InvalidKind(f"boxes must be a tensor or a list of tensors, but got {type(boxes).__name__}.")
        if len(boxes) != len(input):
            raise InvalidOperand(f"Expected boxes for each of {len(input)} images, but got {len(boxes)} tensors.")
        for i, part in enumerate(boxes):
            check_shape(f"boxes[{i}]", part, "L", 4)
            check_floating(input=input, **{f"boxes[{i}]": part})
        regions = torch.cat(list(boxes))
        images = torch.cat([part.new_full(part.shape[:1], i, dtype=torch.int64) for i, part in enumerate(boxes)])
    if regions.device != input.device:
        raise InvalidOperand(
            f"input and boxes must be on the same device, but got {input.device} and {regions.device}."
        )
    regions = widened(regions.detach()).to(widened(input).dtype)
    return images, regions, pair("output_size", output_size)


# ------------------------------------------------------------------------------------------------ operators


def _rounded(t: Tensor) -> Tensor:
    """Round to the nearest integer, halves away from zero."""
    return t.sign() * (t.abs() + 0.5).floor()


def aligned_axes(
    boxes: Tensor,
    begin: Tensor,
    height: Tensor,
    width: Tensor,
    scale: Tensor | float,
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> tuple[Axis, Axis]:
    """The values that RoIAlign of boxes ``[K, 4]`` reads. The features of a box begin at row ``begin`` and may differ
    in size."""
    corners = boxes * scale - 0.5 if aligned else boxes * scale
    begins, extents = corners[:, :2], corners[:, 2:] - corners[:, :2]
    if not aligned:
        extents = extents.clamp(min=1)
    if sampling_ratio > 0 and output_size[0] == output_size[1]:  # both axes at once: half as many calls
        both = torch.stack([width, height], 1)
        places, weights = bilinear(begins, extents / output_size[0], output_size[0], both, sampling_ratio)
        columns, rows = (Axis(places[:, i], weights[:, i]) for i in (0, 1))
    else:
        h, w = output_size
        rows = bilinear(begins[:, 1], extents[:, 1] / h, h, height, sampling_ratio)
        columns = bilinear(begins[:, 0], extents[:, 0] / w, w, width, sampling_ratio)
    places = rows.places * width.long()[:, None, None] + begin[:, None, None]
    return Axis(places, rows.weights), columns


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
    """RoIAlign of boxes ``[K, 4]`` from the rows of ``table`` in :func:`aligned_axes`."""
    axes = aligned_axes(boxes, begin, height, width, scale, output_size, sampling_ratio, aligned)
    return pool_sum(table, *axes, like)


def onnx_roi_align(
    input: Tensor,
    images: Tensor,
    boxes: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """The operator of ONNX."""

    def eager(input: Tensor, boxes: Tensor, images: Tensor) -> Tensor:
        height, width = (boxes.new_full(boxes.shape[:1], length) for length in input.shape[2:])
        begin = images * (input.shape[2] * input.shape[3])
        where = (begin, height, width, spatial_scale, output_size, sampling_ratio, aligned)
        return pool_aligned(table_of(input), boxes, *where, input)

    attributes = {
        "mode": "avg",
        "coordinate_transformation_mode": "half_pixel" if aligned else "output_half_pixel",
        "output_height": output_size[0],
        "output_width": output_size[1],
        "sampling_ratio": max(sampling_ratio, 0),
        "spatial_scale": float(spatial_scale),
    }
    like = widened(input).dtype, (boxes.shape[0], input.shape[1], *output_size)
    return onnx_operator("RoiAlign", (widened(input), boxes, images), attributes, eager, like, 16).to(input.dtype)


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Features of regions by bilinear sampling: `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_'s RoIAlign.

    Takes ``input`` ``[N, C, H, W]`` and regions in pixels of the image, which ``spatial_scale`` converts to pixels of
    ``input``; returns ``[K, C, height, width]``, in the memory format of ``input``. Each cell is the mean of
    ``sampling_ratio`` squared samples, or if it is below 1 of about one per pixel (their number depends on values, so a
    captured graph has to fix it). With ``aligned``, a pixel's position is its centre, which is correct; without,
    regions are offset by half a pixel and at least one pixel large, as in the first implementations and for their
    weights.

    For a quantized ``input`` the result is quantized with the same parameters. Raises
    :class:`~zoo.errors.InvalidArgument` for other shapes or dtypes, and for an invalid index of an image.
    """
    boxes = [dequantized(part) for part in boxes] if is_list(boxes) else dequantized(boxes)
    if is_quantized(input):
        out = roi_align(dequantized(input), boxes, output_size, spatial_scale, sampling_ratio, aligned)
        return quantized_like(out, input)
    images, boxes, size = _regions(input, boxes, output_size, spatial_scale, sampling_ratio)
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
    """Rows ``[N * H * W * cells, C / cells]``: a row has the channels of one pixel that one cell reads."""
    cells = size[0] * size[1]
    if input.shape[1] % cells:
        raise InvalidOperand(
            f"The number of channels must be a multiple of {size[0]} x {size[1]} cells, but got {input.shape[1]}."
        )
    N, C, H, W = input.shape
    return widened(input).reshape(N, C // cells, cells, H, W).permute(0, 3, 4, 2, 1).flatten(0, 3)


def _cells_apart(
    images: Tensor, y: Axis, x: Axis, output_size: tuple[int, int], image_size: Sequence[int]
) -> tuple[Axis, Axis]:
    H, W = image_size
    row, column = (torch.arange(n, device=images.device)[:, None] for n in output_size)
    cells = output_size[0] * output_size[1]
    y = Axis(((images * H)[:, None, None] + y.places) * (W * cells) + row * output_size[1], y.weights)
    return y, Axis(x.places * cells + column, x.weights)


def ps_aligned_axes(
    images: Tensor,
    boxes: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    image_size: Sequence[int],
) -> tuple[Axis, Axis]:
    """The values that position-sensitive RoIAlign reads from the rows of :func:`_position_sensitive`."""
    x1, y1, x2, y2 = (boxes * spatial_scale - 0.5).unbind(1)
    height, width = (boxes.new_full(boxes.shape[:1], length) for length in image_size)
    y = bilinear(y1, (y2 - y1) / output_size[0], output_size[0], height, sampling_ratio)
    x = bilinear(x1, (x2 - x1) / output_size[1], output_size[1], width, sampling_ratio)
    return _cells_apart(images, y, x, output_size, image_size)


def ps_whole_axes(
    images: Tensor, boxes: Tensor, output_size: tuple[int, int], spatial_scale: float, image_size: Sequence[int]
) -> tuple[Axis, Axis]:
    """The values that position-sensitive RoIPool reads from the rows of :func:`_position_sensitive`."""
    (H, W), (x1, y1, x2, y2) = image_size, _rounded(boxes * spatial_scale).unbind(1)
    y = whole_pixels(y1, torch.maximum(y2, y1 + 1), output_size[0], H, H - 1)  # the border of the first implementation
    x = whole_pixels(x1, torch.maximum(x2, x1 + 1), output_size[1], W, W - 1)
    return _cells_apart(images, y, x, output_size, image_size)


def whole_axes(
    images: Tensor, boxes: Tensor, output_size: tuple[int, int], spatial_scale: float, image_size: Sequence[int]
) -> tuple[Axis, Axis]:
    """The values that RoIPool reads."""
    (H, W), (x1, y1, x2, y2) = image_size, _rounded(boxes * spatial_scale).unbind(1)
    y = whole_pixels(y1, torch.maximum(y2, y1) + 1, output_size[0], H, H)
    x = whole_pixels(x1, torch.maximum(x2, x1) + 1, output_size[1], W, W)
    return Axis((y.places + (images * H)[:, None, None]) * W, y.weights), x


def ps_roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
) -> Tensor:
    """:func:`roi_align` where each cell has its own channels, as in `Light-Head R-CNN
    <https://arxiv.org/abs/1711.07264>`_.

    ``input`` ``[N, C * height * width, H, W]`` gives ``[K, C, height, width]``. A pixel's centre is its position.
    """
    images, boxes, size = _regions(input, boxes, output_size, spatial_scale, sampling_ratio)
    channels = _position_sensitive(input[:0], size).shape[1]
    if input.is_meta:
        return input.new_empty(boxes.shape[0], channels, *size)
    axes = ps_aligned_axes(images, boxes, size, spatial_scale, sampling_ratio, input.shape[2:])
    return pool_sum(_position_sensitive(input, size), *axes, input)


def ps_roi_pool(
    input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """Mean over whole pixels where each cell has its own channels: `R-FCN <https://arxiv.org/abs/1605.06409>`_.

    ``input`` ``[N, C * height * width, H, W]`` gives ``[K, C, height, width]``. A cell without pixels is 0.
    """
    images, boxes, size = _regions(input, boxes, output_size, spatial_scale)
    channels = _position_sensitive(input[:0], size).shape[1]
    if input.is_meta:
        return input.new_empty(boxes.shape[0], channels, *size)
    axes = ps_whole_axes(images, boxes, size, spatial_scale, input.shape[2:])
    return pool_sum(_position_sensitive(input, size), *axes, input)


def roi_pool(
    input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """Maximum over whole pixels: `Fast R-CNN <https://arxiv.org/abs/1504.08083>`_'s RoIPool.

    ``input`` ``[N, C, H, W]`` gives ``[K, C, height, width]``. A cell without pixels is 0.
    """
    images, boxes, size = _regions(input, boxes, output_size, spatial_scale)
    if input.is_meta:
        return input.new_empty(boxes.shape[0], input.shape[1], *size)
    axes = whole_axes(images, boxes, size, spatial_scale, input.shape[2:])
    return pool_max(table_of(input), *axes, input)


# ------------------------------------------------------------------------------------------------ modules

for name in ("roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool"):  # each is one node in a graph of torch.fx
    torch.fx.wrap(name)


class RoIAlign(nn.Module):
    """:func:`roi_align` as a module: ``(input, rois)`` to ``[K, C, height, width]``."""

    __prepare_scriptable__ = refuse_script

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

    __prepare_scriptable__ = refuse_script

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

    __prepare_scriptable__ = refuse_script

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
