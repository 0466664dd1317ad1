"""Records of predictions, stored beside the results: inputs, their files, and the results.

The file (``predictions.jsonl``) has one JSON object per line. The first describes how the others were made: ``format``,
``model``, ``weights``, ``task`` and more. Each of the others has ``input`` (a path, or a list if several files make
one), ``files`` (size and time of each), ``row`` (as ``zoo predict --jsonl`` writes it; with ``error`` if the input
failed) and ``output`` (written files, relative to the folder). If an input is repeated, the last record is used.

Lines are appended in one write, so that several processes may write to one file, and flushed, so that they are kept if
the process is killed. Incomplete lines are skipped. Never imports torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from zoo.errors import InvalidArgument
from zoo.files import replacing

NAME = "predictions.jsonl"
FORMAT = 1

SAID = {
    "format": "another version of zoo",
    "model": "another model",
    "task": "another task",
    "weights": "other weights",
    "options": "other options",
    "coco": "a run with or without --coco",
    "shard": "another shard",
}


class Kept(NamedTuple):
    """The part of a record that is kept in memory; the rest is read from the file on demand."""

    offset: int
    files: tuple[tuple[int, int], ...] | None
    failed: bool
    output: tuple[str, ...]


class Records:
    """The records in a folder; nothing is written before :meth:`begin`.

    Args:
        folder: need not exist yet.
        identity: how they are made: JSON values under the keys of :data:`SAID`.
        name: of the file.

    Raises:
        InvalidArgument: the existing file is not a file of records.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], name: str = NAME) -> None:
        self.folder, self.path = folder, folder / name
        self.identity = {"format": FORMAT, **identity}
        self.kept: dict[str, Kept] = {}
        self.others: dict[str, Any] | None = None  # the identity in the file, if it differs
        self.facts: dict[str, Any] = {}  # further keys of the heading: about the list of inputs, categories
        self.heading: dict[str, Any] = {}  # the last one in the file
        self._file: int | None = None
        self._read()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> None:
        try:
            file = self.path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return
        with file:
            offset = 0
            for number, line in enumerate(file):
                value = _object(line)
                if number == 0 and (value is None or "model" not in value) and not _began(line, self.identity):
                    raise InvalidArgument(
                        f"{str(self.path)!r} is not a file of prediction records, or is damaged. Give another "
                        "--output, or move it."
                    )
                if value is not None and "row" in value:
                    self.kept[key_of(value["input"])] = Kept(
                        offset,
                        None if value["files"] is None else tuple((a, b) for a, b in value["files"]),
                        "error" in value["row"],
                        tuple(value["output"]),
                    )
                elif value is not None:
                    self.heading = value
                    if {key: value.get(key) for key in self.identity} != self.identity:
                        self.others = value
                offset += len(line)

    def check(self) -> None:
        """Check that existing records were made with the same model, weights and options.

        Raises:
            InvalidArgument: they were not; the message names the difference.
        """
        if self.others is None:
            return
        key = next(key for key in SAID if self.others.get(key) != self.identity.get(key))
        there, here = self.others.get(key), self.identity.get(key)
        shown = f" ({there!r}; here it would be {here!r})" if key in ("model", "task", "weights", "options") else ""
        raise InvalidArgument(
            f"{str(self.folder)!r} has results of {SAID[key]}{shown}. Give another --output, or --overwrite."
        )

    def is_done(self, source: Any) -> bool:
        """Whether an input has a result for the same files, and its outputs still exist."""
        kept = self.kept.get(key_of(source))
        if kept is None or kept.failed or kept.files != stamps_of(source):
            return False
        return all(path.exists() for path in self.outputs(source))

    def outputs(self, source: Any) -> list[Path]:
        """The outputs of an input, as far as they are in the folder."""
        kept = self.kept.get(key_of(source))
        names = [PurePosixPath(name) for name in (kept.output if kept else ())]
        return [self.folder / name for name in names if not name.is_absolute() and ".." not in name.parts]

    def every_output(self) -> set[Path]:
        return {(self.folder / name).absolute() for kept in self.kept.values() for name in kept.output}

    def read(self, source: Any) -> dict[str, Any]:
        """The record of an input that has one."""
        with self.path.open("rb") as file:
            file.seek(self.kept[key_of(source)].offset)
            found: dict[str, Any] = json.loads(file.readline())
        return found

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, *, overwrite: bool = False) -> None:
        """Open the file for appending; ``overwrite`` replaces it by an empty one."""
        head = {**self.identity, **self.facts}
        if overwrite and self.path.exists():
            with replacing(self.path) as file:
                file.write(_line(head))
            self.heading = head
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        size = os.fstat(self._file).st_size
        if not size:
            self._append(_line(head))
        elif os.pread(self._file, 1, size - 1) != b"\n":
            # A process was killed while writing this line. The first line is needed to recognise the file.
            self._append(b"\n" + _line(head))
        elif any(self.heading.get(key) != value for key, value in self.facts.items()):
            self._append(_line(head))

    def add(self, source: Any, files: Any, row: Mapping[str, Any], output: Iterable[Path], **more: Any) -> None:
        """Write the record of an input; ``files`` is the value of :func:`stamps_of` before it was opened."""
        names = [path.relative_to(self.folder).as_posix() for path in output]
        self._append(_line({"input": input_of(source), "files": files, "row": row, "output": names, **more}))

    def _append(self, line: bytes) -> None:
        if self._file is None:
            raise InvalidArgument("Records are added after begin().")
        while line:  # in one write, unless the disk is full
            line = line[os.write(self._file, line) :]

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def input_of(source: Any) -> str | list[str]:
    """The name of an input in rows: its path, or the paths of its files."""
    return [str(one) for one in source] if isinstance(source, list | tuple) else str(source)


def key_of(source: Any) -> str:
    """The key of an input among the records: its path or paths."""
    found = input_of(source)
    return found if isinstance(found, str) else "\0".join(found)


def stamps_of(source: Any) -> tuple[tuple[int, int], ...] | None:
    """Size and time of each file of an input, to detect changes; None if one does not exist, or is not a file."""
    found = []
    for file in source if isinstance(source, list | tuple) else [source]:
        if isinstance(stamp := getattr(file, "stamp", None), tuple):  # of the archive that contains it
            found.append(stamp)
            continue
        try:
            about = Path(file).stat()
        except (OSError, ValueError, TypeError):
            return None
        found.append((about.st_size, about.st_mtime_ns))
    return tuple(found)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The records in a file, the last one of each input."""
    last: dict[str, int] = {}
    with path.open("rb") as file:
        offset = 0
        for line in file:
            value = _object(line)
            if value is not None and "row" in value:
                last[key_of(value["input"])] = offset
            offset += len(line)
        for place in last.values():
            file.seek(place)
            yield json.loads(file.readline())


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None if it is incomplete."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(value, dict) and ("model" in value or {"input", "files", "row", "output"} <= value.keys())
    return value if known else None


def _began(line: bytes, identity: Mapping[str, Any]) -> bool:
    """Whether a process was killed while writing the first line."""
    start = _line(identity)[:9]
    return line[: len(start)] == start[: len(line)]
