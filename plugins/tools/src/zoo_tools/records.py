"""Records of an evaluation's finished inputs, from which one that was broken off goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import EvaluationError, InvalidArgument

FORMAT = 1  # of the file of records
RECORDS, METRICS = "records.jsonl", "metrics.json"


class Records:
    """The records of finished inputs: in a file, a JSON object a line, or in memory alone.

    The first line says of which model, weights, options and data they are. A line without an end was cut off when the
    process was killed, and is dropped. A record of an input whose files have another size now is made anew.

    Attributes:
        done: name of each finished input → its record.
    """

    def __init__(self, folder: Path | None, identity: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
        self.done: dict[str, Any] = {}
        self._folder, self._identity, self._sources = folder, identity, sources
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Records:
        if self._folder is None:
            return self
        from filelock import FileLock, Timeout

        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / RECORDS
        with contextlib.ExitStack() as opened:
            try:
                opened.enter_context(FileLock(self._folder / ".lock", timeout=0))
            except Timeout as e:
                raise EvaluationError(
                    f"Another evaluation is writing to {str(self._folder)!r}; wait for it, or give another output."
                ) from e
            self._file = opened.enter_context(path.open("a+b"))
            self._file.seek(0)
            whole = self._file.read()
            self._file.truncate(whole.rfind(b"\n") + 1)
            lines = whole.split(b"\n")[:-1]
            if lines:
                self._read(path, lines)
            else:
                self._write(self._identity)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _read(self, path: Path, lines: Sequence[bytes]) -> None:
        try:
            first, *rest = map(json.loads, lines)
            there = {key: first[key] for key in self._identity}
            found = {row["input"]: (row["bytes"], row["record"]) for row in rest}
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise InvalidArgument(
                f"{str(path)!r} is no file of evaluation records, or damaged. Give another output, or delete it."
            ) from e
        if there != self._identity:
            what = _difference(there, self._identity)
            raise InvalidArgument(
                f"{str(path)!r} has records of {what}. Give another output, or delete it to begin anew."
            )
        self.done = {n: r for n, (size, r) in found.items() if n in self._sources and size == self._file_sizes(n)}

    def _file_sizes(self, name: str) -> list[int]:
        """In bytes, of the files that make an input; -1 for one that is not there."""
        source = self._sources[name]
        files = [f for f in (source if isinstance(source, list | tuple) else [source]) if isinstance(f, str | Path)]
        return [Path(f).stat().st_size if Path(f).exists() else -1 for f in files]

    def add(self, name: str, record: Any) -> None:
        self.done[name] = record
        if self._folder is not None:
            self._write({"input": name, "bytes": self._file_sizes(name), "record": record})

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._file.flush()  # from here on it survives the end of this process

    def finish(self, figures: Mapping[str, Any]) -> None:
        if self._folder is not None:
            (self._folder / METRICS).write_text(json.dumps(figures, indent=2) + "\n")


# What another evaluation may have been of; hashes are not shown.
SAID = {
    "format": "another version of zoo",
    "model": "another model",
    "task": "another task",
    "weights": "other weights",
    "description": "weights that were described otherwise (their transforms, categories or options)",
    "parameters": "a model with other parameters",
    "options": "other options",
    "data": "other data: the inputs' names or the annotations were different",
}


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What the records are of that this evaluation is not."""
    key = next(key for key in SAID if there[key] != here[key])
    shown = key in ("model", "task", "weights", "options")
    return SAID[key] + (f" ({there[key]!r}; here it would be {here[key]!r})" if shown else "")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def model_digest(model: nn.Module) -> str:
    """SHA-256 over all that the model's state_dict holds."""
    sum_ = hashlib.sha256()

    def add(name: str, value: Any) -> None:
        if isinstance(value, list | tuple):
            for i, item in enumerate(value):
                add(f"{name}.{i}", item)
        elif isinstance(value, Tensor):
            plain = value.detach().cpu()
            plain = (plain.dequantize() if plain.is_quantized else plain).contiguous()
            sum_.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            sum_.update(plain.reshape(-1).view(torch.uint8).numpy().data)
        else:
            sum_.update(f"{name} {value}".encode())

    for name, value in model.state_dict().items():
        add(name, value)
    return sum_.hexdigest()


def data_digest(names: Iterable[str], annotations: Path | None, without: Path) -> str:
    """SHA-256 over the inputs' names and the annotations: of a file its content, of a folder names, sizes and times."""
    sum_ = hashlib.sha256("\0".join(names).encode())
    if annotations is not None and annotations.is_file():
        with annotations.open("rb") as f:
            sum_.update(hashlib.file_digest(f, "sha256").digest())
    elif annotations is not None:
        for file in sorted(annotations.rglob("*")):
            if file.is_file() and without.resolve() not in file.resolve().parents:
                facts = file.stat()
                sum_.update(f"{file.relative_to(annotations)} {facts.st_size} {facts.st_mtime_ns}\0".encode())
    return sum_.hexdigest()
