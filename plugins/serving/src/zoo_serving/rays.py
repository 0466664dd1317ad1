"""Many pictures on the workers of a Ray cluster, or of this machine: chunks of inputs, each a Parquet file.

A chunk is written whole, under a name of its own, and renamed into place: whoever does it again writes the same file.
So nothing is lost or twice however often workers die, and what is there need not be done again. The driver keeps the
numbers of the chunks alone; workers read the names of their inputs from a file beside the results.
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
PATIENCE = 2  # times that one input may end its worker


class BatchError(ZooError):
    """Work on a cluster that could not be finished; chunks that are done are kept."""


@dataclass(frozen=True)
class Summary:
    """What a batch came to: inputs, those of them that failed, chunks, those that were done before, seconds of work."""

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
    """Predict inputs on ``actors`` workers, each with a model of its own.

    Args:
        sources: paths, or members of archives and URLs (:mod:`zoo.io.stored`).
        folder: of the Parquet files, which all workers must see; a row an input.
        identity: model, weights and options, in words: a folder of others is refused.
        arguments: of :class:`zoo.BatchPredictor`.
        chunk: inputs of a file.
        address: of the cluster; by default one on this machine, for as long as this takes.
        resume: do what is missing in the folder.

    Raises:
        MissingPlugin: Ray or pyarrow is not installed.
        InvalidArgument: the folder has other results.
        BatchError: a worker cannot do its work: it lacks the model's plugin, its disk is full.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # read when it is imported
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
        raise BatchError(
            f"{str(folder)!r} has {rows} rows of {total} inputs; the same command with --resume does the rest."
        )
    return Summary(total, failed, len(offsets), before, time.monotonic() - started)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what native code says on stderr."""
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
    """Where in the list of inputs each chunk begins, and how many inputs there are."""
    plan = folder / PLAN
    if plan.exists():
        there = json.loads(plan.read_text())
        if there["identity"] != dict(identity):
            key = next(key for key in identity if there["identity"].get(key) != identity[key])
            raise InvalidArgument(
                f"{str(folder)!r} has results of another {key} ({there['identity'].get(key)!r}; here it would be "
                f"{identity[key]!r}). Give another --output."
            )
        if not resume:
            raise InvalidArgument(f"{str(folder)!r} is there already. --resume does what is missing in it.")
        return there["offsets"], there["inputs"]
    if folder.exists() and (not folder.is_dir() or any(folder.glob("[!_]*"))):
        raise InvalidArgument(f"{str(folder)!r} is there already, and not by zoo batch. Give another --output.")
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
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # of which making a data set has made another
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
                    raise BatchError(f"A worker cannot go on: {row['problem']}")
                bar.update()
    except BatchError:
        raise
    except Exception as e:
        raise BatchError(f"A worker cannot go on: {_reason(e)}") from e


def _reason(e: BaseException) -> str:
    """What was wrong in the worker, without what Ray says around it."""
    while True:
        inner = getattr(e, "cause", None) or e.__cause__
        if not isinstance(inner, BaseException) or inner is e:
            return str(e).strip().splitlines()[-1] if str(e).strip() else type(e).__name__
        e = inner


def _part(folder: Path, chunk: int) -> Path:
    return folder / f"part-{chunk:08}.parquet"


def _check(folder: Path, chunks: int) -> tuple[int, int]:
    """Rows in the files, and those that failed; a file at a time."""
    import pyarrow.parquet as pq

    rows = failed = 0
    for i in range(chunks):
        if _part(folder, i).exists():
            errors = pq.read_table(_part(folder, i), columns=["error"]).column("error")
            rows, failed = rows + len(errors), failed + len(errors) - errors.null_count
    return rows, failed


def failures(folder: Path) -> Iterator[tuple[str, str]]:
    """Each input that failed, and why."""
    import pyarrow.parquet as pq

    for part in sorted(folder.glob("part-*.parquet")):
        for row in pq.read_table(part, columns=["input", "error"]).to_pylist():
            if row["error"] is not None:
                yield row["input"], row["error"]


# ── in a worker ──────────────────────────────────────────────────────────────────────────────────────────────────


class Worker:
    """Does chunks, with a model that it keeps."""

    def __init__(self, folder: str, arguments: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.predictor = zoo.BatchPredictor(**arguments)

    def __call__(self, given: Mapping[str, Any]) -> dict[str, list[Any]]:
        """A chunk's number, and why this worker can do no chunk at all: no plugin, a full disk."""
        chunk, offset, count = (int(given[key][0]) for key in ("chunk", "offset", "count"))
        problem = ""
        try:
            if not _part(self.folder, chunk).exists():  # else another worker did it, and died after that
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
        careful = tries.exists()  # whoever had this chunk before did not live to finish it
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
            tries.unlink(missing_ok=True)  # it was not the inputs that ended the worker
            raise
        del found["path"]
        return found

    def _one_by_one(self, sources: Sequence[Any], tries: Path) -> dict[str, list[Any]]:
        """Which is being done is written before it is begun, so that one that ends its worker is known by that."""
        runs = [run.split() for run in tries.read_text().split("run")[1:]]
        blamed = Counter(int(run[-1]) for run in runs if run)
        rows: list[dict[str, list[Any]]] = []
        with tries.open("a") as log:
            log.write("run\n")
            for i, source in enumerate(sources):
                if blamed[i] >= PATIENCE:
                    found = self.predictor({"path": [None]})
                    found["error"] = [f"It ended {blamed[i]} workers: the decoder has crashed, or memory ran out."]
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
    """Columns as a Parquet file that is there whole or not at all; the usual ones have one type in all files."""
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
