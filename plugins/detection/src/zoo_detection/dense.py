"""What the one-stage detectors share: from maps of scores, one or several at every cell, to detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.nn import check_count
from zoo_detection.detector import Detections, Detector, Losses, clip_boxes, sizes_as_boxes, suppress, widened
from zoo_detection.fitting import check_anchors, check_maps, run_part
from zoo_detection.transform import ImageList, Target

# The cells of a map are counted row by row, in each the anchors, as AnchorGenerator does.


def flatten_map(values: Tensor, channels: int) -> Tensor:
    """A map [N, A * ``channels``, H, W] → [N, H * W * A, ``channels``], at least in single precision."""
    n, _, height, width = values.shape
    return widened(values).reshape(n, -1, channels, height, width).permute(0, 3, 4, 1, 2).reshape(n, -1, channels)


def flatten_maps(maps: Sequence[Tensor], channels: int) -> Tensor:
    """:func:`flatten_map` of all maps, one after the other: [N, A of all cells, ``channels``]."""
    return torch.cat([flatten_map(values, channels) for values in maps], dim=1)


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
    per_class = logits.reshape(n, -1, num_classes, height, width)
    weight = None if quality is None else flatten_map(quality, 1).squeeze(2)
    best = flatten_map(per_class.amax(2), 1).squeeze(2)
    chosen = _score(best, weight).topk(torch.sym_min(topk, best.shape[1]), sorted=False).indices  # type: ignore[no-untyped-call]
    cells, anchor = chosen // per_class.shape[1], chosen % per_class.shape[1]
    y = cells // width
    x = cells - y * width  # ONNX has no remainder by a symbol
    image = torch.arange(n, device=logits.device)[:, None]
    candidates = per_class.permute(0, 3, 4, 1, 2)[image, y, x, anchor]  # [N, k, C]
    scores = _score(candidates, None if weight is None else weight.gather(1, chosen)[..., None]).flatten(1)
    scores, pairs = scores.topk(torch.sym_min(topk, scores.shape[1]))  # type: ignore[no-untyped-call]
    return scores, chosen.gather(1, pairs // num_classes), pairs % num_classes


def _score(logits: Tensor, quality: Tensor | None) -> Tensor:
    scores = widened(logits).sigmoid()
    return scores if quality is None else (scores * quality.sigmoid()).sqrt()


class ScoringHead(nn.Module):
    """Maps → ``cls_logits`` and ``bbox_regression``, each a list with one map for each."""

    classification_head: nn.Module
    regression_head: nn.Module

    def forward(self, x: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        return {"cls_logits": self.classification_head(x), "bbox_regression": self.regression_head(x)}


class OneStageDetector(Detector):
    """Base of detectors that find objects in what they read off the feature maps, without looking again.

    Subclasses predict, whatever suits them; compare that with targets; and make candidates of it.
    """

    quality: str | None = None  # the key of a third output of the head, which weighs the scores

    def __init__(
        self,
        *,
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
        head = getattr(self.head, "classification_head", None)
        return getattr(head, "num_classes", getattr(head, "num_columns", self._num_classes))

    def detect(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None, most: int | None = None
    ) -> tuple[Losses, list[Detections]]:
        predicted = self.predict(images, features)
        losses = {} if targets is None else self.compute_loss(targets, *predicted)
        if self.training:
            return losses, []
        padding = () if most is None else (most,)
        return losses, self.postprocess(*self.candidates(images, *predicted), *padding)

    @property
    def pads(self) -> bool:
        own = type(self)
        return own.detect is OneStageDetector.detect and own.postprocess is OneStageDetector.postprocess

    def predictions(self, images: ImageList, features: dict[str, Tensor]) -> Any:
        return self.predict(images, features)

    def predict(self, images: ImageList, features: dict[str, Tensor]) -> tuple[dict[str, list[Tensor]], Tensor]:
        """What the head makes of the maps, and the anchors of all maps, [A, 4]."""
        maps = list(features.values())
        outputs, anchors = run_part("head", self.head, maps), self.anchor_generator(images, maps)[0]
        codes = outputs["bbox_regression"]
        check_maps("head", outputs["cls_logits"], codes, self.num_classes, len(maps))
        if self.quality is not None:
            check_maps("head", outputs[self.quality], codes, 1, len(maps))
        check_anchors("head", codes, self.anchor_generator, anchors)
        return outputs, anchors

    def compute_loss(self, targets: list[Target], head_outputs: dict[str, list[Tensor]], anchors: Tensor) -> Losses:
        raise NotImplementedError

    def candidates(
        self, images: ImageList, outputs: dict[str, list[Tensor]], anchors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """For each image as many boxes [N, K, 4], with scores and labels [N, K], good or not."""
        raise NotImplementedError

    def postprocess(self, boxes: Tensor, scores: Tensor, labels: Tensor, most: int | None = None) -> list[Detections]:
        """The detections among the candidates: good ones that no better of their class overlap."""
        found = [{"boxes": b, "scores": s, "labels": c} for b, s, c in zip(boxes, scores, labels, strict=True)]
        limit, padded = most or self.detections_per_img, most is not None
        return [
            suppress(f, f["labels"], f["scores"] > self.score_thresh, self.nms_thresh, limit, padded) for f in found
        ]


class DenseDetector(OneStageDetector):
    """Base of detectors whose head gives ``cls_logits`` and ``bbox_regression`` for every anchor of every map.

    There is no background: each class has a score of its own, and 0 is a label like the others. The published models
    leave it unused.
    """

    has_background = False

    def candidates(
        self, images: ImageList, outputs: dict[str, list[Tensor]], anchors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best of each map; only their boxes are decoded."""
        found, begin = [], 0
        for i, logits in enumerate(outputs["cls_logits"]):
            quality = None if self.quality is None else outputs[self.quality][i]
            scores, chosen, labels = best_of_map(logits, self.num_classes, self.topk_candidates, quality)
            found.append((scores, chosen + begin, labels))
            begin += logits[0].numel() // self.num_classes
        scores, chosen, labels = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        codes = flatten_maps(outputs["bbox_regression"], 4).gather(1, chosen[..., None].expand(-1, -1, 4))
        boxes = self.box_coder.decode(codes, anchors[chosen])
        return clip_boxes(boxes, sizes_as_boxes(images.image_sizes, boxes)), scores, labels
