"""Metrics of a model on a data set: each input runs through the pipeline, leaves a small record, and is released.

The task's :class:`Evaluator` defines the records and the metrics computed from them. This module has the parts common
to all tasks: batches, processes, inputs that cannot be read, and resuming an interrupted evaluation.
"""

from __future__ import annotations

import contextlib
import functools
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
from typing import Any, NamedTuple

import torch
from torch import nn

from zoo import Pipeline, pipeline, registry
from zoo.contract import Evaluator, Examples, TaskSpec, Weights, check_count
from zoo.errors import ContractError, EvaluationError, InvalidArgument, NonFiniteResult, UnreadableFile
from zoo.files import redacted
from zoo.loading import ExportedModel, task_of
from zoo.running.sharding import Shard
from zoo_tools.records import FORMAT, Facts, Records, data_digest, digest, files_of, model_digest, without_secrets

LONG = 32  # minimum number of inputs for a progress bar


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on a data set.

    Attributes:
        model: name of the model.
        weights: name of the weights, or the URL of another file.
        task: name of the task.
        metrics: metric → value, under the names of :attr:`zoo.Weights.metrics`.
        measured: number of inputs in the metrics.
        failures: inputs that could not be read or scored, or whose results are NaN or infinite → reason. They are not
            part of the metrics.
        not_finite: number of failures with NaN or infinite results.
        published: data set → metric → value, as published with the weights.
        protocol: settings that affect the metrics: updates, clips, crops, limits.
        published_protocols: data set → the same for the published metrics, if known.
        notes: further remarks on the metrics, such as differences between the protocols.
        records: input → the record that the task's evaluator made of its result.
    """

    model: str
    weights: str
    task: str
    metrics: Mapping[str, float]
    measured: int
    failures: Mapping[str, str] = field(default_factory=dict)
    not_finite: int = 0
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    published_protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    records: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The output of ``zoo evaluate --json``. NaN values are None."""
        return {
            "model": self.model,
            "weights": self.weights,
            "task": self.task,
            "measured": self.measured,
            "metrics": {name: None if math.isnan(value) else value for name, value in self.metrics.items()},
            "not_finite": self.not_finite,
            "failures": [{"input": name, "error": error} for name, error in self.failures.items()],
            "published": {data: dict(values) for data, values in self.published.items()},
            "protocol": dict(self.protocol),
            "published_protocols": {data: dict(values) for data, values in self.published_protocols.items()},
            "notes": list(self.notes),
        }


