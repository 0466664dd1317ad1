"""A CSV file with one row per object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from zoo.errors import InvalidArgument, listed
from zoo_classification.data import file_in, read_table
from zoo_detection.coco_files import Row
from zoo_detection.data.objects import Objects, four_sides, labels_from

PLACES = ("xmin", "ymin", "xmax", "ymax")


class TableObjects(Objects):
    """A CSV file with one row per object: ``path``, ``label``, ``xmin``, ``ymin``, ``xmax``, ``ymax`` in pixels. A row
    with only a path is a picture without objects.

    Args:
        path: the CSV file, or the folder of pictures.
        annotations: the CSV file, if ``path`` is the folder.
        categories: as :class:`CocoObjects`; by default the labels that occur, sorted.

    Raises:
        InvalidArgument: lines are invalid; the message lists them.
    """

    def __init__(self, path: Path, annotations: Path | None = None, *, categories: Sequence[str] | None = None) -> None:
        file = Path(annotations or path)
        folder = Path(path) if annotations is not None else file.parent
        problems: list[str] = []
        of: dict[str, list[Row]] = {}
        for n, row in read_table(file, ("path", "label", *PLACES)):
            texts = [row[side] for side in PLACES]
            box = four_sides(texts)
            if row["path"] not in of and not file_in(folder, row["path"]).is_file():
                problems.append(f"line {n}: the file {str(folder / row['path'])!r} does not exist")
            rows = of.setdefault(row["path"], [])
            if not row["label"] and not any(texts):
                continue
            if box is None or not row["label"]:
                problems.append(f"line {n}: label {row['label']!r}, box {texts}")
            else:
                rows.append({"name": row["label"], "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]})
        if problems or not of:
            raise InvalidArgument(listed(f"{str(file)!r} cannot be used:", problems or ["it has no rows"]))
        known, label = labels_from(sorted({row["name"] for rows in of.values() for row in rows}), categories)
        for item in (item for rows in of.values() for item in rows):
            item["category_id"] = label[item.pop("name")]
        names = [PureWindowsPath(name).as_posix() for name in of]
        super().__init__([file_in(folder, name) for name in of], names, [*of.values()], known)

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether ``path`` or ``annotations`` is a CSV file."""
        return Path(annotations or path).suffix.lower() in (".csv", ".tsv")
