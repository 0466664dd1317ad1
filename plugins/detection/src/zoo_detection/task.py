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
MIN_KEYPOINT_SCORE = 0.0  # logits; keypoints below are not drawn
SMALLEST, ENLARGED = 400, 800  # pixels of the longer side of drawn pictures, as in zoo.draw.legible


@dataclass(frozen=True)
class Detection(Result):
    """The objects that a model detects in one picture, best first.

    Attributes:
        boxes: float [D, 4], xyxy in pixels of the picture.
        labels: int64 [D].
        scores: float [D], 0 to 1.
        categories: names of the labels; ``class 0``, ``class 1``, … if the weights name none.
        image: the picture.
        masks: float [D, 1, H, W], probabilities, or those of the boxes, [D, 1, 28, 28], from a model with
            ``mask_format="roi"``; None if the model has no masks.
        keypoints: float [D, K, 3], x and y in pixels and visibility; or None.
        keypoints_scores: float [D, K], logits; or None.
        keypoint_names: names of the K keypoints.
        skeleton: pairs of connected keypoints; by default COCO's if there are 17.
        min_score: objects with a lower score are neither printed nor drawn.
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
        """The objects with a score of at least ``score``."""
        good = self.scores >= check_score("score", score)
        parts: dict[str, Any] = {name: value[good] for name, value in self._tensors().items()}
        return replace(self, **parts)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("boxes", "labels", "scores", "masks", "keypoints", "keypoints_scores")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: the ``k`` best objects, the number of further objects per category, and the
        number of objects below ``min_score``."""
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
        """What ``zoo predict --json`` prints: the ``k`` best objects (all by default) from ``min_score``."""
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
        ``segmentation`` (compressed run lengths of the pixels with a probability of at least one half) or
        ``keypoints``."""
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
        """The objects from ``min_score`` as ``supervision.Detections``: boxes, scores, class numbers, masks if present,
        and as data ``class_name`` and ``keypoints`` [D, K, 3].

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
        """The mask of the ``i``-th object, bool [H, W]: pixels with a probability of at least one half."""
        part, (top, left) = self._mask(i, self._size)
        whole = torch.zeros(self._size, dtype=torch.bool)
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        return whole

    def _mask(self, i: int, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """The mask of the ``i``-th object in the picture resized to ``size``: a window, bool [h, w], that contains all
        its pixels, and its row and column."""
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
        """The picture with its objects: boxes, names and scores, and masks and keypoints if present.

        Objects with masks or keypoints each have their own colour; with only boxes, each category has one colour, the
        same in every picture. Keypoints whose score is negative are not drawn.

        Args:
            min_score: objects with a lower score are not drawn; by default the result's ``min_score``.

        Returns:
            An RGB image of the picture's size; tiny pictures are enlarged by an integer factor.
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
            for i in reversed(range(len(shown))):  # the best is on top
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
        """Write ``STEM.png``, the picture from :meth:`draw`, and ``STEM.json``, all objects in COCO's format.

        The ``image_id`` is ``stem``, as a number if it is one: 139 for ``000000000139``, the form of COCO's file names.

        Returns:
            The paths.
        """
        paths = [save_picture(self.draw(), folder, stem, format), Path(folder) / f"{stem}.json"]
        rows = self.to_coco(int(stem) if stem.isascii() and stem.isdecimal() else stem)
        paths[1].write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n" if rows else "[]\n")
        return paths


def for_coco(result: Detection) -> dict[str, Any]:
    """The record of one picture for ``zoo predict --coco``: ``width`` and ``height`` in pixels, and ``annotations``
    from :meth:`Detection.to_coco`, each with the ``area`` in pixels of its mask or, without one, its box."""
    height, width = result._size
    rows = result.to_coco()
    for i, row in enumerate(rows):
        row["area"] = row["bbox"][2] * row["bbox"][3]
        if result.masks is not None:
            row["area"] = int(result._mask(i, (height, width))[0].sum())
    return {"width": width, "height": height, "annotations": rows}


def side_of(keypoint: str) -> str:
    """``"left"`` or ``"right"``, if the name of a keypoint contains it: ``left_wrist``, ``Left-Eye``, ``r_knee``."""
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
        min_score: ``min_score`` of the results: objects with a lower score are neither printed nor drawn.
    """

    min_score: float = MIN_SCORE

    def __post_init__(self) -> None:
        check_score("min_score", self.min_score)

    def collate(self, prepared: Sequence[Tensor]) -> tuple[list[Tensor]]:
        """Prepared pictures, each [C, H, W] of any size → a list, which detectors take."""
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
        """The heads, whose scores are compared with thresholds: NaN would be dropped silently."""
        modules = dict(model.named_modules())
        return [modules[name] for name in HEADS if name in modules]

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[list[Tensor]]:
        """A list of one picture, [C, H, W] in [0, 1]."""
        (picture,) = super().example(model, weights, size)
        return (list(picture),)