def evaluate(
    model: str | Path | nn.Module,
    images: str | os.PathLike[str] | Examples,
    annotations: str | os.PathLike[str] | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: str | None = None,
    output: str | os.PathLike[str] | None = None,
    batch_size: int = 8,
    processes: int = 1,
    limit: int | None = None,
    shard: str | None = None,
    optimize: bool = True,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,  # noqa: A002  as in zoo.pipeline
    progress: bool | None = None,
    **config: Any,
) -> Evaluation:
    """Measure a model on a data set: ``zoo.evaluate("resnet50", "imagenet/val").metrics["acc@1"]``.

    The task's evaluator defines how the data must be stored; see its docstring.

    Args:
        model, weights, device, task, optimize, dtype, engine, compile: as for :func:`zoo.pipeline`.
        images: the folder of the inputs; or an opened reader, such as from :func:`zoo.open_data`, without annotations.
        annotations: the ground truth, a file or a folder. Classification uses the folder names instead.
        output: a folder for the records of finished inputs (``records.jsonl``) and the final metrics
            (``metrics.json``). The same call resumes an interrupted evaluation. Inputs that could not be read are tried
            again.
        batch_size: number of inputs in a batch. The batches do not depend on interruptions or on the number of
            processes, so that the metrics do not either.
        processes: number of processes, each with its own model; with more than one, the main program must be
            importable (``if __name__ == "__main__":``).
        limit: use only the first ``limit`` inputs.
        shard: ``"3/16"`` evaluates the third of 16 parts, and stores its records in a separate file in ``output``. The
            same call without ``shard`` reads the records of all shards, evaluates the remaining inputs, and returns
            metrics that equal those of a single run exactly.
        progress: show a progress bar; by default for long evaluations.
        **config: options of the task's pipeline, such as ``clips=4``, and of its evaluator, such as
            ``ignore_index=0``; all others are arguments of the builder.

    Raises:
        UnknownModel, UnknownWeights, UnknownTask: no installed plugin has this name.
        InvalidArgument: the data has an unexpected layout; the task has no evaluator; ``output`` has records of another
            model, of other weights, options or data, or files of these names that do not belong to an evaluation.
        EvaluationError: a process died, or the folder is in use. Records of finished inputs are kept.
        EngineError, MissingPlugin: from the engine.
    """
    check_count("batch_size", batch_size, 1)
    model = str(model) if isinstance(model, Path) else model
    check_count("processes", processes, 1)
    if limit is not None:
        check_count("limit", limit, 1)
    part = None if shard is None else Shard.parse(shard)
    if part is not None and output is None:
        raise InvalidArgument("shard needs output, the folder for the records of all shards.")
    if processes > 1 and not isinstance(model, str):
        raise InvalidArgument(
            "Several processes need the name of a model, since each builds its own; got a built model."
        )
    if isinstance(images, Examples) and annotations is not None:
        raise InvalidArgument("annotations must not be given with a reader as images, which has its own.")
    data = images if isinstance(images, Examples) else Path(images)
    paths = data, None if annotations is None else Path(annotations)
    for name, path in zip(("images", "annotations"), paths, strict=True):
        if isinstance(path, Path) and not path.exists():
            raise InvalidArgument(f"{name}: {str(path)!r} does not exist.")
    precision = None if dtype is None else str(dtype).removeprefix("torch.")
    given = {"dtype": precision, "engine": "compile" if compile and engine == "torch" else engine, "compile": compile}
    computing = given if precision not in (None, "float32") or given["engine"] != "torch" else {}
    job = _Job(model, weights, str(device), task, *paths, optimize, config, computing)
    # With worker processes, this process needs the model only for its description.
    ready, scorer, identity = (job if processes == 1 else replace(job, device="cpu", optimize=False, idle=True)).start()
    every = list(scorer.sources)
    if not every:
        raise InvalidArgument(f"There are no inputs to evaluate in {_said(data)}.")
    wanted = every[:limit]
    folder = None if output is None else Path(output)
    if folder is not None:
        reader = data if isinstance(data, Examples) else getattr(scorer, "reader", None)
        identity["data"] = data_digest(every, job.annotations, folder, reader)
    # Always the same batches: the other inputs of a batch may change the last digit of a result.
    batches = [every[i : i + batch_size] for i in range(0, len(wanted), batch_size)]
    if part is not None:
        batches, awaited = list(part.part(batches)), set(wanted)
        wanted = [name for batch in batches for name in batch if name in awaited]
    with Records(folder, identity, scorer.sources, part) as records:
        left = [batch for batch in batches if not records.done.keys() >= set(batch).intersection(wanted)]
        run = _in_processes(job, left, processes) if processes > 1 else _in_turn(ready, scorer, left)
        failures = _collect(run, records, wanted, len(wanted) >= LONG if progress is None else progress)
        found = [records.done[name] for name in wanted if name in records.done]
        metrics = dict(scorer.summarize(found)) if found else {}
        failed = {name: failures[name] for name in wanted if name in failures}
        notes = list(getattr(scorer, "notes", ()))
        if strange := sum(not outcome.finite for outcome in failed.values()):
            notes.append(
                f"{strange} of {len(found) + len(failed)} inputs gave NaN or infinite numbers; the metrics are for the "
                "others."
            )
        protocol, published = _protocols(ready, scorer)
        notes += _differences(
            protocol, {name: published[name] for name in published if ready.weights.metrics[name].keys() & metrics}
        )
        result = Evaluation(
            model=job.model_name,
            weights=identity["weights"],
            task=ready.task.name,
            metrics=metrics,
            measured=len(found),
            failures={name: outcome.error or "" for name, outcome in failed.items()},
            not_finite=strange,
            published=ready.weights.metrics,
            protocol=protocol,
            published_protocols=published,
            notes=tuple(map(redacted, notes)),
            records={name: records.done[name] for name in wanted if name in records.done},
        )
        records.finish(result.to_dict())
    return result


def _said(data: Path | Examples) -> str:
    return repr(str(data)) if isinstance(data, Path) else f"the given {type(data).__name__}"


