"""Predict many pictures on the workers of a Ray cluster or of this machine, in chunks with one Parquet file each.

A chunk is written to a temporary file and renamed, so that repeating it writes the same file. Therefore no result is
lost or duplicated if workers die, and existing chunks are not computed again. The driver has only the numbers of the
chunks; workers read the names of their inputs from a file next to the results.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InvalidArgument, MissingPlugin, ZooError
from zoo.files import replacing
from zoo.io.stored import Stored

PLAN, INPUTS, TRIES = "_plan.json", "_inputs.jsonl", "_tries"
PATIENCE = 2  # number of workers that one input may crash


class BatchError(ZooError):
    """A batch could not be finished; finished chunks are kept."""


@dataclass(frozen=True)
class Summary:
    """The result of a batch: numbers of inputs, failed inputs, chunks and chunks done before, and seconds of work."""

    inputs: int
    failed: int
    chunks: int
    before: int
    seconds: float


def batch(
    sources: Iterable[Any],
    folder: Path,
    identity: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    actors: int = 2,
    chunk: int = 256,
    address: str | None = None,
    resume: bool = False,
) -> Summary:
    """Predict inputs on ``actors`` workers, each with its own model.

    Args:
        sources: paths, or members of archives and URLs (:mod:`zoo.io.stored`).
        folder: folder of the Parquet files, which all workers must be able to access; one row per input.
        identity: model, weights and options as text: a folder with another identity raises an error.
        arguments: arguments of :class:`zoo.BatchPredictor`.
        chunk: number of inputs per file.
        address: address of the cluster; by default a local one for the duration of the call.
        resume: compute only what is missing in the folder.

    Raises:
        MissingPlugin: Ray or pyarrow is not installed.
        InvalidArgument: the folder contains other results.
        BatchError: a worker cannot continue: the model's plugin is missing, or its disk is full.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read when Ray is imported
    try:
        import pyarrow  # noqa: F401
        import ray
    except ImportError as e:
        raise MissingPlugin("zoo batch needs Ray and pyarrow: pip install 'zoo-serving[ray]'") from e
    offsets, total = _plan(sources, folder, {**identity, "chunk": chunk}, resume)
    left = [
        {"chunk": i, "offset": offset, "count": min(chunk, total - i * chunk)}
        for i, offset in enumerate(offsets)
        if not _part(folder, i).exists()
    ]
    before, started = len(offsets) - len(left), time.monotonic()
    if left:
        logging.getLogger("ray").setLevel(logging.ERROR)
        with _silent():
            ray.init(
                address=address,
                num_cpus=None if address else actors,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        try:
            started = time.monotonic()
            _run(left, folder, arguments, actors)
        finally:
            ray.shutdown()
    rows, failed = _check(folder, len(offsets))
    if rows != total:
        raise BatchError(f"{str(folder)!r} has {rows} rows of {total} inputs; run the same command with --resume.")
    return Summary(total, failed, len(offsets), before, time.monotonic() - started)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress output of native code on stderr."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _plan(sources: Iterable[Any], folder: Path, identity: Mapping[str, Any], resume: bool) -> tuple[list[int], int]:
    """The offset of each chunk in the list of inputs, and the number of inputs."""
    plan = folder / PLAN
    if plan.exists():
        there = json.loads(plan.read_text())
        if there["identity"] != dict(identity):
            key = next(key for key in identity if there["identity"].get(key) != identity[key])
            raise InvalidArgument(
                f"{str(folder)!r} has results of another {key} ({there['identity'].get(key)!r}; here it would be "
                f"{identity[key]!r}). Choose another --output."
            )
        if not resume:
            raise InvalidArgument(f"{str(folder)!r} already exists. Use --resume to compute what is missing in it.")
        return there["offsets"], there["inputs"]
    if folder.exists() and (not folder.is_dir() or any(folder.glob("[!_]*"))):
        raise InvalidArgument(
            f"{str(folder)!r} already exists, and is not a result of zoo batch. Choose another --output."
        )
    folder.mkdir(parents=True, exist_ok=True)
    offsets, total, place = [], 0, 0
    with replacing(folder / INPUTS) as file:
        for source in sources:
            if total % identity["chunk"] == 0:
                offsets.append(place)
            line = json.dumps(asdict(source) if isinstance(source, Stored) else str(source)).encode() + b"\n"
            file.write(line)
            place += len(line)
            total += 1
    with replacing(plan) as file:
        file.write(json.dumps({"identity": dict(identity), "inputs": total, "offsets": offsets}).encode())
    return offsets, total


def _run(left: Sequence[Mapping[str, int]], folder: Path, arguments: Mapping[str, Any], actors: int) -> None:
    import ray
    from tqdm import tqdm

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    data = ray.data.from_items([dict(one) for one in left], override_num_blocks=min(len(left), max(64, 4 * actors)))
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # creating a data set changes the level
    done = data.map_batches(
        Worker,
        fn_constructor_args=(str(folder.absolute()), dict(arguments)),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(left))),
    )
    try:
        with tqdm(total=len(left), unit="chunk", disable=None) as bar:
            for row in done.iter_rows():
                if row["problem"]:
                    raise BatchError(f"A worker cannot continue: {row['problem']}")
                bar.update()
    except BatchError:
        raise
    except Exception as e:
        raise BatchError(f"A worker cannot continue: {_reason(e)}") from e


