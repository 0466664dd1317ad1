"""Encoding of boxes as network outputs: relative to an anchor, so that all values have a similar scale."""

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
        weights: factors of the four numbers (x, y, width, height).
        bbox_xform_clip: upper limit of decoded logarithms, which bounds the size of boxes.
    """

    def __init__(self, weights: Sequence[float], bbox_xform_clip: float = BBOX_XFORM_CLIP) -> None:
        self.weights = tuple(weights)
        self.bbox_xform_clip = bbox_xform_clip

    @overload
    def encode(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor: ...
    @overload
    def encode(self, reference_boxes: Sequence[Tensor], proposals: Sequence[Tensor]) -> list[Tensor]: ...
    def encode(
        self, reference_boxes: Tensor | Sequence[Tensor], proposals: Tensor | Sequence[Tensor]
    ) -> Tensor | list[Tensor]:
        """xyxy boxes [..., 4] and their anchors [..., 4] → codes [..., 4], the regression targets.

        Lists, one item per image, return a list.
        """
        if not isinstance(reference_boxes, Tensor) or not isinstance(proposals, Tensor):
            return [self.encode_single(*of_image) for of_image in zip(reference_boxes, proposals, strict=True)]
        return self.encode_single(reference_boxes, proposals)

    def encode_single(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """:meth:`encode` for one image."""
        anchor_centres, anchor_sizes = centres_and_sizes(proposals)
        centres, sizes = centres_and_sizes(reference_boxes)
        codes = torch.cat([(centres - anchor_centres) / anchor_sizes, (sizes / anchor_sizes).log()], dim=-1)
        return codes * codes.new_tensor(self.weights)

    def decode(self, rel_codes: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
        """Predicted codes [..., 4], for anchors that broadcast against them → xyxy boxes [..., 4].

        With a list of anchors [A, 4], one item per image, the concatenated codes [all A, k * 4] become boxes [all A, k,
        4].
        """
        if not isinstance(boxes, Tensor):
            anchors = torch.cat(list(boxes))[:, None]
            return self._decoded(rel_codes.reshape(len(anchors), rel_codes.shape[-1] // 4, 4), anchors)  # also empty
        return self._decoded(rel_codes, boxes)

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """Codes [A, k * 4] of k boxes for each of the anchors [A, 4] → boxes [A, k * 4]."""
        return self.decode(rel_codes, [boxes]).reshape(len(boxes), rel_codes.shape[-1])

    def _decoded(self, codes: Tensor, anchors: Tensor) -> Tensor:
        anchor_centres, anchor_sizes = centres_and_sizes(anchors)
        codes = codes / codes.new_tensor(self.weights)
        centres = codes[..., :2] * anchor_sizes + anchor_centres
        half = 0.5 * codes[..., 2:].clamp(max=self.bbox_xform_clip).exp() * anchor_sizes
        return torch.cat([centres - half, centres + half], dim=-1)


class BoxLinearCoder:
    """Boxes ↔ distances of their four sides from the anchor's centre.

    From `FCOS: Fully Convolutional One-Stage Object Detection <https://arxiv.org/abs/1904.01355>`_.

    Args:
        normalize_by_size: use units of the anchor's width and height instead of pixels.
    """

    def __init__(self, normalize_by_size: bool = True) -> None:
        self.normalize_by_size = normalize_by_size

    def _units(self, anchors: Tensor) -> tuple[Tensor, Tensor]:
        centres, sizes = centres_and_sizes(anchors)
        units = torch.cat([sizes, sizes], dim=-1)
        return centres, units if self.normalize_by_size else torch.ones_like(units)

    def encode(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """xyxy boxes and anchors [..., 4] → distances to the left, top, right and bottom [..., 4]."""
        centres, units = self._units(proposals)
        return torch.cat([centres - reference_boxes[..., :2], reference_boxes[..., 2:] - centres], dim=-1) / units

    def decode(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """Distances [..., 4] for anchors that broadcast against them → xyxy boxes [..., 4]."""
        centres, units = self._units(boxes)
        distances = rel_codes * units
        return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
