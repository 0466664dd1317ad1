"""COCO's annotation files: read and checked, and their masks as pixels."""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InvalidArgument, UnreadableFile, listed

# The keys that each row of an annotation file must have.
NEEDED = {
    "images": ("id", "file_name"),
    "categories": ("id", "name"),
    "annotations": ("image_id", "category_id", "bbox"),
}

LARGEST = 1e9  # pixels

Row = dict[str, Any]


def read_coco(path: Path) -> dict[str, list[Row]]:
    """Read a file in COCO's format and check the parts that are used; null values are omitted."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as e:
        raise UnreadableFile(f"{str(path)!r} cannot be read: {e.strerror or e}.") from e
    except RecursionError as e:
        raise UnreadableFile(f"{str(path)!r} is nested too deeply for COCO's annotation format.") from e
    except ValueError as e:
        raise UnreadableFile(f"{str(path)!r} is not JSON: {e}.") from e
    try:
        return _checked(content)
    except _Problems as e:
        raise InvalidArgument(listed(f"{str(path)!r} is not in COCO's annotation format:", e.args[0])) from e


class _Problems(Exception):
    """A list of a file's problems."""


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise _Problems(problems)


def _checked(content: Any) -> dict[str, list[Row]]:
    if not isinstance(content, dict):
        raise _Problems([f"it contains a {type(content).__name__}; expected an object"])
    rows: dict[str, list[Row]] = {}
    wrong: list[str] = []
    for key, parts in NEEDED.items():
        given = content.get(key)
        if not isinstance(given, list):
            wrong.append(f"it has no list {key!r}")
            continue
        rows[key] = [{k: v for k, v in row.items() if v is not None} if isinstance(row, dict) else {} for row in given]
        for i, row in enumerate(rows[key]):
            for part in parts:
                if part not in row:
                    wrong.append(f"{key}[{i}] has no {part!r}" + _named(row))
            for name in ("id", "image_id", "category_id"):
                if not _is_id(row.get(name, 0)):
                    kind = f"has the {name} {_short(row[name])}; expected a whole number or a string"
                    wrong.append(f"{key}[{i}] {kind}{_named(row)}")
        ids = [row["id"] for row in rows[key] if _is_id(row.get("id"))]
        wrong += _twice(ids, f"{key} have the id")
    _refuse(wrong)  # the following checks rely on these
    for i, row in enumerate(rows["images"]):
        wrong += [f"images[{i}] {problem}" + _named(row) for problem in _problems_of_image(row)]
    for row in rows["categories"]:
        row["name"] = str(row["name"])
    wrong += _twice([normalised(row["name"]) for row in rows["categories"]], "categories have the name")
    images = {row["id"]: row for row in rows["images"]}
    categories = {row["id"] for row in rows["categories"]}
    for i, row in enumerate(rows["annotations"]):
        wrong += [
            f"annotations[{i}] {problem}" + _named(row) for problem in _problems_of_object(row, images, categories)
        ]
    _refuse(wrong)
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
        yield f"refers to the image {_short(row['image_id'])}, which is not listed"
    if row["category_id"] not in categories:
        yield f"refers to the category {_short(row['category_id'])}, which is not listed"
    box = row["bbox"]
    if not (_are_numbers(box) and len(box) == 4 and box[2] >= 0 and box[3] >= 0):
        yield f"has the bbox {_short(box)}; expected [left, top, width, height]"
    if not _is_number(area := row.get("area", 0), LARGEST**2) or area < 0:
        yield f"has the area {_short(area)}; expected a number of pixels"
    if row.get("iscrowd", 0) not in (0, 1):
        yield f"has the iscrowd {_short(row['iscrowd'])}; expected 0 or 1"
    points = row.get("keypoints", [])
    if not _are_numbers(points) or len(points) % 3:
        yield f"has the keypoints {_short(points)}; expected x, y and visibility of each keypoint, in one list"
    elif (
        "num_keypoints" in row and points and not (_is_number(n := row["num_keypoints"]) and 0 <= n <= len(points) // 3)
    ):
        yield f"has the num_keypoints {_short(row['num_keypoints'])}; it has {len(points) // 3} keypoints"
    yield from _problems_of_mask(row.get("segmentation", []), images.get(row["image_id"], {}))


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
        elif not isinstance(counts, str) or (there := _total(counts)) != size[0] * size[1]:
            yield f"has the run lengths {_short(counts)}, of {there if isinstance(counts, str) else 'no'} pixels"
    elif not isinstance(mask, list) or not all(_are_numbers(outline) for outline in mask):
        yield f"has the segmentation {_short(mask)}; expected outlines, [[x1, y1, x2, y2, …], …], or run lengths"
    else:
        for outline in mask:
            if len(outline) < 6 or len(outline) % 2:
                yield f"has an outline of {len(outline)} numbers; expected x and y of three points or more"


def run_lengths_of(text: str) -> list[int] | None:
    """Decode run lengths in COCO's compressed form; None if the text is invalid."""
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
    return counts if not shift and all(n >= 0 for n in counts) else None


def _total(text: str) -> int | None:
    counts = run_lengths_of(text)
    return None if counts is None else sum(counts)


def mask_of(segmentation: Any, height: int, width: int) -> Tensor:
    """The mask, uint8 [H, W], of a checked ``segmentation``: run lengths, or outlines, which contain the pixels whose
    centre is inside."""
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        runs: list[int] = (run_lengths_of(counts) or []) if isinstance(counts, str) else counts
        values = np.arange(len(runs)) % 2
        return torch.from_numpy(np.repeat(values.astype(np.uint8), runs).reshape(width, height).T.copy())
    mask = np.zeros((height, width), bool)
    for outline in segmentation:
        points = np.asarray(outline, np.float64).reshape(-1, 2)
        crossed = np.zeros((height, width + 1), np.uint8)
        for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, 0), strict=True):
            top, bottom = sorted((y1, y2))
            # Rows whose centre line the edge crosses, and the first column whose centre is to the right of it.
            ys = np.arange(max(0, math.ceil(top - 0.5)), min(height, math.ceil(bottom - 0.5)))
            if len(ys):
                xs = x1 + (ys + 0.5 - y1) * (x2 - x1) / (y2 - y1)
                crossed[ys, np.clip(np.ceil(xs - 0.5), 0, width).astype(int)] ^= 1
        mask |= np.cumsum(crossed, 1)[:, :width] % 2 == 1
    return torch.from_numpy(mask.astype(np.uint8))


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_number(value: Any, largest: float = LARGEST) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= largest  # False for NaN


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(map(_is_number, values))


def _twice(values: Sequence[Any], what: str) -> list[str]:
    return [f"{n} {what} {_short(value)}; expected one" for value, n in Counter(values).items() if n > 1]


def _named(row: Row) -> str:
    return f" (its id is {_short(row['id'])})" if "id" in row else ""


def _short(value: Any) -> str:
    return reprlib.repr(value)


def normalised(name: str) -> str:
    """The form in which category names are compared."""
    return name.strip().casefold()
