"""What the one-stage detectors share: from maps of scores, one or several at every cell, to detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.nn import check_count
from zoo.ops import batched_nms
from zoo_detection.detector import (
    Detections,
    Detector,
    Losses,
    PaddedDetections,
    clip_boxes,
    sizes_as_boxes,
    suppress_padded,
    widened,
)
from zoo_detection.transform import ImageList, Target

# The cells of a map are counted row by row, in each the anchors, as AnchorGenerator does.


def flatten_map(values: Tensor, channels: int) -> Tensor:
    """A map [N, A * ``channels``, H, W] → [N, H * W * A, ``channels``], at least in single precision."""
    n, _, height, width = values.shape
    return widened(values).view(n, -1, channels, height, width).permute(0, 3, 4, 1, 2).reshape(n, -1, channels)


def best_of_map(
    logits: Tensor, num_classes: int, topk: int, quality: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of anchor and class in a map [N, A * ``num_classes``, H, W], for each image.

    The best k pairs belong to at most k anchors, which are those with the best class of their own; so the classes of
    all others are read once and not sorted.

    Args:
        topk: how many, where there are so many.
        quality: a map [N, A, H, W] of logits that weigh the scores of all classes, as FCOS's centre-ness.

    Returns:
        Scores in [0, 1], indices of the anchors, and classes: [N, K] each.
    """
    n, _, height, width = logits.shape
    per_class = logits.view(n, -1, num_classes, height, width)
    weight = None if quality is None else flatten_map(quality, 1).squeeze(2)
    best = flatten_map(per_class.amax(2), 1).squeeze(2)
    chosen = _score(best, weight).topk(min(topk, best.shape[1]), sorted=False).indices
    cells, anchor = chosen // per_class.shape[1], chosen % per_class.shape[1]
    y, x = cells // width, cells % width
    image = torch.arange(n, device=logits.device)[:, None]
    candidates = per_class.permute(0, 3, 4, 1, 2)[image, y, x, anchor]  # [N, k, C]
    scores = _score(candidates, None if weight is None else weight.gather(1, chosen)[..., None]).flatten(1)
    scores, pairs = scores.topk(min(topk, scores.shape[1]))
    return scores, chosen.gather(1, pairs // num_classes), pairs % num_classes


def _score(logits: Tensor, quality: Tensor | None) -> Tensor:
    scores = widened(logits).sigmoid()
    return scores if quality is None else (scores * quality.sigmoid()).sqrt()


def best_of_maps(
    logits: Sequence[Tensor],
    anchors: Sequence[Tensor],
    num_classes: int,
    topk: int,
    quality: Sequence[Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`best_of_map` of every map, side by side; anchors are counted through all maps."""
    found, begin = [], 0
    for i, (values, level) in enumerate(zip(logits, anchors, strict=True)):
        scores, chosen, labels = best_of_map(values, num_classes, topk, None if quality is None else quality[i])
        found.append((scores, chosen + begin, labels))
        begin += len(level)
    scores, chosen, labels = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    return scores, chosen, labels


def suppress(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, score_thresh: float, nms_thresh: float, limit: int
) -> Detections:
    """The detections among boxes [K, 4] with scores and labels [K]: good ones that no better of their class overlap."""
    good = (scores > score_thresh).nonzero().squeeze(1)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    keep = batched_nms(boxes, scores, labels, nms_thresh)[:limit]
    return {"boxes": boxes[keep], "scores": scores[keep], "labels": labels[keep]}


class OneStageDetector(Detector):
    """Base of detectors that find objects in what they read off the feature maps, without looking again.

    Subclasses predict, whatever suits them; compare that with targets; and make candidates of it.
    """

    score_thresh: float
    nms_thresh: float
    detections_per_img: int

    def detect(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None
    ) -> tuple[Losses, list[Detections]]:
        predicted = self.predict(images, features)
        losses = {} if targets is None else self.compute_loss(targets, *predicted)
        return losses, [] if self.training else self.postprocess(*self.candidates(images, *predicted))

    @property
    def pads(self) -> bool:
        own = type(self)
        return own.detect is OneStageDetector.detect and own.postprocess is OneStageDetector.postprocess

    def detect_padded(
        self, images: ImageList, features: dict[str, Tensor], most: int | None = None
    ) -> list[PaddedDetections]:
        padded = []
        for boxes, scores, labels in zip(*self.candidates(images, *self.predict(images, features)), strict=True):
            good = scores > self.score_thresh
            chosen, there = suppress_padded(
                boxes, scores, labels, good, self.nms_thresh, most or self.detections_per_img
            )
            padded.append(({"boxes": boxes[chosen], "scores": scores[chosen], "labels": labels[chosen]}, there))
        return padded

    def predictions(self, images: ImageList, features: dict[str, Tensor]) -> Any:
        return self.predict(images, features)

    def predict(self, images: ImageList, features: dict[str, Tensor]) -> tuple[Any, ...]:
        """What the head makes of the maps, and the anchors."""
        raise NotImplementedError

    def compute_loss(self, targets: list[Target], *predicted: Any) -> Losses:
        raise NotImplementedError

    def candidates(self, images: ImageList, *predicted: Any) -> tuple[Tensor, Tensor, Tensor]:
        """For each image as many boxes [N, K, 4], with scores and labels [N, K], good or not."""
        raise NotImplementedError

    def postprocess(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> list[Detections]:
        return [
            suppress(
                *of_image,
                score_thresh=self.score_thresh,
                nms_thresh=self.nms_thresh,
                limit=self.detections_per_img,
            )
            for of_image in zip(boxes, scores, labels, strict=True)
        ]


class DenseDetector(OneStageDetector):
    """Base of detectors whose head gives ``cls_logits`` and ``bbox_regression`` for every anchor of every map.

    There is no background: each class has a score of its own, and 0 is a label like the others. The published models
    leave it unused.
    """

    has_background = False
    quality: str | None = None  # the key of a third output of the head, which weighs the scores

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        anchor_generator: nn.Module,
        head: nn.Module,
        box_coder: Any,
        transform: nn.Module,
        score_thresh: float,
        nms_thresh: float,
        detections_per_img: int,
        topk_candidates: int,
    ) -> None:
        super().__init__()
        self._num_classes = check_count("num_classes", num_classes, 1)
        self.backbone = backbone
        self.anchor_generator: Any = anchor_generator
        self.head: Any = head
        self.box_coder = box_coder
        self.transform = transform
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh
        self.detections_per_img = detections_per_img
        self.topk_candidates = topk_candidates

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """Number of scores of an anchor. Heads are replaced, so the head is asked."""
        return getattr(getattr(self.head, "classification_head", None), "num_classes", self._num_classes)

    def predict(self, images: ImageList, features: dict[str, Tensor]) -> tuple[dict[str, list[Tensor]], list[Tensor]]:
        maps = list(features.values())
        anchors = self.anchor_generator.per_level(images.tensors.shape[-2:], maps)
        return self.head(maps), anchors

    def flat(self, outputs: dict[str, list[Tensor]], key: str, channels: int) -> Tensor:
        """An output of the head for all anchors of all maps, [N, A, ``channels``]."""
        return torch.cat([flatten_map(m, channels) for m in outputs[key]], dim=1)

    def candidates(
        self, images: ImageList, outputs: dict[str, list[Tensor]], anchors: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best of each map; only their boxes are decoded."""
        quality = None if self.quality is None else outputs[self.quality]
        scores, chosen, labels = best_of_maps(
            outputs["cls_logits"], anchors, self.num_classes, self.topk_candidates, quality
        )
        codes = self.flat(outputs, "bbox_regression", 4).gather(1, chosen[..., None].expand(-1, -1, 4))
        boxes = self.box_coder.decode(codes, torch.cat(anchors)[chosen])
        return clip_boxes(boxes, sizes_as_boxes(images.image_sizes, boxes)), scores, labels
