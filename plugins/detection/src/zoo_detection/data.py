"""Pictures with objects: COCO's JSON, Pascal VOC's XML, YOLO's text files, CSV."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from zoo.errors import InvalidArgument, listed
from zoo.io import find_files, load_image, opened
from zoo_classification.data import read_table
from zoo_detection.coco_files import Row, mask_of, normalised, read_coco

BACKGROUND = "__background__"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
PLACES = ("xmin", "ymin", "xmax", "ymax")


class Objects(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Pictures and what is on them. Label 0 is the background; the data's categories count from 1 in their order.

    A box without width or height is in no target, and a note says how many there are. Objects with ``iscrowd`` 1
    (COCO's crowds, VOC's difficult ones) are in the targets: training leaves them out, evaluation ignores them.

    Attributes:
        categories: names of the labels; the first is ``__background__``.
        names: of the pictures.
        notes: what else there is to know about the data.
    """

    masks = False  # whether targets have them
    keypoints = 0  # how many each object has

    def __init__(
        self, paths: Sequence[Path], names: Sequence[str], rows: Sequence[list[Row]], categories: Sequence[str]
    ) -> None:
        self.paths, self.names, self._rows = list(paths), list(names), list(rows)
        self.categories = list(categories)
        self._sizes: list[tuple[int, int] | None] = [None] * len(self.names)
        self.notes: list[str] = []
        flat = sum(min(row["bbox"][2:]) <= 0 for each in self._rows for row in each)
        if flat:
            self.notes.append(f"{flat} boxes without width or height are left out of the targets.")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, Any]]:
        image = load_image(self.paths[i])
        size = image.shape[1], image.shape[2]
        if (told := self._sizes[i] or size) != size:
            raise InvalidArgument(
                f"{self.names[i]!r} has {size[0]} × {size[1]} pixels, and {told[0]} × {told[1]} by the annotations."
            )
        return image, self._target(i, size)

    def target(self, i: int) -> dict[str, Any]:
        """Of a picture; its file is opened for its size alone, and only where that is needed."""
        return self._target(i, None)

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of a picture, upright."""
        if (known := self._sizes[i]) is not None:
            return known
        with opened(self.paths[i]) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)

    def rows(self, i: int, size: tuple[int, int] | None = None) -> list[Row]:
        """The objects of a picture as COCO has them (``bbox`` is left, top, width, height), ``category_id`` the
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
        """A reader of these pictures alone."""
        chosen = copy.copy(self)
        for name in ("paths", "names", "_rows", "_sizes"):
            setattr(chosen, name, [getattr(self, name)[i] for i in indices])
        return chosen

    def labels_of(self, i: int) -> list[int]:
        """The labels of a picture's objects."""
        return [row["category_id"] for row in self._rows[i]]

    def counts(self) -> dict[str, int]:
        """Category → how many objects there are of it."""
        found = Counter(row["category_id"] for rows in self._rows for row in rows)
        return {name: found[label] for label, name in enumerate(self.categories) if label}

    def to_coco(self) -> dict[str, list[Row]]:
        """All of it in COCO's annotation format; an image's id is its name, a category's its label."""
        images, objects = [], []
        for i, name in enumerate(self.names):
            size = self.size(i) if self.paths[i].is_file() else None
            images.append({"id": name, "file_name": name} | ({"height": size[0], "width": size[1]} if size else {}))
            objects += [{**row, "image_id": name} for row in (self.rows(i, size) if size else ())]
        categories = [{"id": label, "name": name} for label, name in enumerate(self.categories) if label]
        return {"images": images, "categories": categories, "annotations": objects}


def _labels(found: Sequence[str], categories: Sequence[str] | None) -> tuple[list[str], dict[str, int]]:
    """All categories, and name → label; ``categories`` decide the order where they are given."""
    names = [BACKGROUND, *found] if categories is None else list(categories)
    label = {normalised(name): i for i, name in enumerate(names) if i}
    if unknown := [repr(name) for name in found if normalised(name) not in label]:
        raise InvalidArgument(
            listed(f"Categories of the data that are none of the {len(names) - 1} expected:", unknown)
        )
    return names, {name: label[normalised(name)] for name in found}


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
        names, label = _labels(list(named.values()), categories)
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


