"""How good a model is on a data set: each input goes through the pipeline, leaves a small record, and is forgotten.

What a record is and which figures follow from all of them is the task's affair (:class:`Evaluator`). Here is what
every task needs: batches, processes, inputs that cannot be read, and going on where an evaluation was broken off.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import math
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.contract import TaskSpec, Weights, check_count, load_object
from zoo.errors import ContractError, EvaluationError, InvalidArgument, UnreadableFile
from zoo.running.pipelines import PROGRESS_FROM, Pipeline, pipeline

FORMAT = 1  # of the file of records
RECORDS, METRICS = "records.jsonl", "metrics.json"


class Evaluator(Protocol):
    """What a task knows about one data set; what ``TaskSpec.evaluate`` names makes it of the paths.

    It may also have ``notes``: sentences that whoever reads the figures should know, such as what was left out.
    """

    @property
    def sources(self) -> Mapping[str, Any]:
        """The inputs, in order: a name that stays the same while the data do → what the pipeline takes."""

    def measure(self, name: str, result: Any) -> Any:
        """What the figures need of the result for one input: small, and of what JSON has.

        Raises:
            UnreadableFile, InvalidArgument: what is known of this input is missing or does not fit. It counts as one
                that could not be read.
        """

    def summarize(self, records: Sequence[Any]) -> Mapping[str, float]:
        """The figures that follow from these records (in the order of ``sources``): metric → value, NaN for none."""


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on a data set.

    Attributes:
        model: its name.
        weights: the entry's name, or the URL of another file.
        task: the task's name.
        metrics: metric → value, under the names of :attr:`zoo.Weights.metrics`.
        measured: how many inputs the figures are of.
        failures: the inputs that could not be read or scored → why. The figures know nothing of them.
        published: data set → metric → value, as the weights' publishers measured them.
        notes: what else there is to know about the figures.
    """

    model: str
    weights: str
    task: str
    metrics: Mapping[str, float]
    measured: int
    failures: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """What ``zoo evaluate --json`` prints. A figure that is not a number is None."""
        return {
            "model": self.model,
            "weights": self.weights,
            "task": self.task,
            "measured": self.measured,
            "metrics": {name: None if math.isnan(value) else value for name, value in self.metrics.items()},
            "failures": [{"input": name, "error": error} for name, error in self.failures.items()],
            "published": {data: dict(values) for data, values in self.published.items()},
            "notes": list(self.notes),
        }


def evaluate(
    model: str | nn.Module,
    images: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: str | None = None,
    output: str | os.PathLike[str] | None = None,
    batch_size: int = 8,
    processes: int = 1,
    limit: int | None = None,
    optimize: bool = True,
    progress: bool | None = None,
    **config: Any,
) -> Evaluation:
    """Measure a model on a data set: ``zoo.evaluate("resnet50", "imagenet/val").metrics["acc@1"]``.

    How the data must lie on the disk is the task's affair; the docstring of its evaluator says it.

    Args:
        model, weights, device, task, optimize: as :func:`zoo.pipeline` takes them.
        images: the folder of the inputs.
        annotations: what is true of them, a file or a folder. Classification reads it off the folders' names.
        output: a folder that keeps a record of each finished input (``records.jsonl``), and the figures at the end
            (``metrics.json``). The same call goes on from there if it was broken off. Inputs that could not be read
            are tried again.
        batch_size: how many inputs go through the model together. Batches hold the same inputs wherever an evaluation
            is broken off, and however many processes there are, so that the figures are the same too.
        processes: how many work at the same time, each with a model of its own; a program that asks for more than one
            must be importable (``if __name__ == "__main__":``).
        limit: take only so many inputs, the first ones.
        progress: show a progress bar; by default for long work.
        **config: options of the task's pipeline, such as ``clips=4``, and of its evaluator, such as
            ``ignore_index=0``; the others are arguments of the builder.

    Raises:
        UnknownModel, UnknownWeights, UnknownTask: a name that nothing installed has.
        InvalidArgument: data of another layout than expected; a task that says not how it is evaluated; ``output``
            has records of another model, of other weights, options or data.
        EvaluationError: a process died, or the folder is in use. Finished inputs keep their records.
    """
    check_count("batch_size", batch_size, 1)
    check_count("processes", processes, 1)
    if limit is not None:
        check_count("limit", limit, 1)
    if processes > 1 and not isinstance(model, str):
        raise InvalidArgument("Several processes build a model each, so they need its name; a model was given.")
    paths = Path(images), None if annotations is None else Path(annotations)
    for name, path in zip(("images", "annotations"), paths, strict=True):
        if path is not None and not path.exists():
            raise InvalidArgument(f"{name}: there is no {str(path)!r}.")
    job = _Job(model, weights, str(device), task, *paths, optimize, config)
    # Where others do the work, this process needs the model for its description alone.
    ready, scorer, identity = (job if processes == 1 else replace(job, device="cpu", optimize=False)).start()
    every = list(scorer.sources)
    if not every:
        raise InvalidArgument(f"There is nothing to evaluate in {str(images)!r}.")
    wanted = every[:limit]
    folder = None if output is None else Path(output)
    if folder is not None:
        identity["data"] = _data_digest(every, job.annotations, folder)
    with _Records(folder, identity, scorer.sources) as records:
        # Always the same batches: what stands beside an input in a batch may change the last digit of its result.
        batches = [every[i : i + batch_size] for i in range(0, len(wanted), batch_size)]
        left = [batch for batch in batches if not records.done.keys() >= set(batch).intersection(wanted)]
        run = _in_processes(job, left, processes) if processes > 1 else _in_turn(ready, scorer, left)
        failures = _collect(run, records, wanted, len(wanted) >= PROGRESS_FROM if progress is None else progress)
        found = [records.done[name] for name in wanted if name in records.done]
        metrics = dict(scorer.summarize(found)) if found else {}
        result = Evaluation(
            model=job.model_name,
            weights=identity["weights"],
            task=ready.task.name,
            metrics=metrics,
            measured=len(found),
            failures={name: failures[name] for name in wanted if name in failures},
            published=ready.weights.metrics,
            notes=tuple(getattr(scorer, "notes", ())),
        )
        records.finish(result)
    return result


