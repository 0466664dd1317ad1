"""Detection for ``zoo.pipeline``: a picture in, the objects in it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from zoo import Weights
from zoo.contract import check_count
from zoo.io.image import open_image
from zoo.ops import box_convert

Picture = Image.Image | Tensor


@dataclass(frozen=True)
class Detection:
    """The objects that a model sees in one picture, best first.

    Attributes:
        boxes: float [D, 4], xyxy in pixels of the picture.
        labels: int64 [D].
        scores: float [D], 0 to 1.
        categories: names of the labels; ``class 0``, ``class 1``, … where the weights name none.
        image: the picture.
        masks: float [D, 1, H, W], probabilities; None where the model gives none.
        keypoints: float [D, K, 3], x and y in pixels and visibility; likewise.
        keypoints_scores: float [D, K], logits; likewise.
        keypoint_names: of the K keypoints.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    categories: Sequence[str]
    image: Picture
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    keypoints_scores: Tensor | None = None
    keypoint_names: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def names(self) -> list[str]:
        """The category of each object."""
        return [self.categories[label] for label in self.labels.tolist()]

    def above(self, score: float) -> Detection:
        """Those that score at least ``score``."""
        good = self.scores >= score
        parts = {name: value[good] for name, value in self._tensors().items()}
        return Detection(**parts, categories=self.categories, image=self.image, keypoint_names=self.keypoint_names)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("boxes", "labels", "scores", "masks", "keypoints", "keypoints_scores")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: the ``k`` best objects, and how many there are of each category beyond."""
        rows = zip(self.names, self.scores.tolist(), self.boxes.tolist(), strict=True)
        lines = [f"{score:7.2%}  {name}  {_numbers(box)}" for name, score, box in list(rows)[: check_count("k", k, 1)]]
        more = Counter(self.names[k:])
        if more:
            lines.append("and " + ", ".join(f"{n} × {name}" for name, n in more.most_common()))
        return lines or ["nothing found"]

    def to_dict(self, k: int | None = None) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: the ``k`` best objects (all by default)."""
        objects: list[dict[str, Any]] = []
        for i, (name, label, score, box) in enumerate(
            zip(self.names, self.labels.tolist(), self.scores.tolist(), self.boxes.tolist(), strict=True)
        ):
            found = {"label": name, "id": label, "score": score, "box": box}
            if self.keypoints is not None:
                found["keypoints"] = self.keypoints[i].tolist()
            objects.append(found)
        return {"objects": objects[:k]}

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """The objects in COCO's result format: ``image_id``, ``category_id``, ``bbox`` (xywh), ``score``; and
        ``segmentation`` (run lengths of the pixels that are rather the object than not) or ``keypoints``."""
        boxes = box_convert(self.boxes, "xyxy", "xywh").tolist()
        results = []
        for i, (label, score, box) in enumerate(zip(self.labels.tolist(), self.scores.tolist(), boxes, strict=True)):
            result = {"image_id": image_id, "category_id": label, "bbox": box, "score": score}
            if self.masks is not None:
                result["segmentation"] = run_lengths(self.masks[i, 0] > 0.5)
            if self.keypoints is not None:
                result["keypoints"] = self.keypoints[i].flatten().tolist()
            results.append(result)
        return results


def run_lengths(mask: Tensor) -> dict[str, Any]:
    """A mask, bool [H, W], as COCO's uncompressed run lengths: pixels column by column, zeros first."""
    pixels = mask.t().flatten()
    changes = (pixels[1:] != pixels[:-1]).nonzero().squeeze(1) + 1
    ends = [0, *changes.tolist(), len(pixels)]
    counts = [after - before for before, after in pairwise(ends)]
    return {"size": list(mask.shape), "counts": [0, *counts] if len(pixels) and pixels[0] else counts}


def _numbers(box: Sequence[float]) -> str:
    return "[" + ", ".join(f"{v:.0f}" for v in box) + "]"


def load(source: Any) -> Picture:
    """A picture from a path; a PIL image or tensor is taken as it is."""
    return open_image(source) if isinstance(source, str | Path) else source


def collate(prepared: Sequence[Tensor]) -> tuple[list[Tensor]]:
    """Prepared pictures, each [C, H, W] of its own size → a list, which detectors take."""
    return (list(prepared),)


def decode(outputs: Sequence[Mapping[str, Tensor]], inputs: Sequence[Picture], weights: Weights) -> list[Detection]:
    """A detector's dicts → one result per picture, on the CPU."""
    named = weights.read_categories()
    names = weights.extra.get("keypoint_names", ())
    results = []
    for output, image in zip(outputs, inputs, strict=True):
        parts = {key: value.detach().cpu() for key, value in output.items()}
        most = int(parts["labels"].max()) if len(parts["labels"]) else -1
        categories = named if most < len(named) else [f"class {i}" for i in range(most + 1)]
        results.append(Detection(**parts, categories=categories, image=image, keypoint_names=names))
    return results
