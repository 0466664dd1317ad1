"""Pascal VOC's format: one XML file per picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import InvalidArgument, listed
from zoo.io import find_files
from zoo_detection.coco_files import Row
from zoo_detection.data.objects import Objects, four_sides, labels_from, pictures_in

PLACES = ("xmin", "ymin", "xmax", "ymax")


class VocObjects(Objects):
    """Pascal VOC's format (`The Pascal Visual Object Classes Challenge <https://doi.org/10.1007/s11263-009-0275-4>`_):
    one XML file per picture. Pixel coordinates start at 1 and include the last pixel: a box is read as ``xmin - 1, ymin
    - 1, xmax, ymax``. Difficult objects get ``iscrowd``.

    Args:
        path: the folder that contains ``JPEGImages`` and ``Annotations``; or the folder of pictures.
        annotations: the folder of XML files, if ``path`` is the folder of pictures; by default ``path`` itself.
        categories: as :class:`CocoObjects`; by default the names that occur, sorted.

    Raises:
        InvalidArgument: files are invalid; the message lists them.
    """

    def __init__(self, path: Path, annotations: Path | None = None, *, categories: Sequence[str] | None = None) -> None:
        path = Path(path)
        images = path / "JPEGImages" if (path / "JPEGImages").is_dir() else path
        truth = Path(annotations) if annotations is not None else path / "Annotations"
        truth = truth if truth.is_dir() else path
        problems: list[str] = []
        paths, names, found = [], [], []
        pictures = pictures_in(images, problems)
        for file in find_files(truth, (".xml",), notes=[]):
            stem = file.relative_to(truth).with_suffix("").as_posix()
            try:
                name, rows = _read_voc(file)
            except InvalidArgument as e:
                problems.append(str(e))
                continue
            # the file's own name first: copies keep the file_name of the original
            picture = pictures.get(stem) or (images / name if name and (images / name).is_file() else None)
            if picture is None:
                problems.append(f"{str(file)!r}: no picture {stem!r} in {str(images)!r}")
                continue
            paths.append(picture)
            names.append(picture.relative_to(images).as_posix())
            found.append(rows)
        if problems or not paths:
            none = [f"no XML files in {str(truth)!r}"]
            raise InvalidArgument(listed(f"{str(path)!r} cannot be used as Pascal VOC:", problems or none))
        known, label = labels_from(sorted({row["name"] for rows in found for row in rows}), categories)
        for row in (row for rows in found for row in rows):
            row["category_id"] = label[row.pop("name")]
        super().__init__(paths, names, found, known)

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether XML files are found."""
        folder = annotations or (path / "Annotations" if (path / "Annotations").is_dir() else path)
        return folder.is_dir() and any(f.suffix.lower() == ".xml" for f in folder.iterdir())


def _read_voc(file: Path) -> tuple[str, list[Row]]:
    try:
        content = file.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise InvalidArgument(f"{str(file)!r}: it declares entities, which are not supported")
        root = ET.fromstring(content)
    except (OSError, ET.ParseError) as e:
        raise InvalidArgument(f"{str(file)!r}: {e}") from e
    rows: list[Row] = []
    for n, item in enumerate(root.iter("object"), 1):
        name = (item.findtext("name") or "").strip()
        texts = [(item.findtext(f"bndbox/{side}") or "").strip() for side in PLACES]
        box = four_sides(texts)
        if not name or box is None:
            raise InvalidArgument(f"{str(file)!r}: object {n} has name {name!r} and box {texts}")
        left, top, right, bottom = box[0] - 1, box[1] - 1, box[2], box[3]
        difficult = (item.findtext("difficult") or "0").strip() == "1"
        rows.append({"name": name, "bbox": [left, top, right - left, bottom - top], "iscrowd": int(difficult)})
    return (root.findtext("filename") or "").strip(), rows