def evaluation_options(task: TaskSpec) -> dict[str, inspect.Parameter]:
    """What can be said to the evaluator of a task: the further parameters of what makes it."""
    return dict(list(inspect.signature(evaluator_of(task)).parameters.items())[3:])


def evaluator_of(task: TaskSpec) -> Any:
    """What makes an :class:`Evaluator` of ``(images, annotations, weights)``.

    Raises:
        InvalidArgument: the task has none.
    """
    if task.evaluate is None:
        raise InvalidArgument(
            f"The task {task.name!r} does not say how it is evaluated; its plugin would by zoo.TaskSpec(evaluate=…)."
        )
    return load_object(task.evaluate)


# ── the work ─────────────────────────────────────────────────────────────────────────────────────────────────────


class _Outcome(NamedTuple):
    """Of one input: its record, or why there is none."""

    name: str
    record: Any
    error: str | None = None


Outcomes = Generator[_Outcome, None, None]


@dataclass(frozen=True)
class _Job:
    """All that a process needs to know to take part."""

    model: str | nn.Module
    weights: Any
    device: str
    task: str | None
    images: Path
    annotations: Path | None
    optimize: bool
    config: Mapping[str, Any]

    @property
    def model_name(self) -> str:
        return registry.model_info(self.model).name if isinstance(self.model, str) else type(self.model).__name__

    def start(self) -> tuple[Pipeline, Evaluator, dict[str, Any]]:
        """The pipeline, what scores its results, and what both are made of, in words and hashes."""
        entries: Mapping[str, Weights] = {}
        if isinstance(self.model, str):
            info = registry.model_info(self.model)
            entries = info.weights
            spec = registry.get_task(self.task or info.task, plugin=info.plugin)
        elif self.task is not None:
            spec = registry.get_task(self.task)
        else:
            raise InvalidArgument("Say which task the model is for: task='image-classification', or another.")
        make = evaluator_of(spec)
        options = {name: self.config[name] for name in evaluation_options(spec) if name in self.config}
        others = {name: value for name, value in self.config.items() if name not in options}
        entry = entries.get(self.weights) if isinstance(self.weights, str) else None
        # Made first where it can be: wrong paths are told before anything is downloaded.
        scorer = None if entry is None else make(self.images, self.annotations, entry, **options)
        by_name = isinstance(self.model, str)
        try:
            ready = pipeline(
                self.model, self.weights, self.device, task=self.task, optimize=self.optimize and not by_name, **others
            )
        except TypeError as e:
            if not others:
                raise
            raise InvalidArgument(f"{self.model_name} cannot be built with {others}: {e}") from e
        named = [name for name, weights in entries.items() if weights == ready.weights and name != "DEFAULT"]
        identity = {
            "format": FORMAT,
            "model": self.model_name,
            "task": spec.name,
            "weights": named[0] if named else ready.weights.url,
            "description": _digest(repr(replace(ready.weights, metrics={}, docs=""))),
            "parameters": _model_digest(self.model if isinstance(self.model, nn.Module) else ready.model),
            "options": json.loads(json.dumps(self.config, default=repr, sort_keys=True)),
        }
        if self.optimize and by_name:  # now that it is known which parameters there were
            ready.optimize()
        if scorer is None or ready.weights != entry:
            scorer = make(self.images, self.annotations, ready.weights, **options)
        return ready, scorer, identity


