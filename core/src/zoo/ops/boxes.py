"""Boxes: formats, areas, overlaps. Plain arithmetic, which supports autograd, compile, export and vmap.

A box is four numbers, ``(x1, y1, x2, y2)`` in pixels unless a format is given, with ``x1 <= x2`` and
``y1 <= y2``. Boxes come as ``[..., N, 4]`` of any real type; half precision and short integers are converted to wider
types first.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InvalidArgument
from zoo.ops import rotated
from zoo.ops._checks import check_boxes, check_choice, check_number, check_shape, check_tensor, is_list, widened
from zoo.ops.suppression import batched_nms as batched_nms, nms as nms

FORMATS = ("xyxy", "xywh", "cxcywh")
ALL_FORMATS = (*FORMATS, *rotated.SIZES)


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Convert boxes ``[..., 4]``, or ``[..., 5]`` and ``[..., 8]`` if rotated, from one format to another, in the same
    dtype.

    The formats are ``"xyxy"`` (two corners), ``"xywh"`` (top left corner, width and height) and ``"cxcywh"``
    (centre, width and height). Raises :class:`~zoo.errors.InvalidArgument` for any other. Integers are converted
    through floating point for centres, which may be between two pixels; those of 8 or 16 bits become int32.

    Rotated boxes are ``"xywhr"``, ``"cxcywhr"`` (the same with an angle in degrees, counterclockwise; x and y are the
    box's own top left corner) and ``"xyxyxyxy"`` (the four corners, clockwise from that one). They can be converted to
    each other; integers are rounded.
    """
    check_choice("in_fmt", in_fmt, ALL_FORMATS)
    check_choice("out_fmt", out_fmt, FORMATS if in_fmt in FORMATS else tuple(rotated.SIZES))
    if in_fmt in rotated.SIZES:
        return rotated.convert_rotated(boxes, in_fmt, out_fmt)
    check_boxes("boxes", boxes)
    if in_fmt == out_fmt:
        return boxes.clone()
    short = boxes.dtype in (torch.uint8, torch.int8, torch.int16, torch.uint16)
    a, b, c, d = (boxes.int() if short else boxes).unbind(-1)
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return torch.stack([a, b, c, d], dim=-1)


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """Areas ``[...]`` in square pixels of boxes in a format of :func:`box_convert`, at least float32 or int64."""
    check_choice("fmt", fmt, ALL_FORMATS)
    if fmt in rotated.SIZES:
        return rotated.rotated_area(boxes, fmt)
    check_boxes("boxes", boxes)
    a, b, c, d = widened(boxes).unbind(-1)
    return (c - a) * (d - b) if fmt == "xyxy" else c * d


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, and zero if ``whole`` is zero: two empty boxes do not overlap."""
    return part / torch.where(whole == 0, torch.ones_like(whole), whole)


def intersection_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of intersection and union of boxes that broadcast against each other, ``[..., 4]`` in xyxy."""
    size = (torch.minimum(boxes1[..., 2:], boxes2[..., 2:]) - torch.maximum(boxes1[..., :2], boxes2[..., :2])).clamp(0)
    intersection = size[..., 0] * size[..., 1]
    return intersection, box_area(boxes1) + box_area(boxes2) - intersection


