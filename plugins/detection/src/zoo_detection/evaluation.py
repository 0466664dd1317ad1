"""COCO's average precision for ``zoo evaluate``: of boxes, and of masks and keypoints where the model gives them."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from zoo import Weights
from zoo.errors import InvalidArgument, MissingPlugin, UnreadableFile
from zoo.transforms.functional import get_dimensions
from zoo_detection.coco import KEYPOINT_NAMES
from zoo_detection.task import Detection

METRICS = {"bbox": "box_map", "segm": "mask_map", "keypoints": "kp_map"}  # COCO's name of a kind → ours of its AP
FIELDS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}  # where annotations and results hold it
# What pycocotools computes of each kind, in its order; keypoints are not told apart by "small".
BOX_VALUES = ("", "_50", "_75", "_small", "_medium", "_large")
KEYPOINT_VALUES = ("", "_50", "_75", "_medium", "_large")
# What the rows of an annotation file have at least.
NEEDED = {
    "images": ("id", "file_name"),
    "categories": ("id", "name"),
    "annotations": ("image_id", "category_id", "bbox"),
}

Row = dict[str, Any]


class CocoEvaluator:
    """Average precision as COCO defines it (`Microsoft COCO <https://arxiv.org/abs/1405.0312>`_), by pycocotools.

    ``box_map`` is the mean over IoU from 0.5 to 0.95, categories and recalls, in percent; ``_50`` and ``_75`` are at
    one IoU, ``_small``, ``_medium`` and ``_large`` of objects below 32², below 96², and from 96² pixels. There are
    ``mask_map`` and ``kp_map`` where the model gives masks or COCO's 17 keypoints, and the annotations have them.

    Args:
        images: the folder in which the ``file_name`` of each annotated image lies.
        annotations: a JSON file of COCO's format: ``images`` (``id``, ``file_name``; ``height`` and ``width`` for
            masks), ``categories`` (``id``, ``name``), and ``annotations`` (``image_id``, ``category_id``, ``bbox`` as
            left, top, width, height in pixels; and ``segmentation``, ``keypoints``, ``iscrowd``, ``area`` if they
            have them). Every image in it is predicted on.
        weights: their categories are matched with those of the annotations by name, or, where no name agrees, by id.

    Raises:
        InvalidArgument: a file of another format, or whose categories are not the model's.
        UnreadableFile: it cannot be read.
        MissingPlugin: pycocotools is not installed.
    """

    def __init__(self, images: Path, annotations: Path | None, weights: Weights) -> None:
        if annotations is None or annotations.is_dir():
            given = "none were given" if annotations is None else f"{str(annotations)!r} is a folder"
            raise InvalidArgument(f"annotations: expected a JSON file of COCO's format; {given}.")
        self._tools = _tools()
        self._truth = _read(annotations)
        self._images = {image["file_name"]: image for image in self._truth["images"]}
        if len(self._images) < len(self._truth["images"]):
            (name, n), *_ = Counter(image["file_name"] for image in self._truth["images"]).most_common(1)
            raise InvalidArgument(f"{str(annotations)!r} lists the image {name!r} {n} times; expected once.")
        if self._images and not any((images / name).is_file() for name in self._images):
            first = next(iter(self._images))
            raise InvalidArgument(f"{str(images)!r} has none of the annotated images, such as {first!r}.")
        self.sources = {name: images / name for name in self._images}
        self.notes: list[str] = []
        self._category = self._match(weights.read_categories())

    def _match(self, names: Sequence[str]) -> dict[int, int]:
        """The model's label → the annotations' category id."""
        known = {category["id"]: category["name"] for category in self._truth["categories"]}
        label_of = {name.strip().casefold(): label for label, name in reversed([*enumerate(names)])}
        matched = {label_of[n]: id_ for id_, name in known.items() if (n := name.strip().casefold()) in label_of}
        if not matched:
            matched = {id_: id_ for id_ in known if 0 <= id_ < (len(names) or math.inf)}
            if names and matched:
                self.notes.append(
                    "No category of the annotations has the name of one of the model's, so they were matched by id: "
                    + ", ".join(f"{id_} is {known[id_]!r} and {names[id_]!r}" for id_ in list(matched)[:3])
                    + (" …." if len(matched) > 3 else ".")
                )
        if not matched:
            raise InvalidArgument(
                f"No category of the annotations is one of the model's, by name or by id. The annotations have "
                f"{_some([f'{id_}: {name}' for id_, name in known.items()])}; the model has {_some(names)}."
            )
        left = [name for id_, name in known.items() if id_ not in matched.values()]
        if left:
            self.notes.append(
                f"{len(left)} of {len(known)} categories are unknown to the model and left out: {_some(left)}."
            )
        return matched

    def measure(self, name: str, result: Detection) -> Row:
        """The objects found in one image, in COCO's result format, with the annotations' ids."""
        image = self._images[name]
        _, height, width = get_dimensions(result.image)
        wanted = image.get("height", height), image.get("width", width)
        if (height, width) != tuple(wanted):
            raise InvalidArgument(
                f"{name!r} has {height} × {width} pixels, and {wanted[0]} × {wanted[1]} by the annotations."
            )
        kinds = ["bbox"]
        kinds += ["segm"] * (result.masks is not None)
        kinds += ["keypoints"] * (result.keypoints is not None)
        rows = [row for row in result.to_coco(image["id"]) if row["category_id"] in self._category]
        for row in rows:
            row["category_id"] = self._category[row["category_id"]]
        return {"image_id": image["id"], "kinds": kinds, "detections": rows}

    def summarize(self, records: Sequence[Row]) -> dict[str, float]:
        rows = [row for record in records for row in record["detections"]]
        truth = self._truth_of({record["image_id"] for record in records})
        metrics: dict[str, float] = {}
        for kind in METRICS:
            if not all(kind in record["kinds"] for record in records):
                continue
            lacking = self._lacking(truth, kind)
            if lacking:
                self.notes.append(f"{METRICS[kind]} is not computed: {lacking}.")
            else:
                metrics |= self._average_precision(kind, truth, rows)
        return metrics

    def _truth_of(self, images: set[Any]) -> dict[str, list[Row]]:
        """What is annotated on these images, of the categories that count. Filled up where the format is lenient."""
        categories = set(self._category.values())
        objects: list[Row] = []
        for row in self._truth["annotations"]:
            if row["image_id"] in images and row["category_id"] in categories:
                row = {"iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3], **row}
                row["id"] = len(objects) + 1  # pycocotools takes 0 for "no object"
                if "keypoints" in row:
                    row.setdefault("num_keypoints", sum(v > 0 for v in row["keypoints"][2::3]))
                objects.append(row)
        return {
            "images": [image for image in self._truth["images"] if image["id"] in images],
            "categories": [c for c in self._truth["categories"] if c["id"] in categories],
            "annotations": objects,
        }

    @staticmethod
    def _lacking(truth: Mapping[str, Sequence[Row]], kind: str) -> str:
        """What the annotations would need for this kind of AP and do not have."""
        for row in truth["annotations"]:
            if not row.get(FIELDS[kind]):
                return f"annotations without {FIELDS[kind]!r}"
            if kind == "keypoints" and len(row["keypoints"]) != 3 * len(KEYPOINT_NAMES):
                return f"COCO defines it for {len(KEYPOINT_NAMES)} keypoints, not for {len(row['keypoints']) // 3}"
        if kind == "segm" and not all("height" in image and "width" in image for image in truth["images"]):
            return "the annotations do not tell the images' height and width"
        return ""

    def _average_precision(self, kind: str, truth: Row, rows: Sequence[Row]) -> dict[str, float]:
        # With its box, pycocotools would take an object that is a mask or a set of keypoints for one as large.
        own = ("image_id", "category_id", "score", FIELDS[kind])
        found = [{key: row[key] for key in own} for row in rows]
        with contextlib.redirect_stdout(io.StringIO()):
            known = self._tools.coco.COCO()
            known.dataset = truth
            known.createIndex()
            if found:
                guessed = known.loadRes(found)
            else:
                guessed = self._tools.coco.COCO()
                guessed.dataset = {**truth, "annotations": []}
                guessed.createIndex()
            scores = self._tools.cocoeval.COCOeval(known, guessed, kind)
            scores.evaluate()
            scores.accumulate()
            scores.summarize()
        endings = KEYPOINT_VALUES if kind == "keypoints" else BOX_VALUES
        values = [100 * float(value) if value >= 0 else math.nan for value in scores.stats]  # -1: there are no objects
        return {METRICS[kind] + ending: value for ending, value in zip(endings, values, strict=False)}


def _tools() -> SimpleNamespace:
    """pycocotools' modules, by name."""
    try:
        return SimpleNamespace(
            **{name: importlib.import_module(f"pycocotools.{name}") for name in ("coco", "cocoeval")}
        )
    except ImportError as e:
        raise MissingPlugin("COCO's average precision needs pycocotools: pip install 'zoo-detection[coco]'") from e


