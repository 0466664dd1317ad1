"""Boxes as what a network predicts: relative to an anchor, so that all of them are of a similar size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor

BBOX_XFORM_CLIP = math.log(1000 / 16)


def centres_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """xyxy boxes [..., 4] → centres [..., 2] and widths and heights [..., 2]."""
    corner, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    return corner + 0.5 * size, size


def encode_boxes(reference_boxes: Tensor, proposals: Tensor, weights: Tensor) -> Tensor:
    """:meth:`BoxCoder.encode` of boxes [N, 4] for proposals [N, 4], with weights [4]."""
    return BoxCoder(weights.tolist()).encode(reference_boxes, proposals)


class BoxCoder:
    """Boxes ↔ offsets of the centre in units of the anchor's size, and logarithms of the relative size.

    From `Rich feature hierarchies <https://arxiv.org/abs/1311.2524>`_, appendix C.

    Args:
        weights: the four numbers (x, y, width, height) are multiplied by these.
        bbox_xform_clip: the largest logarithm that is decoded, so that no box grows beyond all bounds.
    """

    def __init__(self, weights: Sequence[float], bbox_xform_clip: float = BBOX_XFORM_CLIP) -> None:
        self.weights = tuple(weights)
        self.bbox_xform_clip = bbox_xform_clip

    @overload
    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor: ...
    @overload
    def encode(self, boxes: Sequence[Tensor], anchors: Sequence[Tensor]) -> list[Tensor]: ...
    def encode(self, boxes: Tensor | Sequence[Tensor], anchors: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
        """xyxy boxes [..., 4] and the anchors [..., 4] that stand for them → what to predict, [..., 4].

        Of several images, given as lists, a list.
        """
        if not isinstance(boxes, Tensor) or not isinstance(anchors, Tensor):
            return [self.encode(*of_image) for of_image in zip(boxes, anchors, strict=True)]
        anchor_centres, anchor_sizes = centres_and_sizes(anchors)
        centres, sizes = centres_and_sizes(boxes)
        codes = torch.cat([(centres - anchor_centres) / anchor_sizes, (sizes / anchor_sizes).log()], dim=-1)
        return codes * codes.new_tensor(self.weights)

    def decode(self, codes: Tensor, anchors: Tensor | Sequence[Tensor]) -> Tensor:
        """What was predicted, [..., 4], for anchors that broadcast against it → xyxy boxes [..., 4].

        For the anchors of several images, a list of [A, 4], what was predicted for one after the other, [all A, k * 4],
        becomes boxes [all A, k, 4].
        """
        if not isinstance(anchors, Tensor):
            anchors = torch.cat(list(anchors))[:, None]
            codes = codes.reshape(len(anchors), codes.shape[-1] // 4, 4)  # also of no anchors
        anchor_centres, anchor_sizes = centres_and_sizes(anchors)
        codes = codes / codes.new_tensor(self.weights)
        centres = codes[..., :2] * anchor_sizes + anchor_centres
        half = 0.5 * codes[..., 2:].clamp(max=self.bbox_xform_clip).exp() * anchor_sizes
        return torch.cat([centres - half, centres + half], dim=-1)


class BoxLinearCoder:
    """Boxes ↔ distances of their four sides from the anchor's centre.

    From `FCOS: Fully Convolutional One-Stage Object Detection <https://arxiv.org/abs/1904.01355>`_.

    Args:
        normalize_by_size: in units of the anchor's width and height, not in pixels.
    """

    def __init__(self, normalize_by_size: bool = True) -> None:
        self.normalize_by_size = normalize_by_size

    def _units(self, anchors: Tensor) -> tuple[Tensor, Tensor]:
        centres, sizes = centres_and_sizes(anchors)
        units = torch.cat([sizes, sizes], dim=-1)
        return centres, units if self.normalize_by_size else torch.ones_like(units)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """xyxy boxes and anchors [..., 4] → distances to the left, top, right and bottom [..., 4]."""
        centres, units = self._units(anchors)
        return torch.cat([centres - boxes[..., :2], boxes[..., 2:] - centres], dim=-1) / units

    def decode(self, codes: Tensor, anchors: Tensor) -> Tensor:
        """Distances [..., 4] for anchors that broadcast against them → xyxy boxes [..., 4]."""
        centres, units = self._units(anchors)
        distances = codes * units
        return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
