"""Labelled pictures: folders named by class, or a CSV file of paths and labels."""

from __future__ import annotations

import copy
import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, Self

from torch import Tensor
from torch.utils.data import Dataset

from zoo.errors import InvalidArgument, UnreadableFile, listed
from zoo.io import find_files, load_image
from zoo_classification.plugin import CLASSIFICATION


class Labelled(Dataset[tuple[Any, dict[str, Any]]]):
    """Files with one label each: the base class of the readers of pictures and of videos.

    Attributes:
        categories: names of the labels.
        names: names of the files, as written in the data.
        labels: label of each file, an index into ``categories``.
        notes: remarks about the data.
    """

    def __init__(self, paths: Sequence[Path], names: Sequence[str], labels: Sequence[int], categories: Sequence[str]):
        self.paths, self.names, self.labels, self.categories = list(paths), list(names), list(labels), list(categories)
        self.notes: list[str] = getattr(self, "notes", [])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Any, dict[str, Any]]:
        return self.read(self.paths[i]), self.target(i)

    def read(self, path: Path) -> Tensor:
        """The input: a picture, uint8 [3, H, W], with its EXIF orientation applied."""
        return load_image(path)

    def target(self, i: int) -> dict[str, Any]:
        """``{"label": int}``."""
        return {"label": self.labels[i]}

    def truth(self, i: int) -> int:
        """The ground truth of a file in JSON form: its label."""
        return self.labels[i]

    def source(self, i: int) -> Path:
        """The file."""
        return self.paths[i]

    def select(self, indices: Sequence[int]) -> Self:
        """A reader of these files only."""
        chosen = copy.copy(self)
        chosen.paths = [self.paths[i] for i in indices]
        chosen.names = [self.names[i] for i in indices]
        chosen.labels = [self.labels[i] for i in indices]
        return chosen

    def counts(self) -> dict[str, int]:
        """Category → number of its files."""
        found = Counter(self.labels)
        return {category: found[label] for label, category in enumerate(self.categories)}