def evaluator_of(task: TaskSpec) -> Any:
    """The function that makes an :class:`Evaluator` from ``(images, annotations, weights)``.

    Raises:
        InvalidArgument: the task has no evaluator.
    """
    make = registry.provided(task, "evaluate")
    if make is None:
        raise InvalidArgument(
            f"The task {task.name!r} has no evaluator; a plugin can provide one with "
            'zoo.TaskSpec(provides={"evaluate": …}).'
        )
    return make


def _protocols(ready: Pipeline, scorer: Evaluator) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The protocol of these metrics, and for each data set the protocol of the published ones, if known."""
    say = getattr(ready.steps, "protocol", None)  # absent in older contracts
    ours = {**(say(ready.weights) if say else {}), **getattr(scorer, "protocol", {})}
    ours = json.loads(json.dumps(ours, default=str))
    extra = ready.weights.extra
    common = {key: extra[key] for key in ours if key in extra}
    special = extra.get("protocols", {})
    every = {data: {**common, **special.get(data, {})} for data in ready.weights.metrics}
    return ours, {data: facts for data, facts in every.items() if facts}


def _differences(ours: Mapping[str, Any], published: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One sentence for each protocol that differs, with its data sets."""
    of: dict[str, list[str]] = {}
    for data, facts in published.items():
        others = [key for key in facts if ours.get(key) != facts[key]]
        if others:
            there, here = (", ".join(f"{key} {p.get(key, 'none')}" for key in others) for p in (facts, ours))
            of.setdefault(f"were measured with {there}; these with {here}.", []).append(data)
    return [f"The published metrics on {', '.join(data)} {text}" for text, data in of.items()]


# ── the work ─────────────────────────────────────────────────────────────────────────────────────────────────────


class _Outcome(NamedTuple):
    """The result of one input: its record, or the reason why it has none."""

    name: str
    files: Facts  # the files that the record was made from
    record: Any
    error: str | None = None
    finite: bool = True


Outcomes = Generator[_Outcome, None, None]


@dataclass(frozen=True)
class _Job:
    """The settings that a worker process needs."""

    model: str | nn.Module
    weights: Any
    device: str
    task: str | None
    images: Path | Examples
    annotations: Path | None
    optimize: bool
    config: Mapping[str, Any]
    computing: Mapping[str, Any]  # precision and engine, if not the defaults
    idle: bool = False  # whether worker processes do the work

    @property
    def _info(self) -> registry.ModelInfo:
        return registry.model_info(self.model, task=self.task, weights=self.weights)  # type: ignore[arg-type]

    @property
    def model_name(self) -> str:
        return self._info.name if isinstance(self.model, str) else type(self.model).__name__

    def start(self) -> tuple[Pipeline, Evaluator, dict[str, Any]]:
        """The pipeline, the evaluator, and their identity as texts and hashes."""
        entries: Mapping[str, Weights] = {}
        if isinstance(self.model, str):
            info = self._info
            entries = info.weights
            spec = registry.get_task(self.task or info.task, plugin=info.plugin)
        else:
            spec = task_of(self.model, self.task)
        make = evaluator_of(spec)
        others = dict(self.config)
        options = spec.take_options(others, "evaluate")
        entry = entries.get(self.weights) if isinstance(self.weights, str) else None
        # Made first if possible: wrong paths raise before anything is downloaded.
        scorer = None if entry is None else make(self.images, self.annotations, entry, **options)
        by_name = isinstance(self.model, str)
        computing = {} if self.idle else dict(self.computing)
        now = {} if by_name else computing
        optimize = None if now else self.optimize and not by_name
        try:
            ready = pipeline(self.model, self.weights, self.device, task=self.task, optimize=optimize, **now, **others)
        except TypeError as e:
            if not others:
                raise
            raise InvalidArgument(f"{self.model_name} cannot be built with {others}: {e}") from e
        named = [name for name, weights in entries.items() if weights == ready.weights and name != "DEFAULT"]
        identity = {
            "format": FORMAT,
            "model": self.model_name,
            "task": spec.name,
            "weights": named[0] if named else redacted(ready.weights.url),
            # A different signature in the URL does not mean different weights; the parameters tell.
            "description": digest(repr(replace(ready.weights, url=redacted(ready.weights.url), metrics={}, docs=""))),
            "parameters": model_digest(self.model if isinstance(self.model, nn.Module) else ready.model),
            "options": without_secrets(
                json.loads(json.dumps({**self.config, **self.computing}, default=repr, sort_keys=True))
            ),
        }
        fixed = isinstance(ready.model, ExportedModel)
        if by_name and not fixed and (self.optimize or computing):  # the hash of the parameters has been taken
            ready.optimize(computing.get("dtype"), computing.get("engine", "torch"))
        if scorer is None or ready.weights != entry:
            scorer = make(self.images, self.annotations, ready.weights, **options)
        return ready, scorer, identity