def _reason(e: BaseException) -> str:
    """The error in the worker, without Ray's own text."""
    while True:
        inner = getattr(e, "cause", None) or e.__cause__
        if not isinstance(inner, BaseException) or inner is e:
            return str(e).strip().splitlines()[-1] if str(e).strip() else type(e).__name__
        e = inner


def _part(folder: Path, chunk: int) -> Path:
    return folder / f"part-{chunk:08}.parquet"


def _check(folder: Path, chunks: int) -> tuple[int, int]:
    """Number of rows in the files, and of failed rows; reads one file at a time."""
    import pyarrow.parquet as pq

    rows = failed = 0
    for i in range(chunks):
        if _part(folder, i).exists():
            errors = pq.read_table(_part(folder, i), columns=["error"]).column("error")
            rows, failed = rows + len(errors), failed + len(errors) - errors.null_count
    return rows, failed


def failures(folder: Path) -> Iterator[tuple[str, str]]:
    """Each failed input, with the reason."""
    import pyarrow.parquet as pq

    for part in sorted(folder.glob("part-*.parquet")):
        for row in pq.read_table(part, columns=["input", "error"]).to_pylist():
            if row["error"] is not None:
                yield row["input"], row["error"]


# ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Worker:
    """Computes chunks with a model that stays loaded."""

    def __init__(self, folder: str, arguments: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.predictor = zoo.BatchPredictor(**arguments)

    def __call__(self, given: Mapping[str, Any]) -> dict[str, list[Any]]:
        """A chunk's number, and the reason why this worker cannot compute any chunk: missing plugin, full disk."""
        chunk, offset, count = (int(given[key][0]) for key in ("chunk", "offset", "count"))
        problem = ""
        try:
            if not _part(self.folder, chunk).exists():  # otherwise a worker finished it, and died afterwards
                self._do(chunk, self._inputs(offset, count))
        except (ZooError, OSError) as e:
            problem = str(e)
        return {"chunk": [chunk], "problem": [problem]}

    def _inputs(self, offset: int, count: int) -> list[Any]:
        with (self.folder / INPUTS).open("rb") as file:
            file.seek(offset)
            found = [json.loads(file.readline()) for _ in range(count)]
        return [_stored(one) if isinstance(one, dict) else one for one in found]

    def _do(self, chunk: int, sources: Sequence[Any]) -> None:
        tries = self.folder / TRIES / f"{chunk}"
        tries.parent.mkdir(exist_ok=True)
        careful = tries.exists()  # a previous worker died in this chunk
        columns = self._one_by_one(sources, tries) if careful else self._together(sources, tries)
        columns = {
            "input": [str(source) for source in sources],
            **columns,
            "error": [error or None for error in columns["error"]],
        }
        write(_part(self.folder, chunk), columns)
        tries.unlink(missing_ok=True)

    def _together(self, sources: Sequence[Any], tries: Path) -> dict[str, list[Any]]:
        tries.touch()
        try:
            found = self.predictor({"path": sources})
        except Exception:
            tries.unlink(missing_ok=True)  # the inputs did not end the worker
            raise
        del found["path"]
        return found

    def _one_by_one(self, sources: Sequence[Any], tries: Path) -> dict[str, list[Any]]:
        """Write the name of each input before it is computed, to identify an input that crashes its worker."""
        runs = [run.split() for run in tries.read_text().split("run")[1:]]
        blamed = Counter(int(run[-1]) for run in runs if run)
        rows: list[dict[str, list[Any]]] = []
        with tries.open("a") as log:
            log.write("run\n")
            for i, source in enumerate(sources):
                if blamed[i] >= PATIENCE:
                    found = self.predictor({"path": [None]})
                    found["error"] = [f"It crashed {blamed[i]} workers: a crash of the decoder, or not enough memory."]
                else:
                    log.write(f"{i}\n")
                    log.flush()
                    found = self.predictor({"path": [source]})
                rows.append(found)
        names = dict.fromkeys(name for row in rows for name in row if name != "path")
        return {name: [value for row in rows for value in row.get(name, [None])] for name in names}


def _stored(fields: Mapping[str, Any]) -> Stored:
    stamp = fields["stamp"]
    return Stored(**{**fields, "stamp": None if stamp is None else tuple(stamp)})


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns atomically as a Parquet file; the common columns have the same type in all files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = {
        "input": pa.string(),
        "labels": pa.list_(pa.string()),
        "scores": pa.list_(pa.float64()),
        "boxes": pa.list_(pa.list_(pa.float64())),
        "ids": pa.list_(pa.int64()),
        "error": pa.string(),
    }
    table = pa.table({name: pa.array(list(column), known.get(name)) for name, column in columns.items()})
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