class VocObjects(Objects):
    """Pascal VOC's format (`The Pascal Visual Object Classes Challenge
    <https://doi.org/10.1007/s11263-009-0275-4>`_): an XML file for each picture. Its pixels count from 1, and its last
    ones belong to the box: a box is read as ``xmin - 1, ymin - 1, xmax, ymax``. Difficult objects are ``iscrowd``.

    Args:
        path: the folder of ``JPEGImages`` and ``Annotations``; or the folder of pictures.
        annotations: the folder of XML files, where ``path`` is of pictures; by default ``path`` itself.
        categories: as :class:`CocoObjects`; by default the names that occur, sorted.

    Raises:
        InvalidArgument: with each file that is wrong.
    """

    def __init__(self, path: Path, annotations: Path | None = None, *, categories: Sequence[str] | None = None) -> None:
        path = Path(path)
        images = path / "JPEGImages" if (path / "JPEGImages").is_dir() else path
        truth = Path(annotations) if annotations is not None else path / "Annotations"
        truth = truth if truth.is_dir() else path
        problems: list[str] = []
        paths, names, found = [], [], []
        pictures = _pictures(images)
        for file in find_files(truth, (".xml",), notes=[]):
            stem = file.relative_to(truth).with_suffix("").as_posix()
            try:
                name, rows = _read_voc(file)
            except InvalidArgument as e:
                problems.append(str(e))
                continue
            # its own name first: copies keep the file_name of the original in them
            picture = pictures.get(stem) or (images / name if name and (images / name).is_file() else None)
            if picture is None:
                problems.append(f"{str(file)!r}: there is no picture {stem!r} in {str(images)!r}")
                continue
            paths.append(picture)
            names.append(picture.relative_to(images).as_posix())
            found.append(rows)
        if problems or not paths:
            none = [f"there are no XML files in {str(truth)!r}"]
            raise InvalidArgument(listed(f"{str(path)!r} cannot be used as Pascal VOC:", problems or none))
        known, label = _labels(sorted({row["name"] for rows in found for row in rows}), categories)
        for row in (row for rows in found for row in rows):
            row["category_id"] = label[row.pop("name")]
        super().__init__(paths, names, found, known)

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether there are XML files."""
        folder = annotations or (path / "Annotations" if (path / "Annotations").is_dir() else path)
        return folder.is_dir() and any(f.suffix.lower() == ".xml" for f in folder.iterdir())


def _read_voc(file: Path) -> tuple[str, list[Row]]:
    try:
        content = file.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise InvalidArgument(f"{str(file)!r}: it declares entities, which are not read")
        root = ET.fromstring(content)
    except (OSError, ET.ParseError) as e:
        raise InvalidArgument(f"{str(file)!r}: {e}") from e
    rows: list[Row] = []
    for n, item in enumerate(root.iter("object"), 1):
        name = (item.findtext("name") or "").strip()
        texts = [(item.findtext(f"bndbox/{side}") or "").strip() for side in PLACES]
        box = _box(texts)
        if not name or box is None:
            raise InvalidArgument(f"{str(file)!r}: object {n} has name {name!r} and box {texts}")
        left, top, right, bottom = box[0] - 1, box[1] - 1, box[2], box[3]
        difficult = (item.findtext("difficult") or "0").strip() == "1"
        rows.append({"name": name, "bbox": [left, top, right - left, bottom - top], "iscrowd": int(difficult)})
    return (root.findtext("filename") or "").strip(), rows


def _box(texts: Sequence[str]) -> list[float] | None:
    """Four finite numbers, the latter two not below the former."""
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        return None
    return [x1, y1, x2, y2] if -1e9 < x1 <= x2 < 1e9 and -1e9 < y1 <= y2 < 1e9 else None


class YoloObjects(Objects):
    """YOLO's text files: ``labels/NAME.txt`` for ``images/NAME.jpg``, a line an object: class (from 0), and centre,
    width and height as shares of the picture; or the class and an outline of three points or more, x and y in turn.
    A picture without a file, or with an empty one, shows nothing.

    The names are in ``data.yaml`` (``names:``) or ``classes.txt``, in the folder or up to three above it.

    Args:
        path: a folder with ``images`` and ``labels`` (also ``images/train`` and ``labels/train``: name the former), or
            one that holds both kinds of file.
        annotations: the folder of text files, where it is another.
        categories: as :class:`CocoObjects`.

    Raises:
        InvalidArgument: with each line that is wrong.
    """

    def __init__(self, path: Path, annotations: Path | None = None, *, categories: Sequence[str] | None = None) -> None:
        path = Path(path)
        images = path / "images" if (path / "images").is_dir() else path
        labels = Path(annotations) if annotations is not None else _labels_folder(images)
        found = _yolo_names(path)
        problems: list[str] = []
        pictures = _pictures(images)
        texts = {f.relative_to(labels).with_suffix("").as_posix(): f for f in find_files(labels, (".txt",), notes=[])}
        texts = {name: file for name, file in texts.items() if name in pictures or file.name != "classes.txt"}
        for name in texts.keys() - pictures.keys():
            problems.append(f"{str(texts[name])!r}: there is no picture {name!r} in {str(images)!r}")
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
        known, label = _labels(found, categories)
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
        """Whether there are text files for pictures."""
        images = path / "images" if (path / "images").is_dir() else path
        if not images.is_dir():
            return False
        labels = annotations or _labels_folder(images)
        return labels.is_dir() and any(f.name != "classes.txt" for f in find_files(labels, (".txt",), notes=[]))


def _labels_folder(images: Path) -> Path:
    """The folder that ``images`` stands for with the last ``images`` of its path replaced, where there is one."""
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
        raise InvalidArgument(f"{str(file)!r} has no names; expected 'names: [cat, dog]', or a line for each.")
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
            problems.append(f"{str(file)!r}, line {n}: {line[:60]!r}; expected shares from 0 to 1, not pixels")
        elif outline:
            xs, ys = values[::2], values[1::2]
            box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            rows.append({"class": int(words[0]), "line": n, "bbox": box, "segmentation": [values]})
        else:
            x, y, w, h = values
            rows.append({"class": int(words[0]), "line": n, "bbox": [x - w / 2, y - h / 2, w, h]})
    return rows


class TableObjects(Objects):
    """A CSV file with a row an object: ``path``, ``label``, ``xmin``, ``ymin``, ``xmax``, ``ymax`` in pixels. A row
    with a path alone is a picture that shows nothing.

    Args:
        path: the CSV file, or the folder of pictures.
        annotations: the CSV file, where ``path`` is the folder.
        categories: as :class:`CocoObjects`; by default the labels that occur, sorted.

    Raises:
        InvalidArgument: with each line that is wrong.
    """

    def __init__(self, path: Path, annotations: Path | None = None, *, categories: Sequence[str] | None = None) -> None:
        file = Path(annotations or path)
        folder = Path(path) if annotations is not None else file.parent
        problems: list[str] = []
        of: dict[str, list[Row]] = {}
        for n, row in read_table(file, ("path", "label", *PLACES)):
            texts = [row[side] for side in PLACES]
            box = _box(texts)
            if row["path"] not in of and not (folder / row["path"]).is_file():
                problems.append(f"line {n}: there is no {str(folder / row['path'])!r}")
            rows = of.setdefault(row["path"], [])
            if not row["label"] and not any(texts):
                continue
            if box is None or not row["label"]:
                problems.append(f"line {n}: label {row['label']!r}, box {texts}")
            else:
                rows.append({"name": row["label"], "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]})
        if problems or not of:
            raise InvalidArgument(listed(f"{str(file)!r} cannot be used:", problems or ["it has no rows"]))
        known, label = _labels(sorted({row["name"] for rows in of.values() for row in rows}), categories)
        for item in (item for rows in of.values() for item in rows):
            item["category_id"] = label[item.pop("name")]
        super().__init__([folder / name for name in of], [Path(name).as_posix() for name in of], [*of.values()], known)

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether it is a CSV file."""
        return Path(annotations or path).suffix.lower() in (".csv", ".tsv")


def _pictures(folder: Path) -> dict[str, Path]:
    files = find_files(folder, PICTURES, notes=[]) if folder.is_dir() else []
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


READERS: dict[str, type[Objects]] = {
    "coco": CocoObjects,
    "csv": TableObjects,
    "voc": VocObjects,
    "yolo": YoloObjects,
}
