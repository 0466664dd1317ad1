"""YOLO's format: one text file per picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import InvalidArgument, listed
from zoo.io import find_files
from zoo_detection.coco_files import Row
from zoo_detection.data.objects import Objects, labels_from, pictures_in


class YoloObjects(Objects):
    """YOLO's text files: ``labels/NAME.txt`` for ``images/NAME.jpg``, one line per object: class (from 0), and centre,
    width and height as fractions of the picture; or the class and an outline of at least three points, x and y
    alternating. A picture without a file, or with an empty one, has no objects.

    The names are in ``data.yaml`` (``names:``) or ``classes.txt``, in the folder or up to three levels above it.

    Args:
        path: a folder with ``images`` and ``labels`` (also ``images/train`` and ``labels/train``: pass the former), or
            one that contains both kinds of files.
        annotations: the folder of text files, if it is a different one.
        categories: as :class:`CocoObjects`.

    Raises:
        InvalidArgument: lines are invalid; the message lists them.
    """

    def __init__(self, path: Path, annotations: Path | None = None, *, categories: Sequence[str] | None = None) -> None:
        path = Path(path)
        images = path / "images" if (path / "images").is_dir() else path
        labels = Path(annotations) if annotations is not None else _labels_folder(images)
        found = _yolo_names(path)
        problems: list[str] = []
        pictures = pictures_in(images, problems)
        texts = {f.relative_to(labels).with_suffix("").as_posix(): f for f in find_files(labels, (".txt",), notes=[])}
        texts = {name: file for name, file in texts.items() if name in pictures or file.name != "classes.txt"}
        for name in texts.keys() - pictures.keys():
            problems.append(f"{str(texts[name])!r}: no picture {name!r} in {str(images)!r}")
        rows = [_read_yolo(texts[name], problems) if name in texts else [] for name in pictures]
        used = max((row["class"] for each in rows for row in each), default=-1)
        if found is None:
            found = [str(i) for i in range(used + 1)]
        for name, each in zip(pictures, rows, strict=True):
            for row in each:
                if row["class"] >= len(found):
                    text = f"class {row['class']}; there are {len(found)} names"
                    problems.append(f"{str(texts[name])!r}, line {row['line']}: {text}")
        if problems or not pictures or not texts:
            none = [f"{len(pictures)} pictures in {str(images)!r}, {len(texts)} text files in {str(labels)!r}"]
            raise InvalidArgument(listed(f"{str(path)!r} cannot be used as YOLO's format:", problems or none))
        known, label = labels_from(found, categories)
        for row in (row for each in rows for row in each):
            row["category_id"] = label[found[row.pop("class")]]
            del row["line"]
        self.masks = any(rows) and all("segmentation" in row for each in rows for row in each)
        super().__init__(
            [*pictures.values()], [p.relative_to(images).as_posix() for p in pictures.values()], rows, known
        )

    def rows(self, i: int, size: tuple[int, int] | None = None) -> list[Row]:
        if not self._rows[i]:
            return []
        h, w = size or self.size(i)
        scaled = []
        for row in self._rows[i]:
            x, y, width, height = row["bbox"]
            new = {**row, "bbox": [x * w, y * h, width * w, height * h]}
            if "segmentation" in row:
                new["segmentation"] = [[v * (h if k % 2 else w) for k, v in enumerate(o)] for o in row["segmentation"]]
            scaled.append(new)
        return scaled

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether text files for pictures are found."""
        images = path / "images" if (path / "images").is_dir() else path
        if not images.is_dir():
            return False
        labels = annotations or _labels_folder(images)
        return labels.is_dir() and any(f.name != "classes.txt" for f in find_files(labels, (".txt",), notes=[]))


def _labels_folder(images: Path) -> Path:
    """The folder of labels: the path with its last ``images`` replaced by ``labels``, if it contains ``images``."""
    parts = list(images.absolute().parts)
    if "images" in parts:
        at = len(parts) - 1 - parts[::-1].index("images")
        other = Path(*parts[:at], "labels", *parts[at + 1 :])
        if other.is_dir():
            return other
    return images


def _yolo_names(path: Path) -> list[str] | None:
    for folder in [path, *list(path.absolute().parents)[:3]]:
        if (file := folder / "classes.txt").is_file():
            return [line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
        for name in ("data.yaml", "data.yml", "dataset.yaml"):
            if (file := folder / name).is_file():
                return _names_of_yaml(file)
    return None


def _names_of_yaml(file: Path) -> list[str]:
    """``names`` of a ``data.yaml``: a list in brackets, over lines with ``-``, or numbers with names."""
    lines = [re.sub(r"\s#.*", "", line).rstrip() for line in file.read_text("utf-8-sig").splitlines()]
    at = next((i for i, line in enumerate(lines) if line.startswith("names:")), None)
    names: list[str] = []
    if at is not None:
        text = lines[at].removeprefix("names:").strip()
        block = lines[at + 1 :]
        if text.startswith(("[", "{")):
            text = " ".join([text, *block]).partition("]" if text[0] == "[" else "}")[0][1:]
            block = [part for part in re.findall(r"""\s*("[^"]*"|'[^']*'|[^,]+)""", text) if part.strip()]
        else:
            end = next((i for i, line in enumerate(block) if line and not line.startswith((" ", "-"))), len(block))
            block = [line for line in block[:end] if line.strip()]
        for i, line in enumerate(block):
            part = line.strip().removeprefix("- ").strip()
            number = re.match(r"(\d+)\s*:\s*(.*)", part)
            if number and int(number[1]) != i:
                raise InvalidArgument(f"{str(file)!r}: names are numbered {number[1]} where {i} is expected.")
            names.append((number[2] if number else part).strip("\"' "))
    if not names:
        raise InvalidArgument(f"{str(file)!r} has no names; expected 'names: [cat, dog]', or one line per name.")
    return names


def _read_yolo(file: Path, problems: list[str]) -> list[Row]:
    rows: list[Row] = []
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        problems.append(f"{str(file)!r}: {e}")
        return rows
    for n, line in enumerate(lines, 1):
        if not (words := line.split()):
            continue
        try:
            values = [float(word) for word in words[1:]]
        except ValueError:
            values = []
        outline = len(values) >= 6 and len(values) % 2 == 0
        if not words[0].isdecimal() or not (outline or len(values) == 4):
            problems.append(f"{str(file)!r}, line {n}: {line[:60]!r}; expected class x y width height, or an outline")
        elif not all(-0.001 <= v <= 1.001 for v in values):
            problems.append(f"{str(file)!r}, line {n}: {line[:60]!r}; expected fractions from 0 to 1, not pixels")
        elif outline:
            xs, ys = values[::2], values[1::2]
            box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            rows.append({"class": int(words[0]), "line": n, "bbox": box, "segmentation": [values]})
        else:
            x, y, w, h = values
            rows.append({"class": int(words[0]), "line": n, "bbox": [x - w / 2, y - h / 2, w, h]})
    return rows
