"""Records of an evaluation's finished inputs, used to resume an interrupted evaluation."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import EvaluationError, InvalidArgument
from zoo.files import redacted
from zoo.io import find_files
from zoo.quantized_tensors import dequantized
from zoo.running.sharding import Shard

FORMAT = 2  # version of the records file
LOCK, RECORDS, METRICS = ".lock", "records.jsonl", "metrics.json"

Facts = list[list[int] | None]


class Records:
    """The records of finished inputs: in a file with one JSON object per line, or in memory only.

    The first line identifies the model, weights, options and data. An incomplete last line, left by a killed process,
    is dropped. If the files of an input have changed (by size, times and inode), its record is made again. Files of
    these names that do not belong to an evaluation raise an error and are not modified.

    Args:
        folder: None for in memory only.
        identity: identifies the evaluation.
        sources: name of each input → its files.
        shard: the shard that this file belongs to. Without one, the records of all shards in the folder are used.

    Attributes:
        done: name of each finished input → its record.
    """

    def __init__(
        self,
        folder: Path | None,
        identity: Mapping[str, Any],
        sources: Mapping[str, Any],
        shard: Shard | None = None,
    ) -> None:
        self.done: dict[str, Any] = {}
        self._folder, self._identity, self._sources = folder, identity, sources
        self._whole = shard is None
        # Each shard has its own file, and the complete evaluation reads all of them.
        names = (LOCK, RECORDS, METRICS)
        self._lock, self._records, self._metrics = names if shard is None else map(shard.name_of, names)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Records:
        if self._folder is None:
            return self
        from filelock import FileLock, Timeout

        path = self._folder / self._records
        self._look(self._folder)  # before anything is created in it
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as e:
            raise InvalidArgument(f"output: {str(self._folder)!r} is not a folder.") from e
        with contextlib.ExitStack() as opened:
            try:
                opened.enter_context(FileLock(self._folder / self._lock, timeout=0))
            except Timeout as e:
                raise EvaluationError(
                    f"Another evaluation is writing to {str(self._folder)!r}; wait for its end, or use another output."
                ) from e
            whole = self._look(self._folder)
            lines = whole.split(b"\n")[:-1]
            self.done = self._read_shards(self._folder) if self._whole else {}
            self.done |= self._read(path, lines) if lines else {}
            self._file = opened.enter_context(open(path, "a+b", opener=_opener))
            self._file.truncate(whole.rfind(b"\n") + 1)
            if not lines:
                self._write(self._identity)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _look(self, folder: Path) -> bytes:
        """Read the records file; nothing is written.

        Raises:
            InvalidArgument: the records, lock or metrics file does not belong to this evaluation.
        """
        lock, records, figures = (_content(folder / name) for name in (self._lock, self._records, self._metrics))
        if lock:
            raise InvalidArgument(
                f"{str(folder / self._lock)!r} does not belong to an evaluation. Choose another output."
            )
        first, end, _ = records.partition(b"\n")
        unfinished = not end and _line(self._identity).startswith(first)  # killed while writing its first line
        if not unfinished and not _is_object(first, SAID):
            raise InvalidArgument(
                f"{str(folder / self._records)!r} is not a file of evaluation records, or damaged. Choose another "
                "output, or delete the file."
            )
        if figures and not _is_object(figures, ("model", "weights", "task", "measured", "metrics")):
            raise InvalidArgument(
                f"{str(folder / self._metrics)!r} has no metrics of an evaluation, and would be overwritten. Choose "
                "another output, or delete the file."
            )
        return records

    def _read_shards(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in sorted(folder.glob(f"{Path(RECORDS).stem}-*-of-*.jsonl")):
            lines = _content(path).split(b"\n")[:-1]
            if lines and not _is_object(lines[0], SAID):
                raise InvalidArgument(f"{str(path)!r} is not a file of evaluation records, or damaged. Delete it.")
            found |= self._read(path, lines) if lines else {}
        return found

    def _read(self, path: Path, lines: Sequence[bytes]) -> dict[str, Any]:
        first = json.loads(lines[0])
        there = {key: first[key] for key in self._identity}
        if there != self._identity:
            what = _difference(there, self._identity)
            raise InvalidArgument(
                f"{str(path)!r} has records of {what}. Choose another output, or delete it to start again."
            )
        try:
            rows = [json.loads(line) for line in lines[1:]]
            found = {row["input"]: (row["files"], row["record"]) for row in rows}
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise InvalidArgument(
                f"{str(path)!r} is not a file of evaluation records, or damaged. Choose another output, or delete it."
            ) from e
        return {
            name: record
            for name, (files, record) in found.items()
            if name in self._sources and files == files_of(self._sources[name])
        }

    def add(self, name: str, record: Any, files: Facts) -> None:
        """Store a record; ``files`` is the result of :func:`files_of` before the input was opened."""
        self.done[name] = record
        if self._folder is not None:
            self._write({"input": name, "files": files, "record": record})

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(_line(value))
        self._file.flush()  # now it survives the end of this process

    def finish(self, figures: Mapping[str, Any]) -> None:
        if self._folder is not None:
            self._look(self._folder)  # a file may have been created meanwhile
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".zoo-") as scratch:
                written = Path(scratch) / self._metrics
                written.write_text(json.dumps(figures, indent=2) + "\n")
                written.replace(self._folder / self._metrics)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _content(path: Path) -> bytes:
    """Read a file; empty if it does not exist. A link, folder, pipe or device raises an error."""
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            raise InvalidArgument(
                f"{str(path)!r} is a link or not a regular file, and is not written to. Choose another output."
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_object(text: bytes, keys: Iterable[str]) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.keys() >= set(keys)


def files_of(source: Any) -> Facts:
    """Identify the current state of an input's files: size, times and inode of each; None for a missing file. Both
    times are used, since programs can reset the modification time."""
    facts: Facts = []
    for file in source if isinstance(source, list | tuple) else [source]:
        if isinstance(file, str | os.PathLike):
            try:
                about = Path(file).stat()
            except (OSError, ValueError):
                facts.append(None)
            else:
                facts.append([about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino])
    return facts


def without_secrets(value: Any) -> Any:
    """A JSON value with :func:`zoo.files.redacted` applied to all texts."""
    if isinstance(value, Mapping):
        return {redacted(key): without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return redacted(value) if isinstance(value, str) else value


# How the records may differ from this evaluation; hashes are not shown.
SAID = {
    "format": "another version of zoo",
    "model": "another model",
    "task": "another task",
    "weights": "other weights",
    "description": "weights with another description (transforms, categories or options)",
    "parameters": "a model with other parameters",
    "options": "other options",
    "data": "other data: the inputs' names or the annotations were different",
}


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Describe how the records differ from this evaluation."""
    key = next(key for key in SAID if there[key] != here[key])
    shown = key in ("model", "task", "weights", "options")
    return SAID[key] + (f" ({there[key]!r}; here it would be {here[key]!r})" if shown else "")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def model_digest(model: nn.Module) -> str:
    """SHA-256 of the model's state_dict."""
    sum_ = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, list | tuple):
            for i, item in enumerate(value):
                add(f"{name}.{i}", item)
        elif isinstance(value, Tensor):
            plain = dequantized(value.detach().cpu()).contiguous()
            sum_.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            sum_.update(plain.reshape(-1).view(torch.uint8).numpy().data)
        else:
            sum_.update(f"{name} {value}".encode())

    for name, value in model.state_dict().items():
        add(name, value)
    return sum_.hexdigest()


