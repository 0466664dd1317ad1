"""COCO's average precision for ``zoo evaluate``: of boxes, and of masks and keypoints if the model predicts them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo import Examples, Weights
from zoo.errors import InvalidArgument, MissingPlugin
from zoo.transforms.functional import get_dimensions
from zoo_detection.coco import KEYPOINT_NAMES
from zoo_detection.coco_files import Row, normalised
from zoo_detection.data import CocoObjects
from zoo_detection.task import Detection

METRICS = {"bbox": "box_map", "segm": "mask_map", "keypoints": "kp_map"}  # COCO's name of a kind → our name of its AP
FIELDS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}  # its key in annotations and results
# The metrics of COCO's evaluation of each kind, in its order; keypoints have no "small".
BOX_VALUES = ("", "_50", "_75", "_small", "_medium", "_large")
KEYPOINT_VALUES = ("", "_50", "_75", "_medium", "_large")

MAX_DETECTIONS = 100  # per picture in COCO's evaluation; 20 for keypoints


class CocoEvaluator:
    """Average precision as COCO defines it (`Microsoft COCO <https://arxiv.org/abs/1405.0312>`_), by faster-coco-eval.

    ``box_map`` is the mean over IoU from 0.5 to 0.95, categories and recalls, in percent; ``_50`` and ``_75`` are at
    one IoU, ``_small``, ``_medium`` and ``_large`` of objects below 32², below 96², and from 96² pixels. ``mask_map``
    and ``kp_map`` are added if the model predicts masks or COCO's 17 keypoints and the annotations contain them.

    Args:
        images: the folder that contains the ``file_name`` of each annotated image; or a reader of objects.
        annotations: a JSON file in COCO's format: ``images`` (``id``, ``file_name``; ``height`` and ``width`` for
            masks), ``categories`` (``id``, ``name``), and ``annotations`` (``image_id``, ``category_id``, ``bbox`` as
            left, top, width, height in pixels; and ``segmentation``, ``keypoints``, ``iscrowd``, ``area`` if present;
            null is the same as absent). Every image in it is evaluated.
        weights: weights whose categories are matched with those of the annotations by name or, if no name matches, by
            id.

    Raises:
        InvalidArgument: the file has another format (the message names the problem), or its categories do not match the
            model's.
        UnreadableFile: the file cannot be read.
        MissingPlugin: faster-coco-eval is not installed.
    """

    def __init__(self, images: Path | Examples, annotations: Path | None, weights: Weights) -> None:
        if not isinstance(images, Examples) and (annotations is None or annotations.is_dir()):
            CocoObjects(images, annotations)  # checks the data before the installation
        self._coco, self._eval = _tools()
        self.protocol = {"max_detections": MAX_DETECTIONS}
        reader: Any = images if isinstance(images, Examples) else CocoObjects(images, annotations, check_files=False)
        self.reader, self._truth = reader, reader.to_coco()
        self._images = {image["file_name"]: image for image in self._truth["images"]}
        self.sources = {name: reader.source(i) for i, name in enumerate(reader.names)}
        self.notes: list[str] = [*reader.notes] if isinstance(images, Examples) else []
        self._category = self._match(weights.read_categories())

    def _match(self, names: Sequence[str]) -> dict[int, int]:
        """The model's label → the annotations' category id."""
        known = {category["id"]: category["name"] for category in self._truth["categories"]}
        label_of = {normalised(name): label for label, name in reversed([*enumerate(names)])}
        matched = {label_of[n]: id_ for id_, name in known.items() if (n := normalised(name)) in label_of}
        if not matched:
            matched = {id_: id_ for id_ in known if isinstance(id_, int) and 0 <= id_ < (len(names) or math.inf)}
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
                f"{len(left)} of {len(known)} categories are unknown to the model and ignored: {_some(left)}."
            )
        return matched

    def measure(self, name: str, result: Detection) -> Row:
        """The objects found in one image, in COCO's result format, with the annotations' ids."""
        image = self._images[name]
        _, height, width = get_dimensions(result.image)
        wanted = image.get("height", height), image.get("width", width)
        if (height, width) != tuple(wanted):
            raise InvalidArgument(
                f"{name!r} has {height} × {width} pixels, but {wanted[0]} × {wanted[1]} in the annotations."
            )
        kinds = ["bbox"]
        kinds += ["segm"] * (result.masks is not None)
        kinds += ["keypoints"] * (result.keypoints is not None)
        rows = [row for row in result.to_coco(image["id"]) if row["category_id"] in self._category]
        for row in rows:
            row["category_id"] = self._category[row["category_id"]]
        return {"image_id": image["id"], "kinds": kinds, "detections": rows}

    def summarize(self, records: Sequence[Row]) -> dict[str, float]:
        # Renumbered from 1: ids may be strings, or larger than the evaluation's integers.
        numbers = [{id_: i for i, id_ in enumerate(ids, 1)} for ids in self._ids({r["image_id"] for r in records})]
        truth = self._truth_of(*numbers)
        rows = [self._numbered(row, *numbers) for record in records for row in record["detections"]]
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

    def _ids(self, images: set[Any]) -> tuple[list[Any], list[Any]]:
        """Ids of the evaluated images and categories."""
        categories = set(self._category.values())
        return (
            [image["id"] for image in self._truth["images"] if image["id"] in images],
            [category["id"] for category in self._truth["categories"] if category["id"] in categories],
        )

    @staticmethod
    def _numbered(row: Row, images: Mapping[Any, int], categories: Mapping[Any, int]) -> Row:
        return {**row, "image_id": images[row["image_id"]], "category_id": categories[row["category_id"]]}

    def _truth_of(self, images: Mapping[Any, int], categories: Mapping[Any, int]) -> dict[str, list[Row]]:
        """The annotations of these images, of the evaluated categories. Optional fields are filled in."""
        objects: list[Row] = []
        for row in self._truth["annotations"]:
            if row["image_id"] in images and row["category_id"] in categories:
                row = {"iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3], **row}
                row["id"] = len(objects) + 1  # 0 would mean "no object"
                if "keypoints" in row:
                    row.setdefault("num_keypoints", sum(v > 0 for v in row["keypoints"][2::3]))
                objects.append(self._numbered(row, images, categories))
        shown = [image for image in self._truth["images"] if image["id"] in images]
        return {
            "images": [{**image, "id": images[image["id"]]} for image in shown],
            "categories": [{"id": number, "name": str(number)} for number in categories.values()],
            "annotations": objects,
        }

    @staticmethod
    def _lacking(truth: Mapping[str, Sequence[Row]], kind: str) -> str:
        """What the annotations lack for this kind of AP."""
        for row in truth["annotations"]:
            if not row.get(FIELDS[kind]):
                return f"annotations without {FIELDS[kind]!r}"
            if kind == "keypoints" and len(row["keypoints"]) != 3 * len(KEYPOINT_NAMES):
                return f"COCO defines it for {len(KEYPOINT_NAMES)} keypoints, not for {len(row['keypoints']) // 3}"
        if kind == "segm" and not all("height" in image and "width" in image for image in truth["images"]):
            return "the annotations do not contain the images' height and width"
        return ""

    def _average_precision(self, kind: str, truth: Row, rows: Sequence[Row]) -> dict[str, float]:
        # With a box, a mask or a set of keypoints would get the size of its box.
        own = ("image_id", "category_id", "score", FIELDS[kind])
        found = [{key: row[key] for key in own} for row in rows]
        known = self._coco(truth)
        guessed = known.loadRes(found) if found else self._coco({**truth, "annotations": []})
        scores = self._eval(known, guessed, kind, print_function=lambda *_, **__: None)
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
        endings = KEYPOINT_VALUES if kind == "keypoints" else BOX_VALUES
        values = [100 * float(value) if value >= 0 else math.nan for value in scores.stats]  # -1: no objects
        return {METRICS[kind] + ending: value for ending, value in zip(endings, values, strict=False)}


def _tools() -> tuple[Any, Any]:
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as e:
        raise MissingPlugin("COCO's average precision needs faster-coco-eval: pip install 'zoo-detection[coco]'") from e
    return COCO, COCOeval_faster


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(words[:10]) or "no names"
    return shown if len(words) <= 10 else f"{shown} and {len(words) - 10} more"
