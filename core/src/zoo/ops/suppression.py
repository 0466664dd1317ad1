"""Non-maximum suppression: of overlapping boxes, only the one with the highest score is kept.

Greedy suppression visits the boxes in order of descending scores and keeps each one that no kept box overlaps, which is
a slow loop. But the kept boxes are also the fixed point of "kept unless a better kept box overlaps it", which is found
by a few rounds over all overlaps. The overlaps are computed in one of two ways:

- `_sweep`: from left to right, each box is compared with those that begin close enough for the overlap. These are few,
    unless the boxes are crowded.
- `_strike`: a block of the best boxes is compared with itself, and its kept boxes with all others. If boxes are
    crowded, this removes most of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.errors import InvalidOperand
from zoo.ops._checks import (
    captured,
    check_floating,
    check_number,
    check_shape,
    check_tensor,
    check_whole,
    exporting_to_onnx,
    widened,
)
from zoo.ops._onnx import onnx_operator
from zoo.quantized_tensors import dequantized

# Pairs per step: four float32 per pair fit a core's cache, and keep a GPU busy with little memory.
_PAIRS = {"cpu": 1 << 16}
_PAIRS_ELSEWHERE = 1 << 23
# Boxes per block: a larger block does more useless comparisons, smaller ones need more synchronisation.
_BLOCK = {"cpu": 192}
_BLOCK_ELSEWHERE = 2048
# Rounds towards the fixed point between two checks whether it is reached: a check synchronises with the GPU.
_ROUNDS = 4
# The sweep stores every overlap, so with this many per box it gives up.
_CROWDED = 8
_GROUP = 32


def _check(boxes: Tensor, scores: Tensor, iou_threshold: float, idxs: Tensor | None = None) -> None:
    check_shape("boxes", boxes, "N", 4)
    check_floating(boxes=boxes, scores=scores)
    for name, t in (("scores", scores), ("idxs", idxs)):
        if t is not None:
            check_tensor(name, t)
        if t is not None and t.shape != boxes.shape[:1]:
            raise InvalidOperand(
                f"boxes and {name} must have the shapes [N, 4] and [N], but got {list(boxes.shape)}, {list(t.shape)}."
            )
        if t is not None and t.device != boxes.device:
            raise InvalidOperand(f"boxes and {name} must be on the same device, but got {boxes.device} and {t.device}.")
    check_number("iou_threshold", iou_threshold)
    if boxes.is_meta:
        raise InvalidOperand(
            "The number of kept boxes depends on values, which meta tensors do not have: use nms_padded."
        )


def _by_score(scores: Tensor) -> Tensor:
    """Indices by descending score: equal scores in input order, NaN last."""
    return widened(scores).nan_to_num(-math.inf, math.inf, -math.inf).argsort(descending=True, stable=True)


def _small(classes: Tensor) -> Tensor:
    """Classes as small integers, which float32 represents exactly: unchanged if possible, since renumbering needs a
    sort."""
    whole = classes.long()
    if len(classes) and not classes.is_floating_point():
        least, most = torch.stack(torch.aminmax(whole)).tolist()  # one synchronisation with a GPU
        if least >= 0 and most < 1 << 16:
            return whole
    return classes.unique(return_inverse=True)[1]  # type: ignore[no-any-return, no-untyped-call]


def _rows(boxes: Tensor, classes: Tensor | None) -> Tensor:
    """Boxes ``[N, 4]`` as rows ``[6, N]``: x2, y2, -x1, -y1 (so that both corners take a minimum), area and class.

    A box with negative sides, or without finite area, becomes one without area, which overlaps no other.
    """
    corners = widened(boxes).t()
    low, high = corners[:2], torch.maximum(corners[:2], corners[2:])
    size = high - low
    area = size[:1] * size[1:]
    rows = torch.cat([high, -low, area, area]).masked_fill_((area < math.inf).logical_not_(), 0)
    rows[4].clamp_(min=torch.finfo(rows.dtype).tiny)  # 0 / tiny is an IoU of 0, 0 / 0 would be NaN
    rows[5] = 0 if classes is None else _small(classes)
    return rows


def _iou(a: Tensor, b: Tensor, space: Tensor, by_class: bool = False) -> Tensor:
    """IoU ``[...]`` of rows ``[6, ...]`` that broadcast, from -1 to 0 without overlap; with ``by_class``, below -1
    across classes.

    All arithmetic is in ``space``, four numbers per pair: allocating memory in each call would take longer than the
    arithmetic.
    """
    shape = [n if m == 1 else m for m, n in zip(a.shape[1:], b.shape[1:], strict=True)]
    corner = space[: 4 * math.prod(shape)].view(4, *shape)
    torch.minimum(a[:4], b[:4], out=corner)
    size = corner[:2].add_(corner[2:])
    intersection = size[0].clamp_(min=0).mul_(size[1])  # negative if only the heights do not overlap
    union = torch.add(a[4], b[4], out=corner[2]).sub_(intersection)
    iou = intersection.div_(union)
    if by_class:  # in-place comparison is far faster than one into bools
        iou.sub_(torch.sub(a[5], b[5], out=corner[3]).ne_(0), alpha=4)
    return iou


def _rounded_down(threshold: float, dtype: torch.dtype) -> float:
    """The largest value of ``dtype`` not above ``threshold``, so that an IoU is not compared with a rounded
    threshold."""
    value = torch.tensor(threshold, dtype=dtype)
    return (value if value.item() <= threshold else torch.nextafter(value, value.new_tensor(-math.inf))).item()


def _fixed_point(strikes: Callable[[Tensor], Tensor], keep: Tensor) -> Tensor:
    """Indices of the kept boxes, where ``strikes`` counts for each box how many boxes with a 1 in ``keep`` suppress it.

    After k rounds the best k boxes are right, and a few rounds are enough unless the overlaps form long chains.
    """
    rounds = 1 if keep.is_cpu else _ROUNDS
    while True:
        for _ in range(rounds):
            before, keep = keep, strikes(keep).eq_(0)
        if torch.equal(keep, before):
            return keep.nonzero().squeeze(1)


def _in_line(rows: Tensor, threshold: float) -> tuple[Tensor, list[int], int] | None:
    """Boxes sorted by their start, and for each block of them the largest distance in this order of an overlap.

    If the IoU of two boxes is above t, they share more than t of the width of either. So of the boxes that begin to the
    right of a box of width w, only those that begin within ``(1 - t) * w`` can suppress it or be suppressed by it.

    Returns the order, the largest distance for each block, and the size of the blocks; None if there are so many pairs
    that comparing the best boxes with all is faster.
    """
    n = rows.shape[1]
    # One axis for all classes: boxes of class c begin in [c, c + 0.5]. In float64, which keeps their precision.
    x2, x1 = rows[0].double(), -rows[2].double()
    first = x1.min().item()
    scale = 0.5 / max(x2.max().item() - first, torch.finfo(torch.float64).tiny)
    reach = (x2 - x1).mul_(scale * max(0.0, 1.001 - threshold)).add_(1e-9)  # slightly more, for rounding
    if reach.mean().item() * 4 > (rows[5].max().item() + 1) / 6:  # a first estimate: blocks compare fewer
        return None
    begin, rank = (x1 - first).mul_(scale).add_(rows[5]).sort()
    ahead = torch.searchsorted(begin, begin + reach.index_select(0, rank), right=True) - torch.arange(1, n + 1)
    size = min(1024, math.ceil(n / _GROUP) * _GROUP)
    farthest = [int(part.max()) for part in torch.split(ahead, size)]
    return None if sum(farthest) * size > n * n / 6 else (rank, farthest, size)  # a better estimate


def _pairs_in_line(
    rows: Tensor, threshold: float, farthest: list[int], size: int, space: Tensor
) -> tuple[Tensor, Tensor] | None:
    """The overlapping pairs ``[P]``, ``[P]`` of columns of ``rows`` in the order of `_in_line`; None if there are too
    many."""
    n = rows.shape[1]
    rows = torch.nn.functional.pad(rows, (0, size + max(farthest)))  # with boxes that overlap no other
    rows[4, n:] = 1
    step = max(1, _PAIRS["cpu"] // size)
    none = rows.new_empty(0, dtype=torch.int64)
    left, right, found = [none], [none], 0
    for start, far in zip(range(0, n, size), farthest, strict=True):
        here = rows[:, None, start : start + size]
        for offset in range(1, far + 1, step):
            width = min(step, far + 1 - offset)
            # there[:, d, i] is the box that begins d + offset places after here[:, 0, i]
            there = rows[:, start + offset : start + offset + width + size - 1].unfold(1, size, 1)
            iou = _iou(here, there, space).view(-1, _GROUP)
            some = (iou.amax(1) > threshold).nonzero().squeeze(1)  # few groups have any: a maximum is cheaper than >
            row, column = (iou.index_select(0, some) > threshold).nonzero().unbind(1)
            pair = some[row] * _GROUP + column  # d * size + i
            i = pair % size + start
            left.append(i)
            right.append(i + pair // size + offset)
            found += len(pair)
            if found > _CROWDED * n:
                return None
    return torch.cat(left), torch.cat(right)


def _sweep(rows: Tensor, threshold: float, by_class: bool, space: Tensor) -> Tensor | None:
    """The kept boxes, ascending, of `_rows` sorted by score, or None if too many overlap. For thresholds of at least
    0."""
    line = _in_line(rows, threshold)
    if line is None:
        return None
    rank, farthest, size = line
    pairs = _pairs_in_line(rows.index_select(1, rank), threshold, farthest, size, space)
    if pairs is None:
        return None
    i, j = (rank.index_select(0, place) for place in pairs)
    if by_class:
        same = rows[5, i] == rows[5, j]
        i, j = i[same], j[same]
    better, worse = torch.minimum(i, j), torch.maximum(i, j)
    ones = rows.new_ones(rows.shape[1])
    return _fixed_point(lambda keep: torch.zeros_like(keep).index_add_(0, worse, keep[better]), ones)


def _strike(rows: Tensor, threshold: float, waiting: Tensor, by_class: bool, space: Tensor) -> tuple[Tensor, Tensor]:
    """The kept boxes of the best of ``waiting``, and the others that are still undecided."""
    kind = rows.device.type
    size, pairs = _BLOCK.get(kind, _BLOCK_ELSEWHERE), _PAIRS.get(kind, _PAIRS_ELSEWHERE)
    block, waiting = waiting[:size], waiting[size:]
    top = rows.index_select(1, block)  # indexing would give strided rows
    overlaps = _iou(top[:, :, None], top[:, None, :], space, by_class).gt_(threshold).tril_(-1)
    kept = block[_fixed_point(overlaps.mv, overlaps.new_ones(len(block)))]
    if not len(waiting):
        return kept, waiting
    top, rest = rows.index_select(1, kept), rows.index_select(1, waiting)
    parts = torch.split(rest, max(1, pairs // len(kept)), dim=1)
    best = [_iou(top[:, :, None], part[:, None, :], space, by_class).amax(0) for part in parts]
    return kept, waiting[torch.cat(best) <= threshold]


def _suppress(rows: Tensor, threshold: float, by_class: bool) -> Tensor:
    """The kept boxes, ascending, of `_rows` sorted by score."""
    kind = rows.device.type
    space = rows.new_empty(4 * max(_PAIRS.get(kind, _PAIRS_ELSEWHERE), _BLOCK.get(kind, _BLOCK_ELSEWHERE) ** 2))
    waiting = torch.arange(rows.shape[1], device=rows.device)
    kept = [waiting[:0]]
    # A sweep that gave up is tried again with half the boxes, as long as it is faster than a block or two.
    sweep_from = len(waiting) if rows.is_cpu and threshold >= 0 else 0
    while waiting.numel():
        if 2 * _BLOCK["cpu"] < len(waiting) <= sweep_from:
            swept = _sweep(rows.index_select(1, waiting), threshold, by_class, space)
            if swept is not None:
                kept.append(waiting[swept])
                break
            sweep_from = len(waiting) // 2
        chosen, waiting = _strike(rows, threshold, waiting, by_class, space)
        kept.append(chosen)
    return torch.cat(kept)


@torch.library.custom_op("zoo::nms", mutates_args=())
def _nms_op(boxes: Tensor, scores: Tensor, idxs: Tensor | None, iou_threshold: float) -> Tensor:
    """A single node in a captured graph; called directly it would only add overhead."""
    return _nms(boxes, scores, idxs, iou_threshold)


@_nms_op.register_fake
def _(boxes: Tensor, scores: Tensor, idxs: Tensor | None, iou_threshold: float) -> Tensor:
    return scores.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@torch.library.custom_op("zoo::nms_padded", mutates_args=())
def _nms_padded_op(
    boxes: Tensor,
    scores: Tensor,
    idxs: Tensor | None,
    valid: Tensor | None,
    iou_threshold: float,
    max_output: int,
) -> Tensor:
    if valid is None:
        keep = _nms(boxes, scores, idxs, iou_threshold)[:max_output]
    else:
        rows = valid.nonzero().squeeze(1)
        keep = rows[_nms(boxes[rows], scores[rows], None if idxs is None else idxs[rows], iou_threshold)[:max_output]]
    return torch.nn.functional.pad(keep, (0, max_output - len(keep)), value=-1)


@_nms_padded_op.register_fake
def _(
    boxes: Tensor,
    scores: Tensor,
    idxs: Tensor | None,
    valid: Tensor | None,
    iou_threshold: float,
    max_output: int,
) -> Tensor:
    return scores.new_empty(max_output, dtype=torch.int64)


def _nms(boxes: Tensor, scores: Tensor, idxs: Tensor | None, iou_threshold: float) -> Tensor:
    with torch.inference_mode():  # less overhead than no_grad for many small calls
        order = _by_score(scores)
        rows = _rows(boxes.index_select(0, order), None if idxs is None else idxs[order])
        threshold = _rounded_down(iou_threshold, rows.dtype) if iou_threshold >= 0 else -1.0
        kept = _suppress(rows, threshold, idxs is not None)
    return order[kept]  # outside, so that it is a normal tensor, which autograd can save


def apart(boxes: Tensor, idxs: Tensor) -> Tensor:
    """Boxes ``[..., 4]``, moved apart by class, since ONNX's operator does not support classes."""
    # One extra zero, so that a maximum exists without boxes. Places are in rows of 16: in one long row, float32 would
    # not represent a hundredth of a pixel.
    corners = torch.cat([boxes.flatten(), boxes.new_zeros(1)])
    extent = corners.amax(0) - corners.amin(0) + 1
    place = torch.stack([idxs % 16, idxs // 16], -1)
    return boxes + torch.cat([place, place], -1) * extent


def _onnx_nms(
    boxes: Tensor,
    scores: Tensor,
    idxs: Tensor | None,
    iou_threshold: float,
    max_output: int | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """The operator of ONNX. It does not support classes of single boxes, so boxes are moved apart by class."""
    boxes, scores = boxes.float(), scores.float()
    if idxs is not None:
        boxes = apart(boxes, idxs)
    most = torch.full((1,), 2**31 - 1 if max_output is None else max_output, dtype=torch.int64)
    least = []
    if valid is not None:  # scores have to be above a threshold, which only -infinity is not
        scores = torch.where(valid, scores, -math.inf)
        least = [torch.full((1,), torch.finfo(torch.float32).min)]
    number = scores.nonzero().shape[0]  # represents the unknown number of kept boxes

    def eager(boxes: Tensor, scores: Tensor, most: Tensor, *_: Tensor) -> Tensor:
        good = (scores[0, 0] > -math.inf).nonzero().squeeze(1)
        kept = good[_nms(boxes[0, good], scores[0, 0, good], None, iou_threshold)[: int(most)]]
        return torch.stack([torch.zeros_like(kept), torch.zeros_like(kept), kept], 1)

    inputs = (boxes[None], scores[None, None], most, torch.full((1,), iou_threshold), *least)
    selected = onnx_operator("NonMaxSuppression", inputs, {}, eager, (torch.int64, (number, 3)), 11)[:, 2]
    if max_output is None:
        return selected
    padding = selected.new_full((max_output,), -1)
    return torch.cat([selected, padding])[:max_output]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices ``[K]`` int64 of the boxes that greedy suppression keeps, by descending score.

    ``boxes`` are ``[N, 4]`` in xyxy and ``scores`` ``[N]``, floating point, of any range. A box is dropped if its IoU
    with a kept box of a higher score is greater than ``iou_threshold``: with 1 no box is dropped, with 0 every
    overlapping box, and below 0 all but the best. Equal scores keep their order, and NaN counts as the lowest score.
    Boxes without area, or whose area is not finite, neither suppress others nor are suppressed.

    The result's size depends on values, so ``torch.compile`` and ``torch.export`` see one opaque operator with an
    unknown size; for a fixed size, use :func:`nms_padded`. In ONNX it is NonMaxSuppression.

    Quantized tensors are dequantized. Raises :class:`~zoo.errors.InvalidArgument` for other shapes or types.
    """
    boxes, scores = dequantized(boxes), dequantized(scores)
    _check(boxes, scores, iou_threshold)
    if exporting_to_onnx():
        return _onnx_nms(boxes, scores, None, iou_threshold)
    return (_nms_op if captured() else _nms)(boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """:func:`nms` within each class: boxes ``[N, 4]`` of different ``idxs`` ``[N]`` do not suppress each other.

    Returns the kept indices ``[K]`` int64 of all classes, by descending score. Classes are compared directly, not by
    moving boxes apart, so no coordinate is too large (in ONNX they are moved, in float32).
    """
    check_tensor("idxs", idxs)
    boxes, scores = dequantized(boxes), dequantized(scores)
    _check(boxes, scores, iou_threshold, idxs)
    if exporting_to_onnx():
        return _onnx_nms(boxes, scores, idxs, iou_threshold)
    return (_nms_op if captured() else _nms)(boxes, scores, idxs, iou_threshold)


def nms_padded(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    max_output: int,
    idxs: Tensor | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """:func:`nms`, or with ``idxs`` :func:`batched_nms`, with a fixed output size, for graphs that require it.

    ``valid``, bool ``[N]``, selects the boxes to consider; by default all. Returns ``[max_output]`` int64: the indices
    of the best kept boxes by descending score, then -1.
    """
    check_whole("max_output", max_output, 0)
    check_shape("boxes", boxes, "N", 4)
    if valid is not None:
        check_tensor("valid", valid)
    if valid is not None and (valid.dtype != torch.bool or valid.shape != boxes.shape[:1]):
        raise InvalidOperand(
            f"valid must be torch.bool of the shape {list(boxes.shape[:1])}, but got {valid.dtype} {list(valid.shape)}."
        )
    if boxes.is_meta:
        return boxes.new_empty(max_output, dtype=torch.int64)
    _check(boxes, scores, iou_threshold, idxs)
    if exporting_to_onnx():
        return _onnx_nms(boxes, scores, idxs, iou_threshold, max_output, valid)
    keep: Tensor = _nms_padded_op(boxes, scores, idxs, valid, iou_threshold, max_output)
    return keep