def data_digest(names: Iterable[str], annotations: Path | None, without: Path, reader: Any = None) -> str:
    """SHA-256 of the inputs' names and their ground truth. For annotations: the content of a file, or the names, sizes
    and times in a folder. For a reader: its categories and, for each example, its ``truth``, or size and times of its
    ``annotation``, or its entire target."""
    sum_ = hashlib.sha256("\0".join(names).encode(errors="surrogateescape"))
    if annotations is not None and annotations.is_file():
        with annotations.open("rb") as f:
            sum_.update(hashlib.file_digest(f, "sha256").digest())
    elif annotations is not None:
        for file in find_files(annotations, notes=[]):
            if without.resolve() not in file.resolve().parents:
                sum_.update(f"{file.relative_to(annotations)} {files_of(file)}\0".encode(errors="surrogateescape"))
    elif reader is not None:
        sum_.update(json.dumps(list(reader.categories)).encode())
        for i in range(len(reader)):
            sum_.update(_truth(reader, i))
    return sum_.hexdigest()


def _truth(reader: Any, i: int) -> bytes:
    if hasattr(reader, "truth"):
        return json.dumps(reader.truth(i), sort_keys=True, default=str).encode()
    if hasattr(reader, "annotation"):
        return json.dumps(files_of(reader.annotation(i))).encode()
    sum_ = hashlib.sha256()
    for name, value in sorted(reader.target(i).items()):
        of_tensor = isinstance(value, Tensor)
        sum_.update(name.encode())
        sum_.update(value.contiguous().reshape(-1).view(torch.uint8).numpy() if of_tensor else repr(value).encode())
    return sum_.digest()