def _collect(run: Outcomes, records: Records, wanted: Sequence[str], bar: bool) -> dict[str, _Outcome]:
    """Store the records of inputs that were not finished before; return the failed inputs with their outcomes."""
    failures: dict[str, _Outcome] = {}
    before, awaited = set(records.done), set(wanted)
    finished = len(before & awaited)
    shown: Any = contextlib.nullcontext()
    if bar:
        from zoo.cli import working

        shown = working("Evaluating", total=len(wanted), unit="input", done=finished)
    with shown as work, contextlib.closing(run):
        for outcome in run:
            if outcome.name in before:  # it shares a batch with an unfinished input
                continue
            if outcome.error is None:
                records.add(outcome.name, outcome.record, outcome.files)
            else:
                failures[outcome.name] = outcome
            if work is not None and outcome.name in awaited:
                work.advance()
    return failures


def _measure(ready: Pipeline, scorer: Evaluator, batch: Sequence[str]) -> Outcomes:
    sources = [scorer.sources[name] for name in batch]
    files = [files_of(source) for source in sources]  # before they are opened: they may change during the evaluation
    results = ready.stream(sources, batch_size=len(batch), progress=False)
    for name, facts, (_, result) in zip(batch, files, results, strict=True):
        try:
            if isinstance(result, Exception):
                raise result
            record = scorer.measure(name, result)
        except (UnreadableFile, InvalidArgument, NonFiniteResult) as e:
            yield _Outcome(name, facts, None, redacted(e), not isinstance(e, NonFiniteResult))
            continue
        try:  # the same as after reading it from a file
            yield _Outcome(name, facts, json.loads(json.dumps(record, allow_nan=False)))
        except ValueError:
            yield _Outcome(name, facts, None, f"{name!r} has a score that is NaN or infinite.", False)
        except TypeError as e:
            raise ContractError(f"{type(scorer).__name__}.measure must return JSON values: {e}.") from e


def _in_turn(ready: Pipeline, scorer: Evaluator, batches: Iterable[Sequence[str]]) -> Outcomes:
    for batch in batches:
        yield from _measure(ready, scorer, batch)


def _in_processes(job: _Job, batches: Sequence[Sequence[str]], n: int) -> Outcomes:
    """Assign one batch at a time to each free process; yield results in the order of completion."""
    n = min(n, len(batches)) or 1
    threads = max(1, torch.get_num_threads() // n)
    spawn = multiprocessing.get_context("spawn")  # a forked process cannot use CUDA or torch's threads
    with ProcessPoolExecutor(n, mp_context=spawn, initializer=_join, initargs=(job, threads)) as pool:
        try:
            with _deaf_to_ctrl_c():
                ready = as_completed([pool.submit(_work, batch) for batch in batches])
            for future in ready:
                yield from future.result()
        except BrokenProcessPool as e:
            raise EvaluationError(
                "A worker process died, perhaps for lack of memory. Try fewer processes or smaller batches."
            ) from e
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Generator[None, None, None]:
    """Processes started meanwhile ignore the interrupt: their parent handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_job: _Job | None = None  # of this worker process


def _join(job: _Job, threads: int) -> None:
    """Initialize a worker process."""
    global _job
    _job = job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # the parent has given the same warnings


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the parent was killed


@functools.cache
def _started() -> tuple[Pipeline, Evaluator]:
    if _job is None:
        raise EvaluationError("This worker process was not initialized.")
    ready, scorer, _ = _job.start()
    return ready, scorer


def _work(batch: Sequence[str]) -> list[_Outcome]:
    return list(_measure(*_started(), batch))
