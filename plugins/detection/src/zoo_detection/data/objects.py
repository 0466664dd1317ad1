"""Base class of the readers of pictures with objects."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from zoo.errors import InvalidArgument, UnreadableFile, listed
from zoo.io import check_picture, find_files, load_image
from zoo_detection.coco_files import Row, mask_of, normalised

BACKGROUND = "__background__"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


class Objects(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Pictures with their objects. Label 0 is the background; the data's categories are numbered from 1, in order.

    Boxes without width or height are omitted from the targets, and a note gives their number. Objects with ``iscrowd``
    1 (COCO's crowds, VOC's difficult objects) are in the targets: training omits them, evaluation ignores them.

    Attributes:
        categories: names of the labels; the first is ``__background__``.
        names: names of the pictures.
        notes: remarks about the data.
    """

    masks = False  # whether targets have masks
    keypoints = 0  # number of keypoints per object

    def __init__(
        self, paths: Sequence[Path], names: Sequence[str], rows: Sequence[list[Row]], categories: Sequence[str]
    ) -> None:
        self.paths, self.names, self._rows = list(paths), list(names), list(rows)
        self.categories = list(categories)
        self._sizes: list[tuple[int, int] | None] = [None] * len(self.names)
        self.notes: list[str] = []
        flat = sum(min(row["bbox"][2:]) <= 0 for each in self._rows for row in each)
        if flat:
            self.notes.append(f"{flat} boxes without width or height are omitted from the targets.")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, Any]]:
        image = load_image(self.paths[i])
        size = image.shape[1], image.shape[2]
        if (told := self._sizes[i] or size) != size:
            raise InvalidArgument(
                f"{self.names[i]!r} has {size[0]} × {size[1]} pixels, but {told[0]} × {told[1]} in the annotations."
            )
        return image, self._target(i, size)

    def target(self, i: int) -> dict[str, Any]:
        """The target of a picture; its file is opened only for its size, and only if that is needed."""
        return self._target(i, None)

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of a picture, with its EXIF orientation applied."""
        if (known := self._sizes[i]) is not None:
            return known
        return check_picture(self.paths[i])

    def rows(self, i: int, size: tuple[int, int] | None = None) -> list[Row]:
        """The objects of a picture in COCO's format (``bbox`` is left, top, width, height); ``category_id`` is the
        label."""
        return self._rows[i]

    def _target(self, i: int, size: tuple[int, int] | None) -> dict[str, Any]:
        rows = [row for row in self.rows(i, size) if min(row["bbox"][2:]) > 0]
        boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float64).reshape(-1, 4)
        target: dict[str, Any] = {
            "boxes": torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).float(),
            "labels": torch.tensor([row["category_id"] for row in rows], dtype=torch.int64),
            "area": torch.tensor([row.get("area", row["bbox"][2] * row["bbox"][3]) for row in rows]).float(),
            "iscrowd": torch.tensor([row.get("iscrowd", 0) for row in rows], dtype=torch.int64),
            "image_id": i,
        }
        if self.masks:
            h, w = size or self.size(i)
            made = [mask_of(row["segmentation"], h, w) for row in rows]
            target["masks"] = torch.stack(made) if made else torch.zeros(0, h, w, dtype=torch.uint8)
        if self.keypoints:
            none = [0.0] * 3 * self.keypoints
            points = [row.get("keypoints") or none for row in rows]
            target["keypoints"] = torch.tensor(points, dtype=torch.float32).reshape(-1, self.keypoints, 3)
        return target

    def source(self, i: int) -> Path:
        """The picture's file."""
        return self.paths[i]

    def select(self, indices: Sequence[int]) -> Self:
        """A reader of these pictures only."""
        chosen = copy.copy(self)
        for name in ("paths", "names", "_rows", "_sizes"):
            setattr(chosen, name, [getattr(self, name)[i] for i in indices])
        return chosen

    def problems(self) -> list[str]:
        """Problems of the pictures, each with its location: unreadable files, sizes that differ from the annotations,
        boxes outside the picture. Notes give the number of boxes that reach beyond their picture or occur twice."""
        found: list[str] = []
        beyond: list[str] = []
        twice: list[str] = []
        for i, name in enumerate(self.names):
            try:
                size = check_picture(self.paths[i])
            except UnreadableFile as e:
                found.append(str(e))
                continue
            if (told := self._sizes[i] or size) != size:
                turned = " (rotated by its EXIF orientation)" if told == size[::-1] else ""
                shown = f"{size[1]} × {size[0]} pixels{turned}, but {told[1]} × {told[0]}"
                found.append(f"{str(self.paths[i])!r} has {shown} in the annotations")
                continue
            self._sizes[i] = size  # so that targets do not open the file again
            seen: set[tuple[Any, ...]] = set()
            for row in self.rows(i, size):
                x, y, w, h = row["bbox"]
                text = f"{[round(v, 1) for v in row['bbox']]} of {self.categories[row['category_id']]!r} in {name!r}"
                if x >= size[1] or y >= size[0] or x + w < 0 or y + h < 0:
                    found.append(f"the box {text} is outside its {size[1]} × {size[0]} pixels")
                elif min(x, y) < -1 or x + w > size[1] + 1 or y + h > size[0] + 1:
                    beyond.append(text)
                place = (row["category_id"], *row["bbox"])
                twice += [text] if place in seen else []
                seen.add(place)
        for what, texts in (("reach beyond their picture", beyond), ("occur twice", twice)):
            if texts:
                self.notes.append(f"{len(texts)} boxes {what}, such as {texts[0]}.")
        return found

    def truth(self, i: int) -> Any:
        """The ground truth of a picture in JSON form."""
        return self._rows[i]

    def labels_of(self, i: int) -> list[int]:
        """The labels of a picture's objects."""
        return [row["category_id"] for row in self._rows[i]]

    def counts(self) -> dict[str, int]:
        """Category → number of its objects."""
        found = Counter(row["category_id"] for rows in self._rows for row in rows)
        return {name: found[label] for label, name in enumerate(self.categories) if label}

    def to_coco(self) -> dict[str, list[Row]]:
        """The data in COCO's annotation format; an image's id is its name, a category's id its label."""
        images, objects = [], []
        for i, name in enumerate(self.names):
            size = self.size(i) if self.paths[i].is_file() else None
            images.append({"id": name, "file_name": name} | ({"height": size[0], "width": size[1]} if size else {}))
            objects += [{**row, "image_id": name} for row in (self.rows(i, size) if size else ())]
        categories = [{"id": label, "name": name} for label, name in enumerate(self.categories) if label]
        return {"images": images, "categories": categories, "annotations": objects}


