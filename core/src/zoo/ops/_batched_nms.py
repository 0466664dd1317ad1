"""Non-maximum suppression of many images at once, for graphs with a symbolic number of images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.errors import InvalidOperand
from zoo.ops._checks import check_floating, check_number, check_tensor, exporting_to_onnx
from zoo.ops._onnx import onnx_operator
from zoo.ops.suppression import apart, batched_nms, nms


@torch.library.custom_op("zoo::nms_mask", mutates_args=())
def _nms_mask_op(boxes: Tensor, scores: Tensor, idxs: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    kept = torch.zeros_like(valid)
    for own, b, s, i, good in zip(kept, boxes, scores, idxs, valid, strict=True):
        rows = good.nonzero().squeeze(1)
        own[rows[batched_nms(b[rows], s[rows], i[rows], iou_threshold)]] = True
    return kept


@_nms_mask_op.register_fake
def _(boxes: Tensor, scores: Tensor, idxs: Tensor, valid: Tensor, iou_threshold: float) -> Tensor:
    return torch.empty_like(valid)


def nms_mask(
    boxes: Tensor, scores: Tensor, iou_threshold: float, idxs: Tensor, valid: Tensor, most: int | None = None
) -> Tensor:
    """:func:`~zoo.ops.batched_nms` of the boxes of each of N images: a mask of the kept boxes, bool ``[N, K]``.

    A single operator for any N, also in ONNX, so that a graph can have a variable batch size.

    Args:
        boxes: ``[N, K, 4]`` in xyxy.
        scores: ``[N, K]``.
        iou_threshold: if two boxes of a class have a higher IoU, the one with the lower score is dropped.
        idxs: classes, int64 ``[N, K]``.
        valid: bool ``[N, K]``: the boxes to consider.
        most: in ONNX, the largest number of boxes to keep per image.

    Raises:
        InvalidOperand: shapes are invalid.
    """
    check_number("iou_threshold", iou_threshold)
    for name, t in (("boxes", boxes), ("scores", scores), ("idxs", idxs), ("valid", valid)):
        check_tensor(name, t)
    check_floating(boxes=boxes, scores=scores)
    if valid.dtype != torch.bool:
        raise InvalidOperand(f"valid must be torch.bool, but got {valid.dtype}.")
    if boxes.ndim != 3 or boxes.shape[2] != 4 or any(t.ndim != 2 for t in (scores, idxs, valid)):
        raise InvalidOperand(
            f"Expected boxes [N, K, 4] and scores, idxs and valid [N, K], but got {list(boxes.shape)}, "
            f"{list(scores.shape)}, {list(idxs.shape)} and {list(valid.shape)}."
        )
    if not exporting_to_onnx():
        kept: Tensor = _nms_mask_op(boxes, scores, idxs, valid, iou_threshold)
        return kept
    n, k = scores.shape
    boxes, scores = boxes.float(), torch.where(valid, scores.float(), -math.inf)
    boxes = apart(boxes, idxs)
    number = scores.flatten().nonzero().shape[0]  # represents the unknown number of kept boxes
    limit = torch.full((1,), 2**31 - 1 if most is None else most, dtype=torch.int64)
    least = torch.full((1,), torch.finfo(torch.float32).min)
    inputs = (boxes, scores[:, None], limit, torch.full((1,), iou_threshold), least)

    def eager(boxes: Tensor, scores: Tensor, limit: Tensor, *_: Tensor) -> Tensor:
        found = [
            torch.nn.functional.pad(
                good[nms(b[good], s[0, good], iou_threshold)[: int(limit)]][:, None], (2, 0), value=0
            )
            + torch.tensor([i, 0, 0])
            for i, (b, s) in enumerate(zip(boxes, scores, strict=True))
            for good in [(s[0] > -math.inf).nonzero().squeeze(1)]
        ]
        return torch.cat(found)

    chosen = onnx_operator("NonMaxSuppression", inputs, {}, eager, (torch.int64, (number, 3)), 11)
    place = chosen[:, 0] * k + chosen[:, 2]
    marks = torch.zeros(n * k, dtype=torch.int64, device=boxes.device)
    return marks.scatter(0, place, torch.ones_like(place)).view(n, k) > 0
