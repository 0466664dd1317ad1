"""Detection for ``zoo.pipeline``: a picture in, the objects in it out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import PictureTask, Weights
from zoo.contract import Result, check_count, optional, save_picture
from zoo.draw import bounding_boxes, class_color, keypoints, legible, segment_map
from zoo.errors import InvalidArgument
from zoo.io import Picture
from zoo.io.masks import compress as compress, encode_mask, run_lengths as run_lengths
from zoo.ops import box_convert
from zoo.transforms.functional import as_pil, get_dimensions
from zoo_detection.masks import paste_mask_window

MIN_SCORE = 0.5
HEADS = ("head", "rpn.head", "roi_heads.box_predictor")
MIN_KEYPOINT_SCORE = 0.0  # logits; what a model believes less is not drawn
SMALLEST, ENLARGED = 400, 800  # pixels of the longer side of drawn pictures, as of zoo.draw.legible


@dataclass(frozen=True)
class Detection(Result):
    """The objects that a model sees in one picture, best first.

    Attributes:
        boxes: float [D, 4], xyxy in pixels of the picture.
        labels: int64 [D].
        scores: float [D], 0 to 1.
        categories: names of the labels; ``class 0``, ``class 1``, … where the weights name none.
        image: the picture.
        masks: float [D, 1, H, W], probabilities, or those of the boxes, [D, 1, 28, 28], from a model with
            ``mask_format="roi"``; None where the model gives none.
        keypoints: float [D, K, 3], x and y in pixels and visibility; likewise.
        keypoints_scores: float [D, K], logits; likewise.
        keypoint_names: of the K keypoints.
        skeleton: pairs of keypoints that are connected; by default COCO's where there are 17.
        min_score: objects that score less are neither printed nor drawn.
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
    skeleton: Sequence[tuple[int, int]] | None = None
    min_score: float = MIN_SCORE

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def names(self) -> list[str]:
        """The category of each object."""
        return [self.categories[label] for label in self.labels.tolist()]

    def above(self, score: float) -> Detection:
        """Those that score at least ``score``."""
        good = self.scores >= check_score("score", score)
        parts: dict[str, Any] = {name: value[good] for name, value in self._tensors().items()}
        return replace(self, **parts)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("boxes", "labels", "scores", "masks", "keypoints", "keypoints_scores")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: the ``k`` best objects, how many there are of each category beyond, and how many
        score less than ``min_score``."""
        shown = self.above(self.min_score)
        rows = [*zip(shown.names, shown.scores.tolist(), shown.boxes.tolist(), strict=True)]
        lines = [f"{score:7.2%}  {name}  {_numbers(box)}" for name, score, box in rows[: check_count("k", k, 1)]]
        more = Counter(shown.names[k:])
        if more:
            lines.append("and " + ", ".join(f"{n} × {name}" for name, n in more.most_common()))
        left = len(self) - len(shown)
        if left and lines:
            lines.append(f"and {left} below {self.min_score:.0%}")
        elif left:
            best = int(self.scores.argmax())
            lines.append(
                f"nothing from {self.min_score:.0%}; the best of {left} is {self.names[best]} with "
                f"{self.scores[best]:.2%}"
            )
        return lines or ["nothing found"]

    def to_dict(self, k: int | None = None) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: the ``k`` best objects (all by default) that score ``min_score``."""
        shown = self.above(self.min_score)
        objects: list[dict[str, Any]] = []
        for i, (name, label, score, box) in enumerate(
            zip(shown.names, shown.labels.tolist(), shown.scores.tolist(), shown.boxes.tolist(), strict=True)
        ):
            found = {"label": name, "id": label, "score": score, "box": box}
            if shown.keypoints is not None:
                found["keypoints"] = shown.keypoints[i].tolist()
            objects.append(found)
        return {"objects": objects[:k]}

    def to_coco(self, image_id: int | str = 0) -> list[dict[str, Any]]:
        """All objects in COCO's result format: ``image_id``, ``category_id``, ``bbox`` (xywh), ``score``; and
        ``segmentation`` (compressed run lengths of the pixels that are rather the object than not) or ``keypoints``."""
        boxes = box_convert(self.boxes, "xyxy", "xywh").tolist()
        results = []
        for i, (label, score, box) in enumerate(zip(self.labels.tolist(), self.scores.tolist(), boxes, strict=True)):
            result = {"image_id": image_id, "category_id": label, "bbox": box, "score": score}
            if self.masks is not None:
                mask, offset = self._mask(i, self._size)
                result["segmentation"] = encode_mask(mask, self._size, offset)
            if self.keypoints is not None:
                result["keypoints"] = self.keypoints[i].flatten().tolist()
            results.append(result)
        return results

    def to_supervision(self) -> Any:
        """The objects that score ``min_score`` as ``supervision.Detections``: boxes, scores, class numbers, masks where
        there are any, and as data ``class_name`` and ``keypoints`` [D, K, 3].

        Raises:
            MissingPlugin: supervision is not installed.
        """
        sv = optional("supervision", "to_supervision()")
        shown = self.above(self.min_score)
        data: dict[str, Any] = {"class_name": np.array(shown.names, str)}
        if shown.keypoints is not None:
            data["keypoints"] = shown.keypoints.float().numpy()
        masks = None
        if shown.masks is not None:
            masks = np.array([shown.mask(i).numpy() for i in range(len(shown))], bool).reshape(-1, *self._size)
        scores, labels = shown.scores.float().numpy(), shown.labels.numpy().astype(int)
        return sv.Detections(shown.boxes.float().numpy(), masks, scores, labels, data=data)

    @property
    def _size(self) -> tuple[int, int]:
        _, height, width = get_dimensions(self.image)
        return height, width

    def mask(self, i: int) -> Tensor:
        """The pixels that are rather of the ``i``-th object than not, bool [H, W]."""
        part, (top, left) = self._mask(i, self._size)
        whole = torch.zeros(self._size, dtype=torch.bool)
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        return whole

    def _mask(self, i: int, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """The pixels of the ``i``-th object in the picture resized to ``size``: a part of it, bool [h, w], that has all
        of them, and its row and column."""
        height, width = self._size
        mask = self._tensors()["masks"][i : i + 1].float()
        if mask.shape[-2:] != (height, width):
            scale = torch.tensor([size[1] / width, size[0] / height] * 2)
            part, offset = paste_mask_window(mask[0, 0], self.boxes[i].float() * scale, size)
            return part > 0.5, offset
        if size != (height, width):
            mask = F.interpolate(mask, size, mode="bilinear", antialias=True)
        found = mask[0, 0] > 0.5
        rows, columns = found.any(1).nonzero(), found.any(0).nonzero()
        if not len(rows):
            return found[:0, :0], (0, 0)
        top, left = int(rows[0]), int(columns[0])
        return found[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], (top, left)

    def draw(self, min_score: float | None = None) -> Image.Image:
        """The picture with its objects: frames, names and scores, masks and keypoints where there are any.

        Objects with masks or keypoints have a colour each; where there are boxes alone, each category has its own, the
        same in every picture. Keypoints whose score is negative are not drawn.

        Args:
            min_score: what scores less is left out; by default the result's ``min_score``.

        Returns:
            An RGB image of the picture's size; tiny ones are enlarged, each pixel a square.
        """
        shown = self.above(self.min_score if min_score is None else check_score("min_score", min_score))
        image = as_pil(self.image)
        picture = legible(image, smallest=SMALLEST, enlarged=ENLARGED, largest=None)
        size = picture.height, picture.width
        scale = torch.tensor([picture.width / image.width, picture.height / image.height])
        parts = shown.masks is not None or shown.keypoints is not None
        colors = [class_color(i) for i in range(len(shown))] if parts else None
        if shown.masks is not None and len(shown):
            owner = torch.full(size, -1, dtype=torch.int32)
            for i in reversed(range(len(shown))):  # the best lies on top
                part, (top, left) = shown._mask(i, size)
                owner[top : top + part.shape[0], left : left + part.shape[1]].masked_fill_(part, i)
            picture = segment_map(picture, owner, len(shown), colors=colors)
        if shown.keypoints is not None:
            visible = shown.keypoints[..., 2] > 0
            if shown.keypoints_scores is not None:
                visible &= shown.keypoints_scores >= MIN_KEYPOINT_SCORE
            points = shown.keypoints[..., :2] * scale
            sides = [side_of(name) for name in self.keypoint_names] or None
            picture = keypoints(picture, points, visible, skeleton=self.skeleton, sides=sides, colors=colors)
        return bounding_boxes(
            picture, shown.boxes * scale.repeat(2), shown.labels, shown.scores, names=self.categories, colors=colors
        )

    def save(self, folder: str | Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002
        """Write ``STEM.png``, the picture that :meth:`draw` gives, and ``STEM.json``, all objects in COCO's format.

        The ``image_id`` is ``stem``, as a number where it is one: 139 for ``000000000139``, as COCO names its files.

        Returns:
            The paths.
        """
        paths = [save_picture(self.draw(), folder, stem, format), Path(folder) / f"{stem}.json"]
        rows = self.to_coco(int(stem) if stem.isascii() and stem.isdecimal() else stem)
        paths[1].write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n" if rows else "[]\n")
        return paths


def for_coco(result: Detection) -> dict[str, Any]:
    """What ``zoo predict --coco`` needs of one picture: ``width`` and ``height`` in pixels, and ``annotations``, as
    :meth:`Detection.to_coco` has them, each with its ``area`` in pixels, of the mask where there is one."""
    height, width = result._size
    rows = result.to_coco()
    for i, row in enumerate(rows):
        row["area"] = row["bbox"][2] * row["bbox"][3]
        if result.masks is not None:
            row["area"] = int(result._mask(i, (height, width))[0].sum())
    return {"width": width, "height": height, "annotations": rows}


def side_of(keypoint: str) -> str:
    """``"left"`` or ``"right"``, where the name of a keypoint says so: ``left_wrist``, ``Left-Eye``, ``r_knee``."""
    words = re.split(r"[\W_]+", keypoint.lower())
    return "left" if {"left", "l"} & {*words} else "right" if {"right", "r"} & {*words} else ""


def check_score(name: str, score: Any) -> float:
    """``score`` if it is a number from 0 to 1."""
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InvalidArgument(f"{name} is {score!r}; expected a number from 0 to 1.")
    return score


def _numbers(box: Sequence[float]) -> str:
    return "[" + ", ".join(f"{v:.0f}" for v in box) + "]"


@dataclass
class DetectionTask(PictureTask):
    """Pictures in, the objects in them out.

    Args:
        min_score: of the results: objects that score less are neither printed nor drawn.
    """

    min_score: float = MIN_SCORE

    def __post_init__(self) -> None:
        check_score("min_score", self.min_score)

    def collate(self, prepared: Sequence[Tensor]) -> tuple[list[Tensor]]:
        """Prepared pictures, each [C, H, W] of its own size → a list, which detectors take."""
        return (list(prepared),)

    def decode(
        self, outputs: Sequence[Mapping[str, Tensor]], inputs: Sequence[Picture], weights: Weights
    ) -> list[Detection]:
        """A detector's dicts → one result per picture, on the CPU."""
        points = {"keypoint_names": weights.extra.get("keypoint_names", ()), "skeleton": weights.extra.get("skeleton")}
        known = len(weights.read_categories())
        results = []
        for output, image in zip(outputs, inputs, strict=True):
            parts: dict[str, Any] = {key: value.detach().cpu() for key, value in output.items()}
            most = int(parts["labels"].max()) if len(parts["labels"]) else -1
            categories = weights.class_names(known if most < known else most + 1)
            results.append(Detection(**parts, categories=categories, image=image, min_score=self.min_score, **points))
        return results

    def watched(self, model: nn.Module) -> list[nn.Module]:
        """The heads, whose scores are compared with thresholds: NaN is above none."""
        modules = dict(model.named_modules())
        return [modules[name] for name in HEADS if name in modules]

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[list[Tensor]]:
        """A list of one picture, [C, H, W] in [0, 1]."""
        (picture,) = super().example(model, weights, size)
        return (list(picture),)