def labels_from(found: Sequence[str], categories: Sequence[str] | None) -> tuple[list[str], dict[str, int]]:
    """All categories, and name → label; ``categories``, if given, define the order."""
    names = [BACKGROUND, *found] if categories is None else list(categories)
    label = {normalised(name): i for i, name in enumerate(names) if i}
    if unknown := [repr(name) for name in found if normalised(name) not in label]:
        raise InvalidArgument(
            listed(f"Categories of the data that are not among the {len(names) - 1} expected:", unknown)
        )
    return names, {name: label[normalised(name)] for name in found}


def pictures_in(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Path within the folder, without its suffix → the picture; duplicate names are added to ``problems``."""
    found: dict[str, Path] = {}
    for file in find_files(folder, PICTURES, notes=[]) if folder.is_dir() else ():
        name = file.relative_to(folder).with_suffix("").as_posix()
        if (other := found.setdefault(name, file)) is not file:
            problems.append(f"{str(file)!r} and {str(other)!r} have the same name; expected only one of them")
    return found


def four_sides(texts: Sequence[str]) -> list[float] | None:
    """Four finite numbers, the last two not below the first two; otherwise None."""
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        return None
    return [x1, y1, x2, y2] if -1e9 < x1 <= x2 < 1e9 and -1e9 < y1 <= y2 < 1e9 else None
