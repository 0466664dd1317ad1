"""Parts of a list of inputs, each for a separate process, with their records in one folder. Never imports torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zoo.errors import InvalidArgument
from zoo.running.records import FORMAT, NAME, SAID, key_of

T = TypeVar("T")
_OF_A_SHARD = re.compile(r"predictions-(\d+)-of-(\d+)\.jsonl")


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts; ``index`` counts from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard of a text such as ``3/16``.

        Raises:
            InvalidArgument: it has another form, or the index is out of range.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        index, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= count <= 99_999:
            raise InvalidArgument(f"--shard is {text!r}; expected I/N with I from 1 to N, such as 3/16.")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def name_of(self, name: str) -> str:
        """``predictions.jsonl`` → ``predictions-00003-of-00016.jsonl``."""
        file = Path(name)
        return f"{file.stem}-{self.index:05}-of-{self.count:05}{file.suffix}"

    def bounds(self, total: int) -> tuple[int, int]:
        """The range of this shard's inputs out of a number of inputs; lengths of shards differ by at most one."""
        return (self.index - 1) * total // self.count, self.index * total // self.count

    def part(self, inputs: Sequence[T]) -> Sequence[T]:
        start, end = self.bounds(len(inputs))
        return inputs[start:end]


def distinct(inputs: Iterable[T]) -> list[T]:
    """Each input once, at its first place."""
    found: dict[str, T] = {}
    for one in inputs:
        found.setdefault(key_of(one), one)
    return list(found.values())


def facts_of_inputs(inputs: Iterable[Any]) -> dict[str, Any]:
    """The number of inputs and a hash of their names, to check that shards belong to the same list."""
    sum_, count = hashlib.sha256(), 0
    for one in inputs:
        sum_.update(key_of(one).encode(errors="surrogateescape") + b"\n")
        count += 1
    return {"count": count, "sha256": sum_.hexdigest()}


def shards_in(folder: Path) -> dict[Path, Shard | None]:
    """The files of prediction records in a folder, each with its shard; None for a run without shards."""
    found: dict[Path, Shard | None] = {}
    for path in sorted(folder.glob("predictions*.jsonl")):
        named = _OF_A_SHARD.fullmatch(path.name)
        if named:
            found[path] = Shard(int(named[1]), int(named[2]))
        elif path.name == NAME:
            found[path] = None
    return found


def heading(path: Path) -> dict[str, Any]:
    """The last heading in a file of records: the model, its options, the list of inputs.

    Raises:
        InvalidArgument: it has no heading.
    """
    last: dict[str, Any] | None = None
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b'{"format"'):
                try:
                    last = json.loads(line)
                except ValueError:
                    continue  # incomplete
    if last is None or last.get("format") != FORMAT or "model" not in last:
        raise InvalidArgument(f"{str(path)!r} is not a file of prediction records, or is damaged.")
    return last


def check_neighbours(folder: Path, shard: Shard, identity: Mapping[str, Any], inputs: Mapping[str, Any] | None) -> None:
    """Check that the other files of records in a folder are other shards of the same run.

    Args:
        identity: of this shard's records.
        inputs: :func:`facts_of_inputs` of all inputs; None if they are not known yet.

    Raises:
        InvalidArgument: they are not; the message names the difference.
    """
    for path, other in shards_in(folder).items():
        if other is None or other.count != shard.count:
            what = "a run without --shard" if other is None else f"a run in {other.count} shards"
            raise InvalidArgument(f"{str(folder)!r} has results of {what} ({path.name}). Give another --output.")
        if other == shard:
            continue
        try:
            there = heading(path)
        except InvalidArgument:
            continue  # it has just started; zoo merge checks it
        for key, said in SAID.items():
            if key != "shard" and key in identity and there.get(key) != identity[key]:
                raise InvalidArgument(
                    f"{str(folder)!r} has results of {said} ({path.name}: {there.get(key)!r}; here it would be "
                    f"{identity[key]!r}). Give another --output."
                )
        if inputs is not None and there.get("inputs") != dict(inputs):
            raise InvalidArgument(
                f"{path.name} is a shard of another list of inputs ({there.get('inputs', {}).get('count')} of them; "
                f"here there are {inputs['count']}): files were added or deleted since. Give another "
                "--output, or a list."
            )
