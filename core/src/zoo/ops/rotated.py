"""Rotated boxes: their formats and exact overlaps, with autograd.

``"cxcywhr"`` is centre, width, height and angle; ``"xywhr"`` has the box's own top left corner instead of the centre;
``"xyxyxyxy"`` is the four corners: top left, top right, bottom right and bottom left of the box before rotation.
Angles are in degrees, counterclockwise on the screen, where y points down.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import InvalidArgument
from zoo.ops._checks import captured, check_tensor, widened

SIZES = {"xywhr": 5, "cxcywhr": 5, "xyxyxyxy": 8}  # numbers per box in each format
_PAIRS = 1 << 15  # pairs per step: a few dozen MB


def check_rotated(name: str, boxes: Tensor, fmt: str) -> None:
    check_tensor(name, boxes)
    if boxes.is_complex() or boxes.dtype == torch.bool:
        raise InvalidArgument(f"{name} must be of a real type, but got {boxes.dtype}.")
    if boxes.ndim == 0 or boxes.shape[-1] != SIZES[fmt]:
        raise InvalidArgument(f"{name} must have the shape [..., {SIZES[fmt]}] in {fmt}, but got {list(boxes.shape)}.")


def corners_of(boxes: Tensor, fmt: str) -> Tensor:
    """The corners ``[..., 4, 2]``, starting with the top left, of floating point ``boxes`` in a rotated format."""
    if fmt == "xyxyxyxy":
        return boxes.reshape(*boxes.shape[:-1], 4, 2)
    at, size, angle = boxes[..., None, :2], boxes[..., None, 2:4], boxes[..., None, 4].deg2rad()
    signs = boxes.new_tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    x, y = (size * (signs if fmt == "cxcywhr" else signs + 0.5)).unbind(-1)
    return at + torch.stack([x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()], -1)


def convert_rotated(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Convert boxes ``[..., 5]`` or ``[..., 8]`` from one rotated format to another, in the same dtype; integers are
    rounded."""
    check_rotated("boxes", boxes, in_fmt)
    if in_fmt == out_fmt:
        return boxes.clone()
    given = boxes if boxes.dtype == torch.float64 else boxes.float()
    corners = corners_of(given, in_fmt)
    if out_fmt == "xyxyxyxy":
        out = corners.flatten(-2)
    else:
        at = corners[..., 0, :] if out_fmt == "xywhr" else (corners[..., 0, :] + corners[..., 2, :]) / 2
        if in_fmt == "xyxyxyxy":
            across, down = corners[..., 1, :] - corners[..., 0, :], corners[..., 3, :] - corners[..., 0, :]
            size = [torch.linalg.vector_norm(side, dim=-1) for side in (across, down)]
            angle = torch.atan2(-across[..., 1], across[..., 0]).rad2deg()
            out = torch.cat([at, torch.stack([*size, angle], -1)], -1)
        else:
            out = torch.cat([at, given[..., 2:]], -1)
    return (out if boxes.is_floating_point() else out.round()).to(boxes.dtype)


def rotated_area(boxes: Tensor, fmt: str) -> Tensor:
    """Areas ``[...]`` of boxes in a rotated format."""
    check_rotated("boxes", boxes, fmt)
    boxes = widened(boxes)
    return (
        boxes[..., 2] * boxes[..., 3]
        if fmt != "xyxyxyxy"
        else _signed_area(boxes.reshape(*boxes.shape[:-1], 4, 2)).abs()
    )


def _signed_area(corners: Tensor) -> Tensor:
    a, b = corners[..., 2, :] - corners[..., 0, :], corners[..., 3, :] - corners[..., 1, :]
    return (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]) / 2


def rotated_box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str) -> Tensor:
    """Intersection over union ``[..., N, M]`` of boxes ``[..., N, K]`` with ``[..., M, K]`` in a rotated format.

    Exact for rectangles, and for any convex corners. Computed in float64 if the device supports it.
    """
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        check_rotated(name, boxes, fmt)
        if boxes.ndim < 2:
            raise InvalidArgument(f"{name} must have the shape [N, {SIZES[fmt]}], but got {list(boxes.shape)}.")
    dtype = torch.promote_types(*((t if t.is_floating_point() else t.float()).dtype for t in (boxes1, boxes2)))
    precise = torch.float32 if boxes1.device.type == "mps" else torch.float64
    a, b = (corners_of(boxes.to(precise), fmt) for boxes in (boxes1, boxes2))
    a, b = torch.broadcast_tensors(a[..., :, None, :, :], b[..., None, :, :, :])  # type: ignore[no-untyped-call]
    shape = a.shape[:-2]
    a, b = a.reshape(-1, 4, 2), b.reshape(-1, 4, 2)
    areas = _signed_area(a), _signed_area(b)
    apart = (torch.minimum(a.amax(1), b.amax(1)) <= torch.maximum(a.amin(1), b.amin(1))).any(1)
    apart |= (areas[0] == 0) | (areas[1] == 0)
    if captured():
        common = torch.where(apart, 0, _intersection(a, b))
    else:
        near = apart.logical_not().nonzero().squeeze(1)
        parts = [_intersection(a[some], b[some]) for some in torch.split(near, _PAIRS)]
        common = areas[0].new_zeros(len(apart)).index_put((near,), torch.cat(parts))
    union = areas[0].abs() + areas[1].abs() - common
    iou = common / torch.where(apart, 1, union)
    return iou.reshape(shape).to(dtype if dtype == torch.float64 else torch.float32)


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    """Areas ``[P]`` of the intersections of convex quadrilaterals, given by corners ``[P, 4, 2]``.

    The height of the intersection over x is linear between the places where two edges cross or an edge ends: its
    integral is the sum of widths times heights in the middle. Unlike clipping, this has no special cases: coincident
    edges give places that differ by a rounding error, whose contribution is negligible.
    """
    middle = (a.detach().mean(1, keepdim=True) + b.detach().mean(1, keepdim=True)) / 2
    both = torch.stack([a, b], 1) - middle[:, None]  # [P, 2, 4, 2]
    # A point is inside an edge if nx * x + ny * y <= c.
    direction = both.roll(-1, 2) - both
    turn = _signed_area(both).sign()[..., None]
    nx, ny = direction[..., 1] * turn, -direction[..., 0] * turn  # [P, 2, 4]
    c = nx * both[..., 0] + ny * both[..., 1]
    pair = [(t[:, 0, :, None], t[:, 1, None, :]) for t in (nx, ny, c)]
    (nx1, nx2), (ny1, ny2), (c1, c2) = pair
    cross = nx1 * ny2 - nx2 * ny1
    parallel = cross == 0
    crossings = torch.where(parallel, 0, (c1 * ny2 - c2 * ny1) / torch.where(parallel, 1, cross))
    xs = both[..., 0]
    low, high = xs.amin(2).amax(1, keepdim=True), xs.amax(2).amin(1, keepdim=True)
    places = torch.cat([xs.flatten(1), crossings.flatten(1)], 1).maximum(low).minimum(high).sort(1).values
    at = (places[:, 1:] + places[:, :-1]) / 2  # [P, 23]
    level = ny == 0
    bound = (c[..., None] - nx[..., None] * at[:, None, None]) / torch.where(level, 1, ny)[..., None]
    ny, level = ny[..., None], level[..., None]
    top = torch.where((ny > 0) & ~level, bound, torch.inf).flatten(1, 2).amin(1)
    bottom = torch.where((ny < 0) & ~level, bound, -torch.inf).flatten(1, 2).amax(1)
    return (places.diff(dim=1) * (top - bottom).clamp(min=0)).sum(1)
