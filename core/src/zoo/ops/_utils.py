"""Helpers of torchvision's operators that other programs import; our own operators do not need them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo.ops._checks import check_boxes, check_shape, is_list, widened
from zoo.ops.boxes import box_convert, intersection_and_union

_box_cxcywh_to_xyxy = partial(box_convert, in_fmt="cxcywh", out_fmt="xyxy")
_box_xyxy_to_cxcywh = partial(box_convert, in_fmt="xyxy", out_fmt="cxcywh")
_box_xywh_to_xyxy = partial(box_convert, in_fmt="xywh", out_fmt="xyxy")
_box_xyxy_to_xywh = partial(box_convert, in_fmt="xyxy", out_fmt="xywh")
_box_cxcywhr_to_xywhr = partial(box_convert, in_fmt="cxcywhr", out_fmt="xywhr")
_box_xywhr_to_cxcywhr = partial(box_convert, in_fmt="xywhr", out_fmt="cxcywhr")
_box_xywhr_to_xyxyxyxy = partial(box_convert, in_fmt="xywhr", out_fmt="xyxyxyxy")
_box_xyxyxyxy_to_xywhr = partial(box_convert, in_fmt="xyxyxyxy", out_fmt="xywhr")


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """One tensor of several."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim)


def _upcast(t: Tensor) -> Tensor:
    """In a dtype whose products do not overflow: at least float32 or int32."""
    if t.is_floating_point():
        return widened(t)
    return t if t.dtype in (torch.int32, torch.int64) else t.int()


def _upcast_non_float(t: Tensor) -> Tensor:
    """In float32, or float64 if it is."""
    return t if t.dtype in (torch.float32, torch.float64) else t.float()


def _box_inter_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Areas ``[N, M]`` of intersection and union of boxes ``[N, 4]`` with boxes ``[M, 4]``."""
    check_boxes("boxes1", boxes1)
    check_boxes("boxes2", boxes2)
    return intersection_and_union(_upcast(boxes1)[:, None], _upcast(boxes2)[None])


def _loss_inter_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Areas ``[N]`` of intersection and union of boxes ``[N, 4]``, pair by pair."""
    return intersection_and_union(boxes1, boxes2)


def convert_boxes_to_roi_format(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes ``[L, 4]`` of each image → regions ``[K, 5]``, the image's index first."""
    return torch.cat([torch.cat([part.new_full((len(part), 1), i), part], dim=1) for i, part in enumerate(boxes)])


def check_roi_boxes_shape(boxes: Tensor | Sequence[Tensor]) -> None:
    """Raise InvalidArgument unless they are regions ``[K, 5]``, or boxes ``[L, 4]`` per image."""
    if isinstance(boxes, Tensor):
        check_shape("boxes", boxes, "K", 5)
    elif not is_list(boxes):
        raise InvalidArgument(f"boxes must be a tensor or a list of tensors, but got {type(boxes).__name__}.")
    else:
        for i, part in enumerate(boxes):
            check_shape(f"boxes[{i}]", part, "L", 4)


def split_normalization_params(
    model: nn.Module, norm_classes: Sequence[type[nn.Module]] | None = None
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters of norms, and all others, for optimizers without weight decay for norms.

    Args:
        norm_classes: classes of norms; by default torch's batch, instance, layer and group norms.

    Raises:
        InvalidArgument: one is not a class of modules.
    """
    chosen = norm_classes or (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
    for kind in chosen:
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise InvalidArgument(f"norm_classes has {kind!r}; expected classes of modules.")
    norms: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in model.modules():
        of_norm = isinstance(module, tuple(chosen))
        # All parameters of a norm, but only the direct parameters of other modules.
        (norms if of_norm else others).extend(p for p in module.parameters(recurse=False) if p.requires_grad)
    return norms, others
