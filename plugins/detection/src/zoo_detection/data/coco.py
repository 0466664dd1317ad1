"""COCO's format: a JSON file for all pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.errors import InvalidArgument, listed
from zoo_detection.coco_files import Row, read_coco
from zoo_detection.data.objects import Objects, labels_from


class CocoObjects(Objects):
    """COCO's format (`Microsoft COCO <https://arxiv.org/abs/1405.0312>`_): boxes, and masks and keypoints where all
    objects have them. Masks are outlines or run lengths.

    Args:
        path: the folder in which each ``file_name`` lies.
        annotations: the JSON file; by default ``_annotations.coco.json`` or ``annotations.json`` in ``path``.
        categories: names of all labels from the background on; by default those of the file, in its order.
        check_files: whether every picture must be there.

    Raises:
        InvalidArgument: a file of another format, with all that is wrong in it; pictures that are missing.
        UnreadableFile: the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        annotations: Path | None = None,
        *,
        categories: Sequence[str] | None = None,
        check_files: bool = True,
    ) -> None:
        path = Path(path)
        annotations = Path(annotations) if annotations is not None else _coco_beside(path)
        if annotations is None or annotations.is_dir():
            given = "none were given" if annotations is None else f"{str(annotations)!r} is a folder"
            raise InvalidArgument(f"annotations: expected a JSON file of COCO's format; {given}.")
        self._truth = read_coco(annotations)
        images = self._truth["images"]
        for name, n in Counter(image["file_name"] for image in images).items():
            if n > 1:
                raise InvalidArgument(f"{str(annotations)!r} lists the image {name!r} {n} times; expected once.")
        missing = [repr(image["file_name"]) for image in images if not (path / image["file_name"]).is_file()]
        if missing and len(missing) == len(images):
            raise InvalidArgument(f"{str(path)!r} has none of the annotated images, such as {missing[0]}.")
        if missing and check_files:
            raise InvalidArgument(listed(f"{len(missing)} annotated images are not in {str(path)!r}:", missing))
        named = {row["id"]: row["name"] for row in self._truth["categories"]}
        names, label = labels_from(list(named.values()), categories)
        of: dict[Any, list[Row]] = {image["id"]: [] for image in images}
        for row in self._truth["annotations"]:
            of[row["image_id"]].append({**row, "category_id": label[named[row["category_id"]]]})
        super().__init__(
            [path / image["file_name"] for image in images],
            [Path(image["file_name"]).as_posix() for image in images],
            [of[image["id"]] for image in images],
            names,
        )
        self._sizes = [
            (int(image["height"]), int(image["width"])) if "height" in image and "width" in image else None
            for image in images
        ]
        rows = self._truth["annotations"]
        with_masks = sum(bool(row.get("segmentation")) for row in rows)
        self.masks = bool(rows) and with_masks == len(rows)
        if 0 < with_masks < len(rows):
            self.notes.append(f"{len(rows) - with_masks} of {len(rows)} objects have no mask, so none are given.")
        lengths = {len(row["keypoints"]) // 3 for row in rows if row.get("keypoints")}
        if len(lengths) > 1:
            raise InvalidArgument(
                f"{str(annotations)!r} has objects of {sorted(lengths)} keypoints; expected one number."
            )
        self.keypoints = lengths.pop() if lengths else 0
        self._all = len(images)

    def to_coco(self) -> dict[str, list[Row]]:
        """What the file holds: its own ids, of the pictures that are selected."""
        if len(self.names) == self._all:
            return self._truth
        kept = set(self.names)
        images = [image for image in self._truth["images"] if Path(image["file_name"]).as_posix() in kept]
        ids = {image["id"] for image in images}
        objects = [row for row in self._truth["annotations"] if row["image_id"] in ids]
        return {"images": images, "categories": self._truth["categories"], "annotations": objects}

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether there is a JSON file."""
        return (annotations or _coco_beside(path) or path).suffix.lower() == ".json"


def _coco_beside(path: Path) -> Path | None:
    return next((f for n in ("_annotations.coco.json", "annotations.json") if (f := path / n).is_file()), None)