def enclosing_size(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Width and height ``[..., 2]`` of the smallest box around both."""
    return torch.maximum(boxes1[..., 2:], boxes2[..., 2:]) - torch.minimum(boxes1[..., :2], boxes2[..., :2])


def centre_distance(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Squared distance ``[...]`` between the centres."""
    return ((boxes1[..., :2] + boxes1[..., 2:] - boxes2[..., :2] - boxes2[..., 2:]) / 2).square().sum(-1)


def aspect_difference(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """How much the aspect ratios differ, 0 to 1: ``v`` of the Complete-IoU."""
    return (4 / math.pi**2) * (_aspect(boxes1) - _aspect(boxes2)).square()


def _aspect(boxes: Tensor) -> Tensor:
    """The arc tangent of width over height: a right angle if the height is 0, and 0 for an empty box."""
    w, h = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    w, h = torch.where(h < 0, -w, w), torch.where((w == 0) & (h == 0), 1, h.abs())
    return torch.atan2(w, h)


def _pairs(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    check_boxes("boxes1", boxes1)
    check_boxes("boxes2", boxes2)
    if boxes1.ndim < 2 or boxes2.ndim < 2:
        raise InvalidArgument(f"Expected boxes [N, 4] and [M, 4], but got {list(boxes1.shape)}, {list(boxes2.shape)}.")
    return widened(boxes1)[..., :, None, :], widened(boxes2)[..., None, :, :]


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Intersection over union ``[..., N, M]``, 0 to 1, of boxes ``[..., N, 4]`` with boxes ``[..., M, 4]``.

    Two boxes without area have an IoU of 0. With a rotated format of :func:`box_convert` the boxes have 5 or 8 numbers.
    """
    check_choice("fmt", fmt, ALL_FORMATS)
    if fmt in rotated.SIZES:
        return rotated.rotated_box_iou(boxes1, boxes2, fmt)
    if fmt != "xyxy":
        boxes1, boxes2 = (box_convert(widened(boxes), fmt, "xyxy") for boxes in (boxes1, boxes2))
    return _ratio(*intersection_and_union(*_pairs(boxes1, boxes2)))


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Generalized IoU ``[..., N, M]``, -1 to 1, of xyxy boxes ``[..., N, 4]`` and ``[..., M, 4]``.

    `Generalized Intersection over Union <https://arxiv.org/abs/1902.09630>`_: the IoU minus the share of the enclosing
    box that neither covers.
    """
    boxes1, boxes2 = _pairs(boxes1, boxes2)
    intersection, union = intersection_and_union(boxes1, boxes2)
    hull = enclosing_size(boxes1, boxes2).prod(-1)
    return _ratio(intersection, union) - _ratio(hull - union, hull)


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """Distance-IoU ``[..., N, M]``, -1 to 1, of xyxy boxes ``[..., N, 4]`` and ``[..., M, 4]``.

    `Distance-IoU Loss <https://arxiv.org/abs/1911.08287>`_: the IoU minus the squared distance of the centres over the
    squared diagonal of the enclosing box plus ``eps``.
    """
    check_number("eps", eps)
    boxes1, boxes2 = _pairs(boxes1, boxes2)
    diagonal = enclosing_size(boxes1, boxes2).square().sum(-1) + eps
    return _ratio(*intersection_and_union(boxes1, boxes2)) - centre_distance(boxes1, boxes2) / diagonal


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """Complete-IoU ``[..., N, M]`` of xyxy boxes ``[..., N, 4]`` and ``[..., M, 4]``.

    `Distance-IoU Loss <https://arxiv.org/abs/1911.08287>`_: the Distance-IoU minus a penalty for different aspect
    ratios, whose weight is a constant for the gradient.
    """
    distance_iou = distance_box_iou(boxes1, boxes2, eps)
    boxes1, boxes2 = _pairs(boxes1, boxes2)
    v = aspect_difference(boxes1, boxes2)
    with torch.no_grad():
        alpha = v / (1 - _ratio(*intersection_and_union(boxes1, boxes2)) + v + eps)
    return distance_iou - alpha * v


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes ``[..., 4]`` in xyxy, clipped to an image of ``size`` (height, width)."""
    check_boxes("boxes", boxes)
    if not is_list(size) or len(size) != 2:
        raise InvalidArgument(f"size must be (height, width), but got {size!r}.")
    for name, length in zip(("height", "width"), size, strict=True):
        check_number(f"the {name} in size", length)
    limit = math.inf if boxes.is_floating_point() else torch.iinfo(boxes.dtype).max
    height, width = (length if limit == math.inf else min(length, limit) for length in size)
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], dim=-1).flatten(-2)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Indices ``[K]`` int64 of the xyxy boxes ``[N, 4]`` whose width and height are both at least ``min_size``."""
    check_shape("boxes", boxes, "N", 4)
    check_boxes("boxes", boxes)
    check_number("min_size", min_size)
    boxes = widened(boxes)
    return ((boxes[:, 2:] - boxes[:, :2]) >= min_size).all(1).nonzero().squeeze(1)


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Boxes ``[..., N, 4]`` float32 in xyxy around the non-zero pixels of masks ``[..., N, H, W]``.

    The corners are the first and the last non-zero pixel, both included. An empty mask gives a box of zeros.
    """
    check_tensor("masks", masks)
    if masks.ndim < 2:
        raise InvalidArgument(f"masks must have the shape [N, H, W], but got {list(masks.shape)}.")
    masks = masks != 0
    corners = []
    for pixels in (masks.any(-2), masks.any(-1)):  # by column, by row
        # argmax finds the first of several maxima
        size = pixels.shape[-1]
        if size == 0:
            raise InvalidArgument(f"masks must have at least one pixel, but got {list(masks.shape)}.")
        last = size - 1 - pixels.flip(-1).byte().argmax(-1)
        corners.append((pixels.byte().argmax(-1), torch.where(pixels.any(-1), last, 0)))
    (x1, x2), (y1, y2) = corners
    return torch.stack([x1, y1, x2, y2], dim=-1).float()


def __getattr__(name: str) -> Any:
    if name.startswith("_box_") or name == "_upcast":  # it imports this module
        return getattr(importlib.import_module("zoo.ops._utils"), name)
    if name in ("_batched_nms_vanilla", "_batched_nms_coordinate_trick"):
        return importlib.import_module("zoo.ops.suppression").batched_nms
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
