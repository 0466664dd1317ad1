"""COCO's average precision for ``zoo evaluate``: of boxes, and of masks and keypoints where the model gives them."""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from zoo import Weights
from zoo.errors import InvalidArgument, MissingPlugin, UnreadableFile
from zoo.transforms.functional import get_dimensions
from zoo_detection.coco import KEYPOINT_NAMES
from zoo_detection.task import Detection

METRICS = {"bbox": "box_map", "segm": "mask_map", "keypoints": "kp_map"}  # COCO's name of a kind → ours of its AP
FIELDS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}  # where annotations and results hold it
# What COCO's evaluation computes of each kind, in its order; keypoints are not told apart by "small".
BOX_VALUES = ("", "_50", "_75", "_small", "_medium", "_large")
KEYPOINT_VALUES = ("", "_50", "_75", "_medium", "_large")
# What the rows of an annotation file have at least.
NEEDED = {
    "images": ("id", "file_name"),
    "categories": ("id", "name"),
    "annotations": ("image_id", "category_id", "bbox"),
}

MAX_DETECTIONS = 100  # of a picture, that COCO counts; of keypoints 20
LARGEST = 1e9  # pixels

Row = dict[str, Any]


class CocoEvaluator:
    """Average precision as COCO defines it (`Microsoft COCO <https://arxiv.org/abs/1405.0312>`_), by faster-coco-eval.

    ``box_map`` is the mean over IoU from 0.5 to 0.95, categories and recalls, in percent; ``_50`` and ``_75`` are at
    one IoU, ``_small``, ``_medium`` and ``_large`` of objects below 32², below 96², and from 96² pixels. There are
    ``mask_map`` and ``kp_map`` where the model gives masks or COCO's 17 keypoints, and the annotations have them.

    Args:
        images: the folder in which the ``file_name`` of each annotated image lies.
        annotations: a JSON file of COCO's format: ``images`` (``id``, ``file_name``; ``height`` and ``width`` for
            masks), ``categories`` (``id``, ``name``), and ``annotations`` (``image_id``, ``category_id``, ``bbox`` as
            left, top, width, height in pixels; and ``segmentation``, ``keypoints``, ``iscrowd``, ``area`` if they
            have them; null is as if absent). Every image in it is predicted on.
        weights: their categories are matched with those of the annotations by name, or, where no name agrees, by id.

    Raises:
        InvalidArgument: a file of another format, with the first thing that is wrong in it; or whose categories are not
            the model's.
        UnreadableFile: it cannot be read.
        MissingPlugin: faster-coco-eval is not installed.
    """

    def __init__(self, images: Path, annotations: Path | None, weights: Weights) -> None:
        if annotations is None or annotations.is_dir():
            given = "none were given" if annotations is None else f"{str(annotations)!r} is a folder"
            raise InvalidArgument(f"annotations: expected a JSON file of COCO's format; {given}.")
        self._coco, self._eval = _tools()
        self.protocol = {"max_detections": MAX_DETECTIONS}
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
        label_of = {_normalised(name): label for label, name in reversed([*enumerate(names)])}
        matched = {label_of[n]: id_ for id_, name in known.items() if (n := _normalised(name)) in label_of}
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
        # Numbered anew, from 1: ids may be texts, or larger than what is counted with.
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
        """Those of the images that count, and of the categories."""
        categories = set(self._category.values())
        return (
            [image["id"] for image in self._truth["images"] if image["id"] in images],
            [category["id"] for category in self._truth["categories"] if category["id"] in categories],
        )

    @staticmethod
    def _numbered(row: Row, images: Mapping[Any, int], categories: Mapping[Any, int]) -> Row:
        return {**row, "image_id": images[row["image_id"]], "category_id": categories[row["category_id"]]}

    def _truth_of(self, images: Mapping[Any, int], categories: Mapping[Any, int]) -> dict[str, list[Row]]:
        """What is annotated on these images, of the categories that count. Filled up where the format is lenient."""
        objects: list[Row] = []
        for row in self._truth["annotations"]:
            if row["image_id"] in images and row["category_id"] in categories:
                row = {"iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3], **row}
                row["id"] = len(objects) + 1  # 0 would be taken for "no object"
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
        # With its box, an object that is a mask or a set of keypoints would be taken for one as large.
        own = ("image_id", "category_id", "score", FIELDS[kind])
        found = [{key: row[key] for key in own} for row in rows]
        known = self._coco(truth)
        guessed = known.loadRes(found) if found else self._coco({**truth, "annotations": []})
        scores = self._eval(known, guessed, kind, print_function=lambda *_, **__: None)
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
        endings = KEYPOINT_VALUES if kind == "keypoints" else BOX_VALUES
        values = [100 * float(value) if value >= 0 else math.nan for value in scores.stats]  # -1: there are no objects
        return {METRICS[kind] + ending: value for ending, value in zip(endings, values, strict=False)}


def _tools() -> tuple[Any, Any]:
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as e:
        raise MissingPlugin("COCO's average precision needs faster-coco-eval: pip install 'zoo-detection[coco]'") from e
    return COCO, COCOeval_faster


def _read(path: Path) -> dict[str, list[Row]]:
    """A file of COCO's format, checked as far as it is used; what is null is left out."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as e:
        raise UnreadableFile(f"{str(path)!r} cannot be read: {e.strerror or e}.") from e
    except RecursionError as e:
        raise UnreadableFile(f"{str(path)!r} is nested too deeply for COCO's annotation format.") from e
    except ValueError as e:
        raise UnreadableFile(f"{str(path)!r} is no JSON: {e}.") from e
    try:
        return _checked(content)
    except _Problem as e:
        raise InvalidArgument(f"{str(path)!r} is not of COCO's annotation format: {e}.") from e


class _Problem(Exception):
    """What is wrong with a file."""


def _checked(content: Any) -> dict[str, list[Row]]:
    if not isinstance(content, dict):
        raise _Problem(f"it holds {type(content).__name__}; expected an object")
    rows: dict[str, list[Row]] = {}
    for key, parts in NEEDED.items():
        given = content.get(key)
        if not isinstance(given, list):
            raise _Problem(f"it has no list {key!r}")
        rows[key] = [{k: v for k, v in row.items() if v is not None} if isinstance(row, dict) else {} for row in given]
        for i, row in enumerate(rows[key]):
            for part in parts:
                if part not in row:
                    raise _Problem(f"{key}[{i}] has no {part!r}" + _named(row))
            for name in ("id", "image_id", "category_id"):
                if not _is_id(row.get(name, 0)):
                    kind = f"has the {name} {_short(row[name])}; expected a whole number or a text"
                    raise _Problem(f"{key}[{i}] {kind}{_named(row)}")
        _refuse_twice([row["id"] for row in rows[key] if "id" in row], f"{key} have the id")
    for i, row in enumerate(rows["images"]):
        for problem in _problems_of_image(row):
            raise _Problem(f"images[{i}] {problem}" + _named(row))
    for row in rows["categories"]:
        row["name"] = str(row["name"])
    _refuse_twice([_normalised(row["name"]) for row in rows["categories"]], "categories have the name")
    images = {row["id"]: row for row in rows["images"]}
    categories = {row["id"] for row in rows["categories"]}
    for i, row in enumerate(rows["annotations"]):
        for problem in _problems_of_object(row, images, categories):
            raise _Problem(f"annotations[{i}] {problem}" + _named(row))
    return rows


def _problems_of_image(row: Row) -> Iterator[str]:
    name = row["file_name"]
    if not isinstance(name, str) or not name or "\0" in name:
        yield f"has the file_name {_short(name)}; expected the path of a file in the folder of images"
    elif Path(name).is_absolute() or PureWindowsPath(name).anchor or ".." in PureWindowsPath(name).parts:
        yield f"has the file_name {_short(name)}, which may lead elsewhere; expected a path in the folder of images"
    for side in ("height", "width"):
        if not _is_number(size := row.get(side, 1)) or size < 1 or size != int(size):
            yield f"has the {side} {_short(size)}; expected a whole number of pixels"


def _problems_of_object(row: Row, images: Mapping[Any, Row], categories: set[Any]) -> Iterator[str]:
    if row["image_id"] not in images:
        yield f"is of the image {_short(row['image_id'])}, which is not listed"
    if row["category_id"] not in categories:
        yield f"is of the category {_short(row['category_id'])}, which is not listed"
    box = row["bbox"]
    if not (_are_numbers(box) and len(box) == 4 and box[2] >= 0 and box[3] >= 0):
        yield f"has the bbox {_short(box)}; expected [left, top, width, height]"
    if not _is_number(area := row.get("area", 0), LARGEST**2) or area < 0:
        yield f"has the area {_short(area)}; expected a number of pixels"
    if row.get("iscrowd", 0) not in (0, 1):
        yield f"has the iscrowd {_short(row['iscrowd'])}; expected 0 or 1"
    points = row.get("keypoints", [])
    if not _are_numbers(points) or len(points) % 3:
        yield f"has the keypoints {_short(points)}; expected x, y and visibility of each, in one list"
    elif (
        "num_keypoints" in row and points and not (_is_number(n := row["num_keypoints"]) and 0 <= n <= len(points) // 3)
    ):
        yield f"has the num_keypoints {_short(row['num_keypoints'])}; it has {len(points) // 3} keypoints"
    yield from _problems_of_mask(row.get("segmentation", []), images[row["image_id"]])


def _problems_of_mask(mask: Any, image: Row) -> Iterator[str]:
    if isinstance(mask, dict):
        size: Any = mask.get("size")
        counts: Any = mask.get("counts")
        if not (_are_numbers(size) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)):
            yield f"has a segmentation of size {_short(size)}; expected [height, width]"
        elif size != [image.get("height", size[0]), image.get("width", size[1])]:
            yield f"has a segmentation of size {size}; its image has {[image.get('height'), image.get('width')]}"
        elif isinstance(counts, list):
            if not all(isinstance(n, int) and n >= 0 for n in counts) or sum(counts) != size[0] * size[1]:
                yield f"has the run lengths {_short(counts)}; expected whole numbers that add up to {size[0] * size[1]}"
        elif not isinstance(counts, str) or (there := _pixels(counts)) != size[0] * size[1]:
            yield f"has the run lengths {_short(counts)}, of {there if isinstance(counts, str) else 'no'} pixels"
    elif not isinstance(mask, list) or not all(_are_numbers(outline) for outline in mask):
        yield f"has the segmentation {_short(mask)}; expected outlines, [[x1, y1, x2, y2, …], …], or run lengths"
    else:
        for outline in mask:
            if len(outline) < 6 or len(outline) % 2:
                yield f"has an outline of {len(outline)} numbers; expected x and y of three points or more"


def _pixels(text: str) -> int | None:
    """How many pixels run lengths in COCO's compressed form are of; None where they are none."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (1 << shift) if bits & 16 else 0
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return sum(counts) if not shift and all(n >= 0 for n in counts) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_number(value: Any, largest: float = LARGEST) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= largest  # NaN is not


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(map(_is_number, values))


def _refuse_twice(values: Sequence[Any], what: str) -> None:
    twice = [(value, n) for value, n in Counter(values).items() if n > 1]
    if twice:
        raise _Problem(f"{twice[0][1]} {what} {_short(twice[0][0])}; expected one")


def _named(row: Row) -> str:
    return f" (its id is {_short(row['id'])})" if "id" in row else ""


def _short(value: Any) -> str:
    return reprlib.repr(value)


def _normalised(name: str) -> str:
    return name.strip().casefold()


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(words[:10]) or "no names"
    return shown if len(words) <= 10 else f"{shown} and {len(words) - 10} more"
