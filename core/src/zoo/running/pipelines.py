"""Files in, typed results out: open, prepare, batch, run, decode. What each step does is the task's affair."""

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
from typing_extensions import TypeVar  # torch brings it; typing's own takes a default from Python 3.13 on

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

LARGE = 1 << 25  # pixels of opened pictures from which a batch is run though it is not full
# Inputs from which optimising, which takes as long as some four of them and a copy, is sure to save more than it takes.
OPTIMIZE_FROM = 32
_optimizing = threading.Lock()
R_co = TypeVar("R_co", default=Any, covariant=True)


class Pipeline(Generic[R_co]):
    """A model with all that stands around it; made by :func:`pipeline`. Its results are of the type ``R_co``.

    Attributes:
        model: in eval mode, on ``device``.
        weights: the description of what was loaded; its categories name the results.
        task: how inputs are opened and outputs are read, and ``steps``, which do it.
        optimization: what :func:`zoo.optimize` did to ``model``, or in its ``notes`` why it could do nothing; None
            where it was not asked to, or not yet.
        optimize_from: inputs of one call from which ``model`` is replaced by what :func:`zoo.optimize` makes of it;
            None for never.
        workers: threads that open and prepare inputs ahead of the model, or ``"auto"``.
        keep_images: whether results hold the pictures that they are of. Else they read a picture of a file again where
            it is drawn or looked at, so that memory does not grow with the number of inputs.
        fast_decode: (width, height) that a JPEG is decoded to at least, in half, a quarter or an eighth of its size;
            None for whole.
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
        self.watched = getattr(self.steps, "watched", lambda model: ())  # others' tasks may be of an older contract
        self.cause: str | None = None  # of numbers that are not finite, when it has been looked for
        self.pixels = 0  # of pictures that were opened since memory was given back

    name: str = ""

    def __repr__(self) -> str:
        """What it is, in a line."""
        url = self.weights.url.rpartition("/")[2] or "unnamed"
        labels = f", {len(names)} labels" if (names := self.weights.read_categories()) else ""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        name = self.name or type(self.model).__name__
        said = f"{self.task.name} by {name}, weights {redacted(url)}{labels}, on {self.device}"
        return f"<zoo.Pipeline: {said}{f', {options}' if options else ''}>"

    @property
    def takes_bytes(self) -> bool:
        """Whether an input may be a file's bytes: the task opens pictures as :class:`zoo.PictureTask` does."""
        return type(self.steps).load is PictureTask.load

    def optimize(self, dtype: str | torch.dtype | None = None, engine: str = "torch") -> None:
        """Make the model what :func:`zoo.optimize` makes of it; :attr:`optimization` says how.

        Args:
            dtype, engine: as of :func:`zoo.optimize`.

        Raises:
            EngineError: what was asked for cannot be; without either, nothing is changed then.
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
            # Not by the clock, so that the same inputs have the same results to the last digit.
            optimize_model(model, example, inplace=True, measure=False)
            return cast(OptimizationReport, model.optimization_report)
        except Exception as e:  # noqa: BLE001  a plugin's own code can raise anything
            reason = f"Nothing was done: the model did not run on the task's example. {type(e).__name__}: {e}"
            return OptimizationReport(notes=(reason,), ran=False)

    def expect(self, inputs: int) -> None:
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
                a tensor [N, C, H, W], an array [N, H, W, C], or a list of any of these → a list of results. Tensors
                and arrays are uint8 in [0, 255] or float in [0, 1]. Where several files make one input, as for optical
                flow, a tuple of them → one result, a list of tuples → a list, and a video of many such inputs → one
                result. Type checkers, who cannot see whether a path is a folder's or a tensor a batch, take either for
                one input: ``pipe(pipe.expand(folder))`` is a list to them as well.
            batch_size: how many inputs go through the model together, or parts of one that is long.
            workers: as of :func:`pipeline`; by default what was said there.
            progress: show a progress bar; by default for long work.
            bgr: whether the channels of numpy arrays are in the order of OpenCV: blue, green, red.

        Raises:
            UnreadableFile: an input cannot be opened. :meth:`stream` goes on with the others.
            NonFiniteResult: what the model says of an input is NaN or infinite. Likewise.
            InvalidArgument: an empty folder or list, a batch size below 1, an input of another kind.
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
        """The single inputs that ``inputs`` stands for: folders are searched, batches taken apart.

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
        """``(source, result)`` in order, as they are ready; for an input that fails, the error is the result.

        Arguments are those of calling it. Where there are workers, the model runs a batch ahead.
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
    """(width, height) that a picture may be decoded to, given what it is resized to afterwards.

    Raises:
        InvalidArgument: it is not resized then, or the task does not open it as pictures are.
    """
    sides = getattr(ready.prepare, "resize_size", None)
    if sides is None or type(ready.steps).load is not PictureTask.load:
        why = "is not prepared by resizing pictures" if sides is None else "opens its inputs in a way of its own"
        raise InvalidArgument(f"fast_decode=True: the task {ready.task.name!r} {why} with these weights; leave it out.")
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
    """A model ready for files: ``zoo.pipeline("resnet50")("dog.jpg").top(5)``.

    Args:
        model: the model's name; a file, folder or repository with a model that :func:`zoo.save` wrote; a file that
            :func:`zoo.export` wrote (``"model.onnx"``); or a model that a builder made, used with the weights that were
            loaded into it. By default the task's default model, the smallest one whose weights are on this machine; a
            line on stderr says which.
        weights: as the builder takes them. For a model that was given: a :class:`zoo.Weights` that describes them, in
            place of the one that the builder left.
        device: ``"auto"`` is CUDA, else MPS, else the CPU; for a model that has ``devices`` (types of device, None
            for all), and none of them, the first of those. A model that is used itself stays where it is.
        task: a name; a :class:`zoo.TaskSpec`; or an object with a task's steps (a :class:`zoo.PictureTask`), which then
            opens, prepares and reads in place of the model's own task. By default the model's main one; without a
            model, image classification.
        optimize: run the model as :func:`zoo.optimize` makes it: faster, the same outputs within 1e-4 of their spread.
            That takes a few forwards, so by default it is done at the first call with 32 inputs or more, or a video of
            as many parts; with True at once. A model that was given is copied for it, so the pipeline does not see what
            is changed or trained later; with False it is used itself.
        dtype: ``"bfloat16"`` or ``"float16"`` to compute in half precision, as :func:`zoo.optimize` does it: inputs are
            cast and outputs widened. By default the model's own.
        engine: what computes the model, at once: ``"torch"``, ``"compile"``, ``"onnxruntime"``, ``"openvino"`` or
            another that a plugin brings. The first inputs of each shape take long.
        compile: the same as ``engine="compile"``.
        categories: class names in label order, in place of those that are known of the weights.
        workers: threads that open and prepare inputs ahead of the model, and one that reads its outputs behind it; 0
            does all in turn. ``"auto"`` is one a core, 16 at most, and 0 for fewer than 16 inputs.
        keep_images: keep every picture that was read from a file in its result, in place of reading it again when it
            is drawn: for files that will change or go.
        fast_decode: decode JPEG files in half, a quarter or an eighth of their size, where that is no smaller than
            what they are resized to: faster by up to three times, of other pixels and so with slightly other results.
            For weights whose preprocessing resizes pictures.
        **config: options of the task, such as ``pad=False`` of optical flow; the others are arguments of the builder.

    Raises:
        UnknownModel, UnknownWeights, UnknownTask: a name that nothing installed has.
        NoDefault: no model was named, and no default of the task is on this machine.
        InvalidArgument: no weights, so that there is nothing to predict with; no such device, precision or engine;
            ``fast_decode`` where it cannot be.
        MissingPlugin: what the engine needs is not installed.
        EngineError: the engine, or half precision, gives other outputs than are tolerated.
    """
    steps = None if task is None or isinstance(task, str | TaskSpec) else check_steps(task)
    said = task.name if isinstance(task, TaskSpec) else task if isinstance(task, str) else None
    if model is None:
        if steps is not None:
            raise InvalidArgument(f"task={type(steps).__name__}(…) without a model; name the model that it is for.")
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
            raise InvalidArgument(
                "optimize=False leaves the model as it is; leave it out, or dtype, engine and compile."
            )
    if isinstance(model, str | Path):
        info = registry.model_info(model, task=said, weights=weights)
        spec = task if isinstance(task, TaskSpec) else registry.get_task(said or info.task, plugin=info.plugin)
        options = spec.take_options(config, "predict") if steps is None else {}
        default = info.weights.get("DEFAULT")
        listed = default is not None and info.source is None and config.keys().isdisjoint(default.config)
        if listed and weights == "DEFAULT":
            # What is listed as the model's default is meant, where a builder would choose by its other arguments.
            weights = registry.get_model_weights(info.full_name)[info.default_weights or "DEFAULT"]
        if info.exported is not None:
            # A file that says nothing of itself is what the caller says.
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
        where = next((p.device for p in built.parameters()), where)  # it is used itself, so it stays where it is
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
