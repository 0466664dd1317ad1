"""Files in, typed results out: open, prepare, batch, run, decode. The task implements the steps."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, cast, overload

import numpy as np
import torch
from PIL import Image
from torch import nn
from typing_extensions import TypeVar  # a dependency of torch; typing.TypeVar has defaults from Python 3.13 on

from zoo import registry
from zoo.contract import Task, TaskSpec, Weights, check_count
from zoo.errors import InvalidArgument, InvalidKind, suggest
from zoo.files import redacted
from zoo.loading import ExportedModel, built_by, loaded_weights, task_of
from zoo.running.ahead import check_workers
from zoo.running.devices import pick_device
from zoo.running.inputs import Inputs, from_arrays
from zoo.running.optimization import OptimizationReport, check_request, copied, optimize as optimize_model, placed
from zoo.running.precision import read_dtype, read_engine
from zoo.running.streaming import Stream, progress_bar
from zoo.running.tasks import PictureTask, check_steps, make_task, spec_of

LARGE = 1 << 25  # pixels of opened pictures from which a batch is run before it is full
# Least number of inputs for optimization by default, which takes as long as about four inputs and a copy.
OPTIMIZE_FROM = 32
_optimizing = threading.Lock()
R_co = TypeVar("R_co", default=Any, covariant=True)


class Pipeline(Generic[R_co]):
    """A model with its preprocessing and postprocessing; made by :func:`pipeline`. Its results have the type ``R_co``.

    Attributes:
        model: in eval mode, on ``device``.
        weights: the description of the loaded weights; results use its categories.
        task: the description of the task; ``steps`` is its object.
        optimization: the report of :func:`zoo.optimize`, with reasons in its ``notes`` if it could do nothing; None if
            it has not run.
        optimize_from: number of inputs of a call from which ``model`` is optimized by :func:`zoo.optimize`; None for
            never.
        workers: threads that open and prepare inputs ahead of the model, or ``"auto"``.
        keep_images: whether results keep their pictures in memory. Otherwise they read a picture from its file again
            when it is drawn or accessed, so that memory does not grow with the number of inputs.
        fast_decode: least (width, height) of a JPEG that is decoded at a half, a quarter or an eighth of its size; None
            to decode at full size.
    """

    optimization: OptimizationReport | None = None
    optimize_from: int | None = None
    workers: int | str = "auto"
    keep_images: bool = False
    fast_decode: tuple[int, int] | None = None

    def __init__(
        self,
        model: nn.Module,
        task: TaskSpec,
        weights: Weights,
        device: torch.device,
        steps: Task | None = None,
        **options: Any,
    ) -> None:
        self.model = model.eval().to(device)
        self.task = task
        self.weights = weights
        self.device = device
        self.options = options
        self.steps = make_task(task, options) if steps is None else steps
        self.prepare = self.steps.transform(weights)
        self.watched = getattr(self.steps, "watched", lambda model: ())  # third-party tasks may have an older contract
        self.cause: str | None = None  # of non-finite numbers, once it was searched
        self.pixels = 0  # of pictures that were opened since memory was last trimmed

    name: str = ""

    def __repr__(self) -> str:
        """A one-line description."""
        url = self.weights.url.rpartition("/")[2] or "unnamed"
        labels = f", {len(names)} labels" if (names := self.weights.read_categories()) else ""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        name = self.name or type(self.model).__name__
        said = f"{self.task.name} by {name}, weights {redacted(url)}{labels}, on {self.device}"
        return f"<zoo.Pipeline: {said}{f', {options}' if options else ''}>"

    @property
    def takes_bytes(self) -> bool:
        """Whether an input may be the bytes of a file: the task opens pictures with :class:`zoo.PictureTask`."""
        return type(self.steps).load is PictureTask.load

    def optimize(self, dtype: str | torch.dtype | None = None, engine: str = "torch") -> None:
        """Replace the model by the result of :func:`zoo.optimize`; :attr:`optimization` has the report.

        Args:
            dtype, engine: as for :func:`zoo.optimize`.

        Raises:
            EngineError: the dtype or engine is not possible; if neither is given, the model is not changed instead.
        """
        self.optimize_from = None
        if dtype is None and engine == "torch":
            self.optimization = self._optimize(self.model)
            return
        example = placed(self.model, self.steps.example(self.model, self.weights))
        self.model = optimize_model(self.model, example, dtype=dtype, engine=engine, inplace=True, measure=False)
        self.optimization = cast(OptimizationReport, self.model.optimization_report)

    def _optimize(self, model: nn.Module) -> OptimizationReport:
        try:
            example = placed(model, self.steps.example(model, self.weights))
            # Without measuring, so that results for the same inputs are reproducible.
            optimize_model(model, example, inplace=True, measure=False)
            return cast(OptimizationReport, model.optimization_report)
        except Exception as e:  # noqa: BLE001  a plugin's code may raise any exception
            reason = f"Nothing was done: the model did not run on the task's example. {type(e).__name__}: {e}"
            return OptimizationReport(notes=(reason,), ran=False)

    def expect(self, inputs: int) -> None:
        """Optimize the model for a number of inputs, if that was not decided: a copy, since other threads may run the
        model."""
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

    @overload
    def __call__(
        self,
        inputs: list[Any],
        *,
        batch_size: int = 8,
        workers: int | str | None = None,
        progress: bool | None = None,
        bgr: bool = False,
    ) -> list[R_co]: ...
    @overload
    def __call__(
        self,
        inputs: str | Path | Image.Image | torch.Tensor | np.ndarray[Any, Any] | tuple[Any, ...],
        *,
        batch_size: int = 8,
        workers: int | str | None = None,
        progress: bool | None = None,
        bgr: bool = False,
    ) -> R_co: ...
    def __call__(
        self,
        inputs: Any,
        *,
        batch_size: int = 8,
        workers: int | str | None = None,
        progress: bool | None = None,
        bgr: bool = False,
    ) -> Any:
        """Predict.

        Args:
            inputs: a path, a PIL image, a tensor [C, H, W] or a numpy array [H, W, C] or [H, W] → one result. A folder,
                a tensor [N, C, H, W], an array [N, H, W, C], or a list of any of these → a list of results. Tensors and
                arrays are uint8 in [0, 255] or float in [0, 1]. If several files make one input, as for optical flow, a
                tuple of them → one result, a list of tuples → a list, and a video of many such inputs → one result.
                Type checkers cannot distinguish folders from files and batches from tensors, and assume one input:
                ``pipe(pipe.expand(folder))`` is a list for them as well.
            batch_size: number of inputs that go through the model together, or of parts of a long input.
            workers: as for :func:`pipeline`; by default the value given there.
            progress: show a progress bar; by default for long work.
            bgr: whether the channels of numpy arrays are in the order of OpenCV: blue, green, red.

        Raises:
            UnreadableFile: an input cannot be opened. :meth:`stream` continues with the others.
            NonFiniteResult: the outputs for an input are NaN or infinite. :meth:`stream` continues here, too.
            InvalidArgument: a folder or list is empty, the batch size is below 1, or an input has another type.
        """
        results = []
        inputs = from_arrays(inputs, self.task.input_ndim, bgr)
        stream = self.stream(self.expand(inputs), batch_size=batch_size, workers=workers, progress=progress)
        with contextlib.closing(stream):
            for _, result in stream:
                if isinstance(result, Exception):
                    raise result
                results.append(result)
        return results if len(results) != 1 or Inputs(self.task, self.steps).is_several(inputs) else results[0]

    def expand(self, inputs: Any) -> list[Any]:
        """The single inputs in ``inputs``: folders are searched, batches are split.

        Raises:
            InvalidArgument: there are none.
        """
        return Inputs(self.task, self.steps).expand(inputs)

    def stream(
        self,
        sources: Sequence[Any],
        *,
        batch_size: int = 8,
        workers: int | str | None = None,
        progress: bool | None = None,
    ) -> Generator[tuple[Any, R_co | Exception], None, None]:
        """``(source, result)`` in order, as they are ready; for an input that fails, the exception is the result.

        Arguments are those of a call. With workers, the model runs one batch ahead.
        """
        check_count("batch_size", batch_size, 1)
        return self._stream(sources, batch_size, self.workers if workers is None else check_workers(workers), progress)

    def _stream(
        self, sources: Sequence[Any], batch_size: int, workers: int | str, progress: bool | None
    ) -> Generator[tuple[Any, R_co | Exception], None, None]:
        self.expect(len(sources))
        stream = Stream(self, batch_size=batch_size, workers=workers, large=LARGE, progress=progress)
        with progress_bar(len(sources), "input", progress) as bar, contextlib.closing(stream.run(sources)) as run:
            for pair in run:
                yield pair
                bar.update()


def name_of(model: nn.Module) -> str:
    """The name of the function that built a model, else its class."""
    return (built_by(model) or "").rpartition(":")[2] or type(model).__name__


def least_size(ready: Pipeline) -> tuple[int, int]:
    """(width, height) to which a picture may be decoded, given the size to which it is resized afterwards.

    Raises:
        InvalidArgument: the preprocessing does not resize, or the task opens its inputs itself.
    """
    sides = getattr(ready.prepare, "resize_size", None)
    if sides is None or type(ready.steps).load is not PictureTask.load:
        why = "is not prepared by resizing pictures" if sides is None else "opens its inputs itself"
        raise InvalidArgument(
            f"fast_decode=True: the task {ready.task.name!r} {why} with these weights; remove fast_decode."
        )
    return max(sides), max(sides)


def pipeline(
    model: str | Path | nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: str | TaskSpec | Task | None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,  # noqa: A002  torch's word for it
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline:
    """A model for files: ``zoo.pipeline("resnet50")("dog.jpg").top(5)``.

    Args:
        model: the model's name; a file, folder or repository with a model that :func:`zoo.save` wrote; a file that
            :func:`zoo.export` wrote (``"model.onnx"``); or a model that a builder made, used with the weights that were
            loaded into it. By default the task's default model, the smallest one whose weights are on this machine,
            which is named on stderr.
        weights: as the builder takes them. For a built model: a :class:`zoo.Weights` that describes its weights,
            instead of the builder's description.
        device: ``"auto"`` is CUDA, else MPS, else the CPU; if the model has ``devices`` (types of device, None for all)
            without this one, the first of them. A model that is used without a copy is not moved.
        task: a name; a :class:`zoo.TaskSpec`; or an object with a task's steps (a :class:`zoo.PictureTask`), which
            replaces the model's own task. By default the model's main task; without a model, image classification.
        optimize: run the result of :func:`zoo.optimize`: faster, with the same outputs within 1e-4 of their standard
            deviation. Optimization takes a few forward passes, so by default it is done at the first call with 32
            inputs or more, or a video of 32 parts; with True, immediately. A built model is copied for this, so that
            later changes and training do not affect the pipeline; with False it is used itself.
        dtype: ``"bfloat16"`` or ``"float16"`` to compute in half precision, as :func:`zoo.optimize` does: inputs are
            cast and outputs converted back. By default the model's own precision.
        engine: the engine that computes the model: ``"torch"``, ``"compile"``, ``"onnxruntime"``, ``"openvino"`` or
            another one of a plugin. The first inputs of each shape are slow.
        compile: the same as ``engine="compile"``.
        categories: class names in label order, instead of those of the weights.
        workers: threads that open and prepare inputs ahead of the model, besides one that decodes its outputs; 0 uses
            no threads. ``"auto"`` is one per core, at most 16, and 0 for fewer than 16 inputs.
        keep_images: keep every picture that was read from a file in its result, instead of reading it again when it is
            drawn: for files that will be changed or deleted.
        fast_decode: decode JPEG files at a half, a quarter or an eighth of their size, if that is not below the size to
            which they are resized: up to three times faster, with slightly different results. For weights whose
            preprocessing resizes pictures.
        **config: options of the task, such as ``pad=False`` for optical flow; others are arguments of the builder.

    Raises:
        UnknownModel, UnknownWeights, UnknownTask: no installed plugin has this name.
        NoDefault: no model was given, and no default model of the task is on this machine.
        InvalidArgument: there are no weights; there is no such device, precision or engine; ``fast_decode`` is not
            possible.
        MissingPlugin: what the engine needs is not installed.
        EngineError: outputs of the engine, or in half precision, are not within the tolerance.
    """
    steps = None if task is None or isinstance(task, str | TaskSpec) else check_steps(task)
    said = task.name if isinstance(task, TaskSpec) else task if isinstance(task, str) else None
    if model is None:
        if steps is not None:
            raise InvalidArgument(f"task={type(steps).__name__}(…) without a model; name its model.")
        if not (isinstance(weights, str) and weights == "DEFAULT"):
            raise InvalidArgument(f"weights={weights!r} without a model; name the model whose weights they are.")
        chosen = registry.default_model(said)
        print(chosen, file=sys.stderr)
        model, weights = chosen.name, chosen.weights
    threads = check_workers(workers)
    where = pick_device(device)
    engine, precision = read_engine(engine, compile), read_dtype(dtype)
    special = engine != "torch" or precision not in (None, torch.float32)
    if special:
        check_request(engine, precision, where)
        if optimize is False:
            raise InvalidArgument("optimize=False excludes dtype, engine and compile; remove it or them.")
    if isinstance(model, str | Path):
        info = registry.model_info(model, task=said, weights=weights)
        spec = task if isinstance(task, TaskSpec) else registry.get_task(said or info.task, plugin=info.plugin)
        options = spec.take_options(config, "predict") if steps is None else {}
        default = info.weights.get("DEFAULT")
        listed = default is not None and info.source is None and config.keys().isdisjoint(default.config)
        if listed and weights == "DEFAULT":
            # The listed default of the model, even if a builder would choose by its other arguments.
            weights = registry.get_model_weights(info.full_name)[info.default_weights or "DEFAULT"]
        if info.exported is not None:
            # The caller describes a file without facts.
            config |= {"task": said} if not info.exported else {}
            optimize = False if optimize is None else optimize
        try:
            built = registry.get_model(model, weights=weights, **config)
        except InvalidKind as e:
            if meant := spec.option_meant(config):
                raise InvalidKind(f"{e} {meant}") from None
            raise
        description = loaded_weights(built)
        if description is not None and description.transforms is None and default is not None:
            # A bare file has no facts: it gets the preprocessing of the published weights.
            description = replace(default, url=description.url, sha256=description.sha256, categories=None, metrics={})
    else:
        given = getattr(weights, "value", weights)
        built, description = model, given if isinstance(given, Weights) else loaded_weights(model) or given
    if not isinstance(description, Weights):
        raise InvalidArgument(
            f"weights={weights!r}: a pipeline needs to know what its model was trained on. Give the name of weights, a "
            "URL"
            f"{'' if isinstance(model, str | Path) else ', or describe them with zoo.Weights(url=…, transforms=…)'}."
        )
    if not isinstance(model, str | Path):
        spec = task if isinstance(task, TaskSpec) else task_of(model, said) if steps is None else spec_of(model, steps)
        options = spec.take_options(config, "predict") if steps is None else {}
        if config:
            has = ", ".join(spec.options_of("predict")) or "none"
            name = next(iter(config))
            hint = spec.option_meant(config) or suggest(name, spec.options_of("predict"))
            raise InvalidKind(
                f"A pipeline of a built model takes no argument {name!r}. Options of {spec.name}: {has}. {hint.strip()}"
            )
    if categories is not None:
        description = replace(description, categories=list(categories))
    able = getattr(built, "devices", None)
    if able and str(device) == "auto" and where.type not in able:
        where = torch.device(able[0])
    if optimize is False and not isinstance(model, str | Path) and str(device) == "auto":
        where = next((p.device for p in built.parameters()), where)  # it is used itself, so it is not moved
    report: OptimizationReport | None = None
    if optimize is not False and not isinstance(model, str | Path):
        try:
            built = copied(built)
        except InvalidArgument as e:
            if special:
                raise
            report = OptimizationReport(notes=(str(e),))
    if isinstance(built, ExportedModel) and built.mixes_no_sizes:
        spec = replace(spec, same_size=True)
    ready = Pipeline(built, spec, description, where, steps, **options)
    ready.workers, ready.keep_images = threads, keep_images
    ready.name = info.name if isinstance(model, str | Path) else name_of(model)
    if fast_decode:
        ready.fast_decode = least_size(ready)
    ready.optimization = report
    if special:
        ready.optimize(precision, engine)
    elif optimize and report is None:
        ready.optimize()
    elif optimize is None and report is None:
        ready.optimize_from = OPTIMIZE_FROM
    return ready