def _read(path: Path) -> dict[str, list[Row]]:
    """A file of COCO's format, checked as far as it is used."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as e:
        raise UnreadableFile(f"{str(path)!r} cannot be read: {e.strerror or e}.") from e
    except ValueError as e:
        raise UnreadableFile(f"{str(path)!r} is no JSON: {e}.") from e
    problem = next(_problems(content), None)
    if problem:
        raise InvalidArgument(f"{str(path)!r} is not of COCO's annotation format: {problem}.")
    return {key: content[key] for key in NEEDED}


def _problems(content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"it holds {type(content).__name__}; expected an object"
        return
    for key, parts in NEEDED.items():
        rows = content.get(key)
        if not isinstance(rows, list):
            yield f"it has no list {key!r}"
            return
        for i, row in enumerate(rows):
            missing = [part for part in parts if not isinstance(row, dict) or part not in row]
            if missing:
                yield f"{key}[{i}] has no {missing[0]!r}"
    images, categories = ({row["id"] for row in content[key]} for key in ("images", "categories"))
    for i, row in enumerate(content["annotations"]):
        if row["image_id"] not in images:
            yield f"annotations[{i}] is of the image {row['image_id']!r}, which is not listed"
        if row["category_id"] not in categories:
            yield f"annotations[{i}] is of the category {row['category_id']!r}, which is not listed"
        box = row["bbox"]
        if not (isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box)):
            yield f"annotations[{i}] has the bbox {box!r}; expected [left, top, width, height]"


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(words[:10]) or "no names"
    return shown if len(words) <= 10 else f"{shown} and {len(words) - 10} more"
