"""Merge the records of ``zoo predict --output``, of one run or of all its shards, into one file. No torch."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import InvalidArgument, MissingPlugin
from zoo.files import replacing
from zoo.running.records import SAID, key_of, rows
from zoo.running.sharding import Shard, heading, shards_in

ROWS = 1000  # rows of Parquet in memory at a time
ALIKE = [key for key in SAID if key != "shard"]


@dataclass(frozen=True)
class Merged:
    """The result of a merge: the number of inputs, failed inputs → reason, and the category names."""

    inputs: int
    failed: Mapping[str, str]
    categories: Sequence[str]


def merge(folder: Path, write: Callable[[Iterator[Mapping[str, Any]], Mapping[str, Any]], None]) -> Merged:
    """Check that the records in a folder are complete, then pass them to ``write`` in the order of the inputs.

    Args:
        folder: the output folder of ``zoo predict``.
        write: called with the records (``input``, ``row``, and optionally ``coco``) and the header of the run.

    Raises:
        InvalidArgument: there are no records; shards or inputs are missing or duplicated; records of several runs.
    """
    files = shards_in(folder) if folder.is_dir() else {}
    if not files:
        raise InvalidArgument(
            f"{str(folder)!r} has no records of predictions; expected the output folder of zoo predict."
        )
    headings = {path: heading(path) for path in files}
    first = next(iter(files))
    _check_alike(headings, first)
    _check_shards(files, folder)
    problems: list[str] = []
    failed: dict[str, str] = {}
    seen: set[bytes] = set()
    total = 0
    for path, shard in files.items():
        about = headings[path].get("inputs")
        count = 0
        for record in rows(path):
            name = key_of(record["input"])
            digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=16).digest()
            if digest in seen:
                problems.append(f"{name} is in {path.name} and in an earlier file")
            seen.add(digest)
            count += 1
            if "error" in record["row"]:
                failed[name.replace("\0", " ")] = str(record["row"]["error"])
        total += count
        if about is not None:
            start, end = (0, about["count"]) if shard is None else shard.bounds(about["count"])
            missing = end - start - count
            again = "" if shard is None else f" --shard {shard}"
            if missing > 0:
                problems.append(
                    f"{path.name} lacks {missing} of {end - start} inputs: run it again with{again} --resume"
                )
            elif missing < 0 and shard is not None:
                problems.append(f"{path.name} has {-missing} inputs too many")
    if problems:
        more = f"\n… and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise InvalidArgument(
            "Nothing was written, since the records are not complete:\n" + "\n".join(problems[:10]) + more
        )
    write(itertools.chain.from_iterable(map(rows, files)), headings[first])
    return Merged(total, failed, headings[first].get("categories", ()))


def _check_alike(headings: Mapping[Path, Mapping[str, Any]], first: Path) -> None:
    for path, there in headings.items():
        for key in ("model", *ALIKE, "inputs"):
            if there.get(key) != headings[first].get(key):
                what, other = SAID.get(key, "another list of inputs"), headings[first].get(key)
                raise InvalidArgument(
                    f"{path.name} has {what} than {first.name} ({there.get(key)!r} and {other!r}); move it "
                    "elsewhere, or predict again."
                )


def _check_shards(files: Mapping[Path, Shard | None], folder: Path) -> None:
    shards = [shard for shard in files.values() if shard is not None]
    counts = {shard.count for shard in shards}
    if len(counts) > 1 or (shards and len(shards) != len(files)):
        names = ", ".join(path.name for path in list(files)[:4])
        raise InvalidArgument(f"{str(folder)!r} has records of several runs ({names}, …); move the others elsewhere.")
    if shards:
        there = {shard.index for shard in shards}
        missing = [i for i in range(1, shards[0].count + 1) if i not in there]
        if missing:
            some = ", ".join(f"{i}/{shards[0].count}" for i in missing[:8]) + (", …" if len(missing) > 8 else "")
            raise InvalidArgument(f"Nothing was written, since {len(missing)} shards are missing: --shard {some}.")


# ── formats ──────────────────────────────────────────────────────────────────────────────────────────────────────


def write_jsonl(path: Path, found: Iterable[Mapping[str, Any]]) -> None:
    """One row per line."""
    with replacing(path) as file:
        for row in found:
            file.write(json.dumps(row, ensure_ascii=False).encode(errors="surrogatepass") + b"\n")


def write_csv(path: Path, found: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """One row per input; values other than numbers and text are written as JSON."""
    columns: dict[str, None] = {"input": None}
    for row in found():
        columns.update(dict.fromkeys(row))
    columns.pop("error", None)
    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="", write_through=True)
        writer = csv.DictWriter(text, [*columns, "error"])
        writer.writeheader()
        for row in found():
            writer.writerow({key: json.dumps(v) if isinstance(v, list | dict) else v for key, v in row.items()})
        text.detach()


def write_parquet(path: Path, found: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """One row per input, with nested lists and structures; a first pass determines the types.

    Raises:
        MissingPlugin: pyarrow is not installed.
        InvalidArgument: a column has values of several kinds.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise MissingPlugin("Parquet needs pyarrow: pip install 'zoo-tools[parquet]'") from e
    schema = pa.schema([("input", pa.string())])
    try:
        for table in map(pa.Table.from_pylist, _chunks(found())):
            schema = pa.unify_schemas([schema, table.schema], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
        raise InvalidArgument(f"{path}: a column of the results has values of several kinds ({e}); use .jsonl.") from e
    named = [field for field in schema if field.name != "error"]
    schema = pa.schema([*named, pa.field("error", pa.string())])
    with replacing(path) as file, contextlib.closing(pq.ParquetWriter(file, schema)) as writer:
        for chunk in _chunks(found()):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def _chunks(found: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(found)
    while chunk := [dict(row) for row in itertools.islice(left, ROWS)]:
        for row in chunk:
            if isinstance(row["input"], list):
                row["input"] = " ".join(row["input"])
        yield chunk
