"""COCO's format: one JSON file for all pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.errors import InvalidArgument, listed
from zoo_classification.data import file_in
from zoo_detection.coco_files import Row, read_coco
from zoo_detection.data.objects import Objects, labels_from


class CocoObjects(Objects):
    """COCO's format (`Microsoft COCO <https://arxiv.org/abs/1405.0312>`_): boxes, and masks and keypoints if all
    objects have them. Masks are outlines or run lengths.

    Args:
        path: the folder that contains each ``file_name``.
        annotations: the JSON file, or a folder that contains it; by default :func:`find_annotations` of ``path``.
        categories: names of all labels, starting with the background; by default those of the file, in its order.
        check_files: whether every picture must exist.

    Raises:
        InvalidArgument: the file has another format (the message lists the problems), or pictures are missing.
        UnreadableFile: the file cannot be read.
    """

    kinds: Sequence[str] = ("instances",)  # prefixes of the names of COCO's files

    def __init__(
        self,
        path: Path,
        annotations: Path | None = None,
        *,
        categories: Sequence[str] | None = None,
        check_files: bool = True,
    ) -> None:
        path, given = Path(path), annotations
        annotations = find_annotations(path, given, self.kinds)
        if annotations is None:
            why = "none were given" if given is None else f"{str(given)!r} is a folder without one for {path.name!r}"
            raise InvalidArgument(f"annotations: expected a JSON file in COCO's format; {why}.")
        self._truth = read_coco(annotations)
        images = self._truth["images"]
        path = _folder_of(images, path, annotations)
        for name, n in Counter(image["file_name"] for image in images).items():
            if n > 1:
                raise InvalidArgument(f"{str(annotations)!r} lists the image {name!r} {n} times; expected once.")
        missing = [repr(image["file_name"]) for image in images if not file_in(path, image["file_name"]).is_file()]
        if missing and len(missing) == len(images):
            raise InvalidArgument(f"{str(path)!r} contains none of the annotated images, such as {missing[0]}.")
        if missing and check_files:
            raise InvalidArgument(listed(f"{len(missing)} annotated images are not in {str(path)!r}:", missing))
        named = {row["id"]: row["name"] for row in self._truth["categories"]}
        names, label = labels_from(list(named.values()), categories)
        of: dict[Any, list[Row]] = {image["id"]: [] for image in images}
        for row in self._truth["annotations"]:
            of[row["image_id"]].append({**row, "category_id": label[named[row["category_id"]]]})
        super().__init__(
            [file_in(path, image["file_name"]) for image in images],
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
            self.notes.append(f"{len(rows) - with_masks} of {len(rows)} objects have no mask, so masks are not used.")
        lengths = {len(row["keypoints"]) // 3 for row in rows if row.get("keypoints")}
        if len(lengths) > 1:
            raise InvalidArgument(
                f"{str(annotations)!r} has objects of {sorted(lengths)} keypoints; expected one number."
            )
        self.keypoints = lengths.pop() if lengths else 0
        self._all = len(images)

    def to_coco(self) -> dict[str, list[Row]]:
        """The content of the file, with its own ids, for the selected pictures."""
        if len(self.names) == self._all:
            return self._truth
        kept = set(self.names)
        images = [image for image in self._truth["images"] if Path(image["file_name"]).as_posix() in kept]
        ids = {image["id"] for image in images}
        objects = [row for row in self._truth["annotations"] if row["image_id"] in ids]
        return {"images": images, "categories": self._truth["categories"], "annotations": objects}

    @classmethod
    def matches(cls, path: Path, annotations: Path | None) -> bool:
        """Whether a JSON file is found."""
        return (find_annotations(path, annotations, cls.kinds) or path).suffix.lower() == ".json"


class CocoKeypoints(CocoObjects):
    """:class:`CocoObjects` that prefers files with keypoints."""

    kinds = ("person_keypoints", "instances")


def find_annotations(path: Path, annotations: Path | None = None, kinds: Sequence[str] = ("instances",)) -> Path | None:
    """The JSON file of a folder of pictures: ``annotations`` if it is a file; otherwise a file in the folder
    ``annotations``, or by default in ``path``, ``path/annotations`` or ``annotations`` beside ``path`` (or beside
    ``images`` above it), named as in COCO (``instances_train2017.json`` for ``train2017``) or by other programs
    (``_annotations.coco.json``, ``annotations.json``, ``train.json``). None if no such file exists."""
    path = Path(path)
    if annotations is not None and not Path(annotations).is_dir():
        return Path(annotations)
    of_folder = [*(f"{kind}_{path.name}.json" for kind in kinds), f"{path.name}.json"]
    names = ["_annotations.coco.json", "annotations.json", *(f"{kind}.json" for kind in kinds)]
    above = [path.parent, path.parent.parent] if path.parent.name == "images" else [path.parent]
    for folder in [path, path / "annotations"] if annotations is None else [Path(annotations)]:
        for name in (*of_folder, *names):
            if (file := folder / name).is_file():
                return file
        for kind in kinds:
            if len(found := sorted(folder.glob(f"{kind}_*.json"))) == 1:
                return found[0]
    beside = [folder / "annotations" / name for folder in above for name in of_folder] if annotations is None else []
    return next((file for file in beside if file.is_file()), None)


def _folder_of(images: Sequence[Row], path: Path, annotations: Path) -> Path:
    """The folder of the pictures: ``path``, or its subfolder named ``images`` or like the file."""
    called = annotations.stem.rpartition("_")[2]
    for folder in (path, path / "images", path / called, path / "images" / called):
        if images and file_in(folder, images[0]["file_name"]).is_file():
            return folder
    return path
