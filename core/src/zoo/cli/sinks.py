"""Files that ``zoo predict`` writes rows to: JSON lines, which are appended to; CSV and COCO, which are written at the
end."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from zoo.cli.output import as_json
from zoo.contract import flattened
from zoo.errors import InvalidArgument
from zoo.files import replacing


class Sink(Protocol):
    """A destination of rows: the data of ``--json`` for each input, and ``coco``, the task's data for that format."""

    def begin(self) -> None: ...

    def row(self, row: Mapping[str, Any], coco: Mapping[str, Any] | None) -> None: ...

    def finish(self) -> None: ...


RUNS = {"size", "counts"}  # keys of a mask
STARTS = {"--jsonl": b'{"input"', "--csv": b"input", "--coco": b'{\n "images"'}


def check_target(path: Path, option: str, *, resume: bool, overwrite: bool) -> None:
    """Raise unless a file can be written: it does not exist, or it was written by this option and may be replaced.

    Raises:
        InvalidArgument: otherwise. Nothing is written.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise InvalidArgument(f"{option} {path} {what}; expected the name of a file.")
    if not path.exists() or overwrite:
        return
    if not resume:
        raise InvalidArgument(f"{option} {path} exists already. Give another name, or --overwrite.")
    with path.open("rb") as file:
        start = file.read(len(STARTS[option]))
    if start and start != STARTS[option]:
        raise InvalidArgument(f"{option} {path} was not written by {option}. Give another name, or --overwrite.")


class JsonLines:
    """One row per line, flushed after each, so that rows are kept if the process is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def begin(self) -> None:
        with replacing(self.path):  # an existing file is kept until all can begin
            pass
        self._file = self.path.open("ab", buffering=0)

    def row(self, row: Mapping[str, Any], coco: Mapping[str, Any] | None) -> None:
        if self._file is not None:
            self._file.write(as_json(row).encode() + b"\n")

    def finish(self) -> None:
        if self._file is not None:
            self._file.close()


class Spooled:
    """Rows are kept in a temporary file, and written at the end, when all of them are known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spool = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115  closed when it is garbage-collected

    def begin(self) -> None:
        pass

    def keep(self, value: Any) -> None:
        self._spool.write(json.dumps(value) + "\n")

    def kept(self) -> Iterator[Any]:
        self._spool.seek(0)
        return map(json.loads, self._spool)


class Csv(Spooled):
    """One row per label or object; an input without any, or one that failed, has one row too."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.columns: dict[str, None] = {"input": None}

    def row(self, row: Mapping[str, Any], coco: Mapping[str, Any] | None) -> None:
        for flat in flattened(without_masks(row), as_json):
            self.columns.update(dict.fromkeys(flat))
            self.keep(flat)

    def finish(self) -> None:
        last = {name: None for name in ("output", "error") if self.columns.pop(name, self) is None}
        with replacing(self.path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
            writer = csv.DictWriter(text, [*self.columns, *last])
            writer.writeheader()
            writer.writerows(self.kept())
            text.detach()


def without_masks(value: Any) -> Any:
    """A row of JSON without the run lengths of masks, which do not fit in a table."""
    if isinstance(value, Mapping):
        return {k: without_masks(v) for k, v in value.items() if not (isinstance(v, Mapping) and v.keys() == RUNS)}
    return [without_masks(item) for item in value] if isinstance(value, list) else value


class Coco(Spooled):
    """All results as a COCO data set: ``images``, ``categories`` with their ids, ``annotations`` with scores.

    Args:
        names: names of the labels, by number; unused numbers are left out.
    """

    def __init__(self, path: Path, names: Sequence[str] = ()) -> None:
        super().__init__(path)
        self.names = {i: name for i, name in enumerate(names) if name not in ("__background__", "N/A")}

    def row(self, row: Mapping[str, Any], coco: Mapping[str, Any] | None) -> None:
        if coco is not None:
            self.keep([row["input"], coco])

    def finish(self) -> None:
        files = [str(file) for file, _ in self.kept()]
        stems = [Path(file).stem for file in files]
        # COCO's file names are numbers, which become the ids; other files are numbered in order.
        numbers = [int(s) for s in stems if s.isascii() and s.isdecimal()]
        named = len(set(numbers)) == len(files)
        labels = {row["category_id"] for _, one in self.kept() for row in one["annotations"]}
        names = {**{label: f"class {label}" for label in sorted(labels)}, **self.names}
        above = os.path.commonpath([Path(file).absolute().parent for file in files]) if files else ""
        with replacing(self.path) as out:

            def listed(key: str, values: Iterator[Any] | list[Any], end: str) -> None:
                out.write(f' "{key}": ['.encode())
                for i, value in enumerate(values):
                    out.write((",\n  " if i else "\n  ").encode() + as_json(value).encode())
                out.write(f"]{end}\n".encode())

            def annotations() -> Iterator[Any]:
                count = 0
                for i, (_, one) in enumerate(self.kept()):
                    for row in one["annotations"]:
                        count += 1
                        image_id = numbers[i] if named else i + 1
                        yield {"id": count, **row, "image_id": image_id, "iscrowd": 0}

            images = (
                {
                    "id": numbers[i] if named else i + 1,
                    "file_name": Path(file).absolute().relative_to(above).as_posix(),
                    "width": one["width"],
                    "height": one["height"],
                }
                for i, (file, one) in enumerate(self.kept())
            )
            out.write(b"{\n")
            listed("images", images, ",")
            listed("categories", [{"id": i, "name": names[i]} for i in sorted(names)], ",")
            listed("annotations", annotations(), "")
            out.write(b"}\n")