class Folders(Labelled):
    """A folder for each class: ``path/CLASS/….jpg``, at any depth below. Files beside the folders are ignored.

    Args:
        path: the folder of the classes' folders.
        annotations: must be None.
        categories: the classes, in order; by default the folders' names, sorted.

    Attributes:
        empty: folders without a file of the expected types.

    Raises:
        InvalidArgument: there are no folders, or a folder's name is not a category.
    """

    suffixes: Sequence[str] = CLASSIFICATION.suffixes

    def __init__(
        self,
        path: Path,
        annotations: Path | None = None,
        *,
        categories: Sequence[str] | None = None,
        suffixes: Sequence[str] | None = None,
    ) -> None:
        if annotations is not None:
            raise InvalidArgument("Leave out the annotations: the class of an input is its folder's name.")
        path, suffixes = Path(path), suffixes or self.suffixes
        self.notes = []
        files = find_files(path, suffixes, notes=self.notes) if path.is_dir() else []
        inside = [file for file in files if file.parent != path]
        names = [file.relative_to(path).as_posix() for file in inside]
        found = sorted({name.partition("/")[0] for name in names})
        if not found:
            raise InvalidArgument(
                f"{str(path)!r} has no folders of {', '.join(suffixes)} files; expected one folder per class, named by "
                "its category or label."
            )
        self.loose = len(files) - len(inside)
        folders = {entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
        self.empty = sorted(folders - set(found))
        known = list(categories) if categories is not None else found
        if unknown := [f"{str(path / name)!r}" for name in found if name not in known]:
            raise InvalidArgument(listed(f"Folders whose names are not among the {len(known)} categories:", unknown))
        label = {name: i for i, name in enumerate(known)}
        super().__init__(inside, names, [label[name.partition("/")[0]] for name in names], known)

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether ``path`` is a folder of folders and there are no annotations."""
        return annotations is None and path.is_dir() and any(entry.is_dir() for entry in path.iterdir())


class Table(Labelled):
    """A CSV file whose columns ``path`` (within the file's folder, or ``path`` if annotations are given) and ``label``
    give the class of each file. Other columns are ignored.

    Args:
        path: the CSV file, or the folder of the inputs.
        annotations: the CSV file, where ``path`` is the folder.
        categories: the labels, in order; by default those in the file, sorted, as numbers if all are numbers.

    Raises:
        InvalidArgument: lines are invalid; the message lists them.
    """

    def __init__(self, path: Path, annotations: Path | None = None, *, categories: Sequence[str] | None = None) -> None:
        file = Path(annotations or path)
        folder = Path(path) if annotations is not None else file.parent
        rows = read_table(file, ("path", "label"))
        problems = [f"line {line}: {key} is empty" for line, row in rows for key in ("path", "label") if not row[key]]
        found = {row["label"] for _, row in rows if row["label"]}
        numbers = all(label.isascii() and label.isdecimal() for label in found)
        known = list(categories) if categories is not None else sorted(found, key=int if numbers else str)
        index = {name: i for i, name in enumerate(known)}
        problems += [f"line {n}: {row['label']!r} is not a category" for n, row in rows if row["label"] not in index]
        lines: dict[str, int] = {}
        for n, row in rows:
            if row["path"] and not file_in(folder, row["path"]).is_file():
                problems.append(f"line {n}: the file {str(folder / row['path'])!r} does not exist")
            if (before := lines.setdefault(row["path"], n)) != n:
                problems.append(f"line {n}: {row['path']!r} is already listed in line {before}")
        if problems or not rows:
            raise InvalidArgument(listed(f"{str(file)!r} cannot be used:", problems or ["it has no rows"]))
        names = [PureWindowsPath(row["path"]).as_posix() for _, row in rows]
        super().__init__(
            [file_in(folder, row["path"]) for _, row in rows], names, [index[row["label"]] for _, row in rows], known
        )

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether ``path`` or ``annotations`` is a CSV file."""
        return Path(annotations or path).suffix.lower() in (".csv", ".tsv")


def file_in(folder: Path, name: str) -> Path:
    """The file of that name in a folder; backslashes as separators, as Windows writes them, are understood too."""
    file = folder / name
    return file if "\\" not in name or file.exists() else folder / PureWindowsPath(name)


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        UnreadableFile: it cannot be read, or is not UTF-8.
    """
    try:
        content = file.read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content.count(b"\n", 0, e.start) + 1
        raise UnreadableFile(f"{str(file)!r}, line {line}: it is not UTF-8 ({e}); save the file as UTF-8.") from e
    except OSError as e:
        raise UnreadableFile(f"{str(file)!r} cannot be read: {e.strerror or e}.") from e


def read_names(file: Path) -> list[str]:
    """The classes in a file (``classes.txt``), one per line; the line number, from 0, is the label.

    Raises:
        UnreadableFile: it cannot be read, or is not UTF-8.
        InvalidArgument: a line between others is empty, which would shift later labels; or a name occurs twice.
    """
    names = [line.strip() for line in read_text(file).rstrip().splitlines()]
    for n, name in enumerate(names, 1):
        if not name or names.index(name) != n - 1:
            what = f"{name!r} is also in line {names.index(name) + 1}" if name else "it is empty"
            raise InvalidArgument(f"{str(file)!r}, line {n}: {what}; expected one class per line.")
    return names


def read_table(file: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file (separated by tabs in a ``.tsv``, by semicolons if the first line uses them), each with
    its line number; cells are stripped.

    Raises:
        UnreadableFile: it cannot be read, is not UTF-8, or has an unclosed quotation mark.
        InvalidArgument: a column is missing or repeated, or a line has another number of cells.
    """
    text = read_text(file)
    # Strict: otherwise an unclosed quotation mark would put all following lines into its cell.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(file, text), restkey="", strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        if missing := [name for name in columns if name not in header]:
            raise InvalidArgument(
                f"{str(file)!r}: line 1 has the columns {', '.join(header) or 'none'}; "
                f"expected also {', '.join(missing)}."
            )
        if twice := [name for name, n in Counter(header).items() if n > 1 and name in columns]:
            raise InvalidArgument(f"{str(file)!r}: line 1 has the columns {', '.join(twice)} twice; expected one each.")
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as e:
        raise UnreadableFile(
            f"{str(file)!r}, line {reader.line_num + 1}: it cannot be read as CSV: {e}. Is a quotation mark left open?"
        ) from e
    uneven = [f"line {n}: expected {len(header)} cells" for n, row in rows if "" in row or None in row.values()]
    if uneven:
        raise InvalidArgument(listed(f"{str(file)!r} cannot be used:", uneven))
    return [(n, {key: value.strip() for key, value in row.items()}) for n, row in rows]


def _delimiter(file: Path, text: str) -> str:
    first = text.partition("\n")[0]
    return "\t" if file.suffix.lower() == ".tsv" else ";" if ";" in first and "," not in first else ","


READERS = {"folders": Folders, "csv": Table}
