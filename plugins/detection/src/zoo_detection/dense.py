"""Shared by the one-stage detectors: from maps of scores, one or several per cell, to detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.nn import check_count
from zoo_detection.detector import Detections, Detector, Losses, at_most, clip_boxes, sizes_as_boxes, suppress, widened
from zoo_detection.fitting import check_anchors, check_maps, check_same, run_part
from zoo_detection.transform import ImageList, Size, Target

# Cells are ordered row by row, and anchors within each cell, as in AnchorGenerator.


def flatten_map(values: Tensor, channels: int) -> Tensor:
    """A map [N, A * ``channels``, H, W] → [N, H * W * A, ``channels``], at least in single precision."""
    n, _, height, width = values.shape
    return widened(values).reshape(n, -1, channels, height, width).permute(0, 3, 4, 1, 2).reshape(n, -1, channels)


def flatten_maps(maps: Sequence[Tensor], channels: int) -> Tensor:
    """:func:`flatten_map` of all maps, concatenated: [N, A of all cells, ``channels``]."""
    return torch.cat([flatten_map(values, channels) for values in maps], dim=1)


def best_of_map(logits: Tensor, topk: int, quality: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of anchor and class among the logits [N, A, C] of a map, for each image.

    The best k pairs belong to at most k anchors, those with the highest best class; the classes of all other anchors
    are read once and not sorted.

    Args:
        topk: maximum number of pairs.
        quality: logits [N, A, 1] that weight the scores of all classes, such as FCOS's centre-ness.

    Returns:
        Scores in [0, 1], indices of the anchors, and classes: [N, K] each.
    """
    classes = logits.shape[2]
    best = _score(logits.amax(2, keepdim=True), quality).squeeze(2)
    chosen = best.topk(at_most(topk, best.shape[1]), sorted=False).indices
    candidates = logits.gather(1, chosen[..., None].expand(-1, -1, classes))  # [N, k, C]
    scores = _score(candidates, None if quality is None else quality.gather(1, chosen[..., None])).flatten(1)
    scores, pairs = scores.topk(at_most(topk, scores.shape[1]))
    return scores, chosen.gather(1, pairs // classes), pairs % classes


def _score(logits: Tensor, quality: Tensor | None) -> Tensor:
    scores = widened(logits).sigmoid()
    return scores if quality is None else (scores * quality.sigmoid()).sqrt()


class MapHead(nn.Module):
    """Maps [N, C, H, W] → [N, A, K], K numbers for each of the anchors of all cells of all maps.

    Subclasses implement ``maps``, the computation per map, and ``columns``, which is K.
    """

    columns: int

    def maps(self, x: Sequence[Tensor]) -> list[Tensor]:
        """[N, A * K, H, W] of each map."""
        raise NotImplementedError

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return flatten_maps(self.maps(x), self.columns)


class ScoringHead(nn.Module):
    """Maps → ``cls_logits`` [N, A, num_classes] and ``bbox_regression`` [N, A, 4], of the anchors of all maps."""

    classification_head: Any
    regression_head: Any

    def forward(self, x: Sequence[Tensor]) -> dict[str, Tensor]:
        return {"cls_logits": self.classification_head(x), "bbox_regression": self.regression_head(x)}

    def maps(self, x: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """The same, before the cells of all maps are flattened and concatenated: [N, A * K, H, W] per map."""
        return {"cls_logits": self.classification_head.maps(x), "bbox_regression": self.regression_head.maps(x)}


class OneStageDetector(Detector):
    """Base of detectors that predict objects directly from the feature maps, without a second stage.

    Subclasses implement the prediction, its losses, and its conversion to candidates.
    """

    quality: str | None = None  # the key of a third output of the head, which weights the scores

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
        """Number of scores per anchor. Read from the head, which may have been replaced."""
        head = getattr(self.head, "classification_head", None)
        return getattr(head, "num_classes", getattr(head, "num_columns", self._num_classes))

    def detect(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None, most: int | None = None
    ) -> tuple[Losses, list[Detections]]:
        outputs, anchors = self.predict(images, features)
        per_level = self.anchors_of_levels(features)
        losses = {} if targets is None else self.losses(targets, outputs, anchors, per_level)
        if self.training:
            return losses, []
        if most is None:
            return losses, self.postprocess_detections(*self.split(outputs, anchors, per_level), images.image_sizes)
        found = self.candidates(*self.split(outputs, anchors, per_level), images.image_sizes)
        return losses, self.postprocess(*found, most)

    @property
    def pads(self) -> bool:
        own, names = type(self), ("detect", "postprocess", "postprocess_detections")
        theirs = [next(c for c in own.__mro__ if name in vars(c)).__module__ for name in names]
        return all(module.partition(".")[0] == __name__.partition(".")[0] for module in theirs)

    def predictions(self, images: ImageList, features: dict[str, Tensor]) -> Any:
        return self.predict(images, features)

    def predict(self, images: ImageList, features: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The head's outputs for the maps, and the anchors [A, 4] of each image."""
        maps = list(features.values())
        try:
            outputs = run_part("head", self.head, maps)
        except RuntimeError:
            self.explain(images, maps)
            raise
        anchors = self.anchor_generator(images, maps)
        n = anchors[0].shape[0]
        if any(values.shape[1] != n for values in outputs.values()):  # sizes may be symbols, which cannot be in a set
            self.explain(images, maps)
            most = max(values.shape[1] for values in outputs.values())
            check_same("the number of anchors of the head", most, "that of anchor_generator", n)
        return outputs, anchors

    def anchors_of_levels(self, features: dict[str, Tensor]) -> list[int]:
        """Number of anchors of each map."""
        per_cell = self.anchor_generator.num_anchors_per_location()
        sizes = [of_map.shape[-2:] for of_map in features.values()]
        return [height * width * n for (height, width), n in zip(sizes, per_cell, strict=True)]

    def explain(self, images: ImageList, maps: list[Tensor]) -> None:
        """Raise InvalidArgument if the head's maps do not match each other, the features or the anchors."""
        if not hasattr(self.head, "maps"):
            return
        outputs = self.head.maps(maps)
        codes = outputs["bbox_regression"]
        check_maps("head", outputs["cls_logits"], codes, self.num_classes, len(maps))
        if self.quality is not None:
            check_maps("head", outputs[self.quality], codes, 1, len(maps))
        check_anchors("head", codes, self.anchor_generator, self.anchor_generator(images, maps)[0])

    def split(self, outputs: dict[str, Tensor], anchors: list[Tensor], per_level: list[int]) -> tuple[Any, Any]:
        """Outputs and anchors in the form that :meth:`postprocess_detections` takes: here unchanged."""
        return outputs, anchors

    def losses(
        self, targets: list[Target], outputs: dict[str, Tensor], anchors: list[Tensor], per_level: list[int]
    ) -> Losses:
        """Calls ``compute_loss``, which has torchvision's signature."""
        raise NotImplementedError

    def candidates(
        self, head_outputs: Any, anchors: Any, image_shapes: Sequence[Size]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same number of boxes per image, [N, K, 4], with scores and labels [N, K], before thresholds."""
        raise NotImplementedError

    def postprocess_detections(self, head_outputs: Any, anchors: Any, image_shapes: Sequence[Size]) -> list[Detections]:
        """The detections of each image, best first, in pixels of the batch.

        Args:
            head_outputs: outputs of the head; for RetinaNet and FCOS each is a list with one item per map.
            anchors: [A, 4] of each image; for RetinaNet and FCOS a list per image, with one item per map.
            image_shapes: (height, width) of each image.
        """
        return self.postprocess(*self.candidates(head_outputs, anchors, image_shapes))

    def postprocess(self, boxes: Tensor, scores: Tensor, labels: Tensor, most: int | None = None) -> list[Detections]:
        """The detections among the candidates: those above the thresholds, after non-maximum suppression per class."""
        found = [{"boxes": b, "scores": s, "labels": c} for b, s, c in zip(boxes, scores, labels, strict=True)]
        limit, padded = most or self.detections_per_img, most is not None
        return [
            suppress(f, f["labels"], f["scores"] > self.score_thresh, self.nms_thresh, limit, padded) for f in found
        ]


class DenseDetector(OneStageDetector):
    """Base of detectors whose head returns ``cls_logits`` and ``bbox_regression`` for every anchor of every map.

    There is no background class: each class has its own score, and 0 is an ordinary label. The published models do not
    use it.
    """

    has_background = False

    def split(self, outputs: dict[str, Tensor], anchors: list[Tensor], per_level: list[int]) -> tuple[Any, Any]:
        """Split into one item per map."""
        levels = {key: list(torch.split(values, per_level, dim=1)) for key, values in outputs.items()}
        return levels, [list(torch.split(of_image, per_level)) for of_image in anchors]

    def candidates(
        self, head_outputs: dict[str, list[Tensor]], anchors: list[list[Tensor]], image_shapes: Sequence[Size]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best candidates of each map; only their boxes are decoded."""
        found = []
        for i, logits in enumerate(head_outputs["cls_logits"]):
            quality = None if self.quality is None else head_outputs[self.quality][i]
            scores, chosen, labels = best_of_map(logits, self.topk_candidates, quality)
            rows = chosen[..., None].expand(-1, -1, 4)
            codes, places = head_outputs["bbox_regression"][i].gather(1, rows), anchors[0][i][chosen]
            found.append((self.box_coder.decode(codes, places), scores, labels))
        boxes, scores, labels = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        return clip_boxes(boxes, sizes_as_boxes(image_shapes, boxes)), scores, labels
