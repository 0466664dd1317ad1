"""Files in, typed results out: open, prepare, batch, run, decode. What each step does is the task's affair."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import length_hint
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from zoo import registry
from zoo.contract import TaskSpec, Weights, check_count
from zoo.errors import InvalidArgument, NonFiniteResult, UnreadableFile, ZooError
from zoo.features import watched_outputs
from zoo.loading import loaded_weights, task_of
from zoo.running.devices import pick_device
from zoo.running.finite import describe_cause, is_finite
from zoo.running.inputs import Inputs
from zoo.running.optimization import OptimizationReport, copied, optimize as optimize_model, placed
from zoo.running.tasks import make_task

LARGE = 1 << 25  # pixels of opened pictures from which a batch is run though it is not full
PROGRESS_FROM = 32  # inputs from which a progress bar is shown
# Inputs from which optimising, which takes as long as some four of them and a copy, is sure to save more than it takes.
OPTIMIZE_FROM = 32
_optimizing = threading.Lock()


class Pipeline:
    """A model with all that stands around it; made by :func:`pipeline`.

    Attributes:
        model: in eval mode, on ``device``.
        weights: the description of what was loaded; its categories name the results.
        task: how inputs are opened and outputs are read, and ``steps``, which do it.
        optimization: what :func:`zoo.optimize` did to ``model``, or in its ``notes`` why it could do nothing; None
            where it was not asked to, or not yet.
        optimize_from: inputs of one call from which ``model`` is replaced by what :func:`zoo.optimize` makes of it;
            None for never.
    """

    optimization: OptimizationReport | None = None
    optimize_from: int | None = None

    def __init__(
        self, model: nn.Module, task: TaskSpec, weights: Weights, device: torch.device, **options: Any
    ) -> None:
        self.model = model.eval().to(device)
        self.task = task
        self.weights = weights
        self.device = device
        self.steps = make_task(task, options)
        self.prepare = self.steps.transform(weights)
        self._watch = getattr(self.steps, "watched", lambda model: ())  # others' tasks may be of an older contract
        self._cause: str | None = None

    def optimize(self) -> None:
        """Change the model as :func:`zoo.optimize` does, in place; :attr:`optimization` says how."""
        self.optimization, self.optimize_from = self._optimize(self.model), None

    def _optimize(self, model: nn.Module) -> OptimizationReport:
        try:
            example = placed(model, self.steps.example(model, self.weights))
            optimize_model(model, example, inplace=True)
            return cast(OptimizationReport, model.optimization_report)
        except Exception as e:  # noqa: BLE001  a plugin's own code can raise anything
            reason = f"Nothing was done: the model did not run on the task's example. {type(e).__name__}: {e}"
            return OptimizationReport(notes=(reason,), ran=False)

    def _expect(self, inputs: int) -> None:
        """Optimise the model before so many inputs, where that was left open: a copy, for other threads may run it."""
        with _optimizing:
            if self.optimize_from is None or inputs < self.optimize_from:
                return
            self.optimize_from = None
            try:
                fast = copied(self.model)
            except InvalidArgument as e:
                self.optimization = OptimizationReport(notes=(str(e),))
                return
            self.optimization = self._optimize(fast)
            if self.optimization.ran:
                self.model = fast

    def __call__(self, inputs: Any, *, batch_size: int = 8, progress: bool | None = None) -> Any:
        """Predict.

        Args:
            inputs: a path, a PIL image or a tensor [C, H, W] → one result. A folder, a tensor [N, C, H, W], or a list
                of any of these → a list of results. Where several files make one input, as for optical flow, a tuple
                of them → one result, a list of tuples → a list, and a video of many such inputs → one result.
            batch_size: how many inputs go through the model together, or parts of one that is long.
            progress: show a progress bar; by default for long work.

        Raises:
            UnreadableFile: an input cannot be opened. :meth:`stream` goes on with the others.
            NonFiniteResult: what the model says of an input is NaN or infinite. Likewise.
            InvalidArgument: an empty folder or list, a batch size below 1, an input of another kind.
        """
        results = []
        for _, result in self.stream(self.expand(inputs), batch_size=batch_size, progress=progress):
            if isinstance(result, Exception):
                raise result
            results.append(result)
        return results if len(results) != 1 or Inputs(self.task, self.steps).is_several(inputs) else results[0]

    def expand(self, inputs: Any) -> list[Any]:
        """The single inputs that ``inputs`` stands for: folders are searched, batches taken apart.

        Raises:
            InvalidArgument: there are none.
        """
        return Inputs(self.task, self.steps).expand(inputs)

    def stream(
        self, sources: Sequence[Any], *, batch_size: int = 8, progress: bool | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """``(source, result)`` in order, as they are ready; for an input that fails, the error is the result."""
        check_count("batch_size", batch_size, 1)
        return self._stream(sources, batch_size, progress)

    def _stream(self, sources: Sequence[Any], batch_size: int, progress: bool | None) -> Iterator[tuple[Any, Any]]:
        self._expect(len(sources))
        with _bar(len(sources), "input", progress) as bar:
            for batch in self._opened(sources, batch_size):
                results = self._results(
                    (pair for _, pair in batch if not isinstance(pair, Exception)), batch_size, progress
                )
                for source, pair in batch:
                    yield source, pair if isinstance(pair, Exception) else next(results)
                    bar.update()

    def _opened(self, sources: Sequence[Any], batch_size: int) -> Iterator[list[tuple[Any, Any]]]:
        """Batches of sources and what came of opening each; cut short where their pictures are large, which are so
        opened one after the other."""
        batch: list[tuple[Any, Any]] = []
        pixels = 0
        for source in sources:
            opened = self._open(source)
            batch.append((source, opened))
            pixels += 0 if isinstance(opened, Exception) else _pixels(opened[0])
            if len(batch) == batch_size or pixels >= LARGE:
                yield batch
                batch, pixels = [], 0
        if batch:
            yield batch

    def _open(self, source: Any) -> tuple[Any, Any] | ZooError:
        """The input and what the model is fed, or why it cannot be had."""
        try:
            loaded = self.steps.load(source)
            return loaded, self.prepare(loaded)
        except (UnreadableFile, InvalidArgument) as e:
            return e

    def _results(
        self, opened: Iterable[tuple[Any, Any]], batch_size: int, progress: bool | None
    ) -> Iterator[Any | ZooError]:
        """What comes of inputs that are open: together where they can be, part by part where an input has parts."""

        def kind(pair: tuple[Any, Any]) -> Any:
            has_parts = isinstance(pair[1], Iterator)
            return has_parts, None if has_parts or not self.task.same_size else _shapes(pair[1])

        for (has_parts, _), run in itertools.groupby(opened, kind):
            if has_parts:
                for loaded, parts in run:
                    yield self._run_parts(loaded, parts, batch_size, progress)
            else:
                yield from self._run(list(run))

    def _run_parts(self, loaded: Any, parts: Iterator[Any], batch_size: int, progress: bool | None) -> Any | ZooError:
        """What comes of one input, of which no more is held than a batch of its parts."""

        def results() -> Iterator[Any]:
            self._expect(length_hint(parts))
            with _bar(length_hint(parts), "part", progress) as bar:
                for batch in _chunks(parts, batch_size):
                    for result in self._run(batch):
                        if isinstance(result, Exception):
                            raise result
                        yield result
                    bar.update(len(batch))
                    batch.clear()  # before the next is read

        try:
            return self.steps.gather(loaded, results())
        except (UnreadableFile, InvalidArgument, NonFiniteResult) as e:  # a video that is damaged further on
            return e

    @torch.inference_mode()
    def _run(self, pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
        arguments = self.steps.collate([prepared for _, prepared in pairs])
        model = self.model
        watched = {str(i): module for i, module in enumerate(self._watch(model))}
        found: dict[str, Any] = {}
        outputs: Any = None
        try:
            with watched_outputs(watched, found):
                outputs = model(*(_to(argument, self.device) for argument in arguments))
        except Exception:  # what comes after NaN may fail in any way
            if is_finite(found):
                raise
        if not is_finite(found):  # which input's fault it is, each alone will tell
            return [self._not_finite()] if len(pairs) == 1 else [self._run([pair])[0] for pair in pairs]
        results = self.steps.decode(outputs, [loaded for loaded, _ in pairs], self.weights)
        return [result if is_finite(result) else self._not_finite() for result in results]

    def _not_finite(self) -> NonFiniteResult:
        if self._cause is None:
            self._cause = describe_cause(self.model)
        return NonFiniteResult(f"The model's output is NaN or infinite, which is no answer; {self._cause}.")


def _shapes(prepared: Any) -> Any:
    """The shape of a tensor, or those of the tensors that an input consists of."""
    return prepared.shape if isinstance(prepared, Tensor) else [_shapes(one) for one in prepared]


def _pixels(loaded: Any) -> int:
    """Of the pictures that an opened input holds in memory."""
    if isinstance(loaded, Image.Image):
        return loaded.width * loaded.height
    if isinstance(loaded, Tensor):
        return loaded.numel() // 3
    return sum(map(_pixels, loaded)) if isinstance(loaded, list | tuple) else 0


def _bar(total: int, unit: str, progress: bool | None) -> Any:
    """A progress bar, shown where the work is long if ``progress`` is None."""
    from tqdm import tqdm

    shown = total >= PROGRESS_FROM if progress is None else progress
    return tqdm(total=total or None, unit=unit, disable=not shown, leave=unit == "input")


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(items)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return [_to(v, device) for v in value] if isinstance(value, list | tuple) else value


def pipeline(
    model: str | Path | nn.Module,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: str | None = None,
    optimize: bool | None = None,
    categories: Sequence[str] | None = None,
    **config: Any,
) -> Pipeline:
    """A model ready for files: ``zoo.pipeline("resnet50")("dog.jpg").top(5)``.

    Args:
        model: the model's name; a file, folder or repository with a model that :func:`zoo.save` wrote; or a model that
            a builder made, used with the weights that were loaded into it.
        weights: as the builder takes them. For a model that was given: a :class:`zoo.Weights` that describes them, in
            place of the one that the builder left.
        device: ``"auto"`` is CUDA, else MPS, else the CPU; for a model that has ``devices`` (types of device, None
            for all), and none of them, the first of those.
        task: by default the model's main one.
        optimize: run the model as :func:`zoo.optimize` makes it: faster, the same outputs within 1e-4 of their spread.
            That takes a few forwards, so by default it is done at the first call with 32 inputs or more, or a video of
            as many parts; with True at once. A model that was given is copied for it, so the pipeline does not see what
            is changed or trained later; with False it is used itself.
        categories: class names in label order, in place of those that are known of the weights.
        **config: options of the task, such as ``pad=False`` of optical flow; the others are arguments of the builder.

    Raises:
        UnknownModel, UnknownWeights, UnknownTask: a name that nothing installed has.
        InvalidArgument: no weights, so that there is nothing to predict with; no such device.
    """
    where = pick_device(device)
    if isinstance(model, str | Path):
        info = registry.model_info(model)
        spec = registry.get_task(task or info.task, plugin=info.plugin)
        options = spec.take_options(config, "predict")
        default = info.weights.get("DEFAULT")
        listed = default is not None and info.source is None and config.keys().isdisjoint(default.config)
        if listed and weights == "DEFAULT":
            # What is listed as the model's default is meant, where a builder would choose by its other arguments.
            weights = registry.get_model_weights(info.full_name)["DEFAULT"]
        built = registry.get_model(model, weights=weights, **config)
        description = loaded_weights(built)
        if description is not None and description.transforms is None and default is not None:
            # A bare file says nothing of itself: it is prepared as the published weights are.
            description = replace(default, url=description.url, sha256=description.sha256, categories=None, metrics={})
    else:
        given = getattr(weights, "value", weights)
        built, description = model, given if isinstance(given, Weights) else loaded_weights(model) or given
    if not isinstance(description, Weights):
        raise InvalidArgument(
            f"weights={weights!r}: a pipeline needs to know what its model was trained on. Name an entry, a file or a "
            "URL"
            f"{'' if isinstance(model, str | Path) else ', or describe them by zoo.Weights(url=…, transforms=…)'}."
        )
    if not isinstance(model, str | Path):
        spec = task_of(model, task)
        options = spec.take_options(config, "predict")
    if categories is not None:
        description = replace(description, categories=list(categories))
    able = getattr(built, "devices", None)
    if able and str(device) == "auto" and where.type not in able:
        where = torch.device(able[0])
    report: OptimizationReport | None = None
    if optimize is not False and not isinstance(model, str | Path):
        try:
            built = copied(built)
        except InvalidArgument as e:
            report = OptimizationReport(notes=(str(e),))
    ready = Pipeline(built, spec, description, where, **options)
    ready.optimization = report
    if optimize and report is None:
        ready.optimize()
    elif optimize is None and report is None:
        ready.optimize_from = OPTIMIZE_FROM
    return ready