def _collect(run: Outcomes, records: _Records, wanted: Sequence[str], bar: bool) -> dict[str, str]:
    """Keep the records of what was not finished before; returns the inputs that failed → why."""
    from tqdm import tqdm

    failures: dict[str, str] = {}
    before, awaited = set(records.done), set(wanted)
    finished = len(before & awaited)
    with tqdm(total=len(wanted), initial=finished, unit="input", disable=not bar) as progress, contextlib.closing(run):
        for name, record, error in run:
            if name in before:  # it stands in a batch with one that was not
                continue
            if error is None:
                records.add(name, record)
            else:
                failures[name] = error
            progress.update(name in awaited)
    return failures


def _measure(ready: Pipeline, scorer: Evaluator, batch: Sequence[str]) -> Outcomes:
    sources = [scorer.sources[name] for name in batch]
    results = ready.stream(sources, batch_size=len(batch), progress=False)
    for name, (_, result) in zip(batch, results, strict=True):
        if isinstance(result, Exception):
            yield _Outcome(name, None, str(result))
            continue
        try:
            record = scorer.measure(name, result)
        except (UnreadableFile, InvalidArgument) as e:
            yield _Outcome(name, None, str(e))
            continue
        try:  # as it will be when it is read from a file
            yield _Outcome(name, json.loads(json.dumps(record)))
        except TypeError as e:
            raise ContractError(f"{type(scorer).__name__}.measure must return what JSON has: {e}.") from e


def _in_turn(ready: Pipeline, scorer: Evaluator, batches: Iterable[Sequence[str]]) -> Outcomes:
    for batch in batches:
        yield from _measure(ready, scorer, batch)


def _in_processes(job: _Job, batches: Sequence[Sequence[str]], n: int) -> Outcomes:
    """A batch at a time for whoever is free; what they find comes in the order in which it is ready."""
    n = min(n, len(batches)) or 1
    threads = max(1, torch.get_num_threads() // n)
    spawn = multiprocessing.get_context("spawn")  # a forked process could not use CUDA, nor torch's threads
    with ProcessPoolExecutor(n, mp_context=spawn, initializer=_join, initargs=(job, threads)) as pool:
        try:
            with _deaf_to_ctrl_c():
                ready = as_completed([pool.submit(_work, batch) for batch in batches])
            for future in ready:
                yield from future.result()
        except BrokenProcessPool as e:
            raise EvaluationError(
                "A process died; perhaps there was too little memory. Try fewer processes, or smaller batches."
            ) from e
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Generator[None, None, None]:
    """Processes that are started meanwhile never hear it: it is their parent's affair."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_job: _Job | None = None  # of this process, where it is one of several


def _join(job: _Job, threads: int) -> None:
    """In a new process."""
    global _job
    _job = job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # the parent has warned of the same


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # it was killed, and nobody waits for this process


@functools.cache
def _started() -> tuple[Pipeline, Evaluator]:
    if _job is None:
        raise EvaluationError("This process was given nothing to evaluate.")
    ready, scorer, _ = _job.start()
    return ready, scorer


def _work(batch: Sequence[str]) -> list[_Outcome]:
    return list(_measure(*_started(), batch))


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Records:
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

    def __enter__(self) -> _Records:
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
        except (ValueError, KeyError, TypeError) as e:
            raise InvalidArgument(
                f"{str(path)!r} is no file of evaluation records, or damaged. Give another output, or delete it."
            ) from e
        if there != self._identity:
            what = _difference(there, self._identity)
            raise InvalidArgument(
                f"{str(path)!r} has records of {what}. Give another output, or delete it to begin anew."
            )
        self.done = {n: r for n, (size, r) in found.items() if n in self._sources and size == self._size(n)}

    def _size(self, name: str) -> list[int]:
        """In bytes, of the files that make an input; -1 for one that is not there."""
        source = self._sources[name]
        files = [f for f in (source if isinstance(source, list | tuple) else [source]) if isinstance(f, str | Path)]
        return [Path(f).stat().st_size if Path(f).exists() else -1 for f in files]

    def add(self, name: str, record: Any) -> None:
        self.done[name] = record
        if self._folder is not None:
            self._write({"input": name, "bytes": self._size(name), "record": record})

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._file.flush()  # from here on it survives the end of this process

    def finish(self, result: Evaluation) -> None:
        if self._folder is not None:
            (self._folder / METRICS).write_text(json.dumps(result.to_dict(), indent=2) + "\n")


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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _model_digest(model: nn.Module) -> str:
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


def _data_digest(names: Iterable[str], annotations: Path | None, without: Path) -> str:
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
