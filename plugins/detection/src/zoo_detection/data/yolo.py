"""YOLO's format: one text file per picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from zoo.errors import InvalidArgument, UnreadableFile, listed
from zoo.io import find_files
from zoo_classification.data import read_names, read_text
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
            return read_names(file)
        for name in ("data.yaml", "data.yml", "dataset.yaml"):
            if (file := folder / name).is_file():
                return _names_of_yaml(file)
    return None


def _names_of_yaml(file: Path) -> list[str]:
    """``names`` of a ``data.yaml``: a list, or a mapping 0, 1, … → name. ``nc``, if given, must be their number."""
    text = read_text(file)
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as e:
        mark = e.context_mark or e.problem_mark  # the beginning of an unclosed part
        line = f", line {mark.line + 1}" if mark else ""
        why = ", ".join(filter(None, [e.context, e.problem]))
        raise InvalidArgument(f"{str(file)!r}{line}: it is not valid YAML: {why}.") from e
    except (yaml.YAMLError, RecursionError) as e:
        raise InvalidArgument(f"{str(file)!r}: it is not valid YAML: {str(e).splitlines()[0]}.") from e
    entries: dict[str, yaml.Node] = {}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if entries.setdefault(str(key.value), value) is not value:
            raise InvalidArgument(f"{str(file)!r}, line {_line(key)}: {key.value} occurs twice.")
    given = entries.get("names")
    if isinstance(given, yaml.SequenceNode):
        nodes = given.value
    elif isinstance(given, yaml.MappingNode):
        nodes = [value for _, value in given.value]
        for i, (key, _) in enumerate(given.value):
            if key.value != str(i):
                raise InvalidArgument(
                    f"{str(file)!r}, line {_line(key)}: names are numbered {key.value} where {i} is expected."
                )
    else:
        nodes = []
    for node in nodes:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise InvalidArgument(f"{str(file)!r}, line {_line(node)}: a name is empty, or not text.")
        if node.end_mark.line != node.start_mark.line:  # YAML continues a line with a more indented one
            what = f"the name {node.value!r} spans several lines; expected one name per line with equal indentation"
            raise InvalidArgument(f"{str(file)!r}, line {_line(node)}: {what}.")
    names = [node.value.strip() for node in nodes]
    if not names:
        raise InvalidArgument(f"{str(file)!r} has no names; expected 'names: [cat, dog]', or one line per name.")
    count = entries.get("nc")
    if count is not None and count.value != str(len(names)):
        raise InvalidArgument(
            f"{str(file)!r}, line {_line(count)}: nc is {count.value}, but there are {len(names)} names."
        )
    return names


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1  # type: ignore[no-any-return]


def _read_yolo(file: Path, problems: list[str]) -> list[Row]:
    rows: list[Row] = []
    try:
        lines = read_text(file).splitlines()
    except UnreadableFile as e:
        problems.append(str(e))
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
