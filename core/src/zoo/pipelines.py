"""Files in, typed results out: open, prepare, batch, run, decode. What each step does is the task's affair."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from zoo import registry
from zoo.builders import loaded_weights
from zoo.contract import TaskSpec, Weights, check_count, load_object
from zoo.errors import InvalidArgument, UnreadableFile, ZooError
from zoo.optimization import OptimizationReport, optimize as optimize_model

PROGRESS_FROM = 32  # inputs from which a progress bar is shown
_SOURCES = (str, Path, Image.Image, Tensor)


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device to run on; ``"auto"`` is CUDA, else MPS, else the CPU.

    Raises:
        InvalidArgument: no such device here.
    """
    if str(device) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as e:
        reason = str(e).splitlines()[0]
        raise InvalidArgument(f"device={str(device)!r} cannot be used here ({reason}). Try 'auto' or 'cpu'.") from e
    return chosen


class Pipeline:
    """A model with all that stands around it; made by :func:`pipeline`.

    Attributes:
        model: in eval mode, on ``device``.
        weights: the description of what was loaded; its categories name the results.
        task: how inputs are opened and outputs are read.
        optimization: what :func:`zoo.optimize` did to ``model``, or in its ``notes`` why it could do nothing; None
            where it was not asked to.
    """

    optimization: OptimizationReport | None = None

    def __init__(
        self, model: nn.Module, task: TaskSpec, weights: Weights, device: torch.device, **options: Any
    ) -> None:
        self.model = model.eval().to(device)
        self.task = task
        self.weights = weights
        self.device = device
        self.prepare: Callable[[Any], Any]
        if task.transform is not None:
            self.prepare = load_object(task.transform)(weights, **options)
        elif weights.transforms is not None:
            self.prepare = weights.transforms()
        else:
            raise InvalidArgument("The weights name no preprocessing; give zoo.Weights(transforms=zoo.Preset(…)).")
        self._load = load_object(task.load)
        self._collate = load_object(task.collate)
        self._decode = load_object(task.decode)

    def __call__(self, inputs: Any, *, batch_size: int = 8, progress: bool | None = None) -> Any:
        """Predict.

        Args:
            inputs: a path, a PIL image or a tensor [C, H, W] → one result. A folder, a tensor [N, C, H, W], or a list
                of any of these → a list of results. Where several files make one input, as for optical flow, a tuple
                of them → one result, and a list of tuples → a list.
            batch_size: how many inputs go through the model together.
            progress: show a progress bar; by default for long work.

        Raises:
            UnreadableFile: an input cannot be opened. :meth:`stream` goes on with the others.
            InvalidArgument: an empty folder or list, a batch size below 1, an input of another kind.
        """
        sources = self.expand(inputs)
        results = []
        for _, result in self.stream(sources, batch_size=batch_size, progress=progress):
            if isinstance(result, Exception):
                raise result
            results.append(result)
        kinds = list if self.task.inputs_per_sample > 1 and isinstance(inputs, tuple) else list | tuple
        several = isinstance(inputs, kinds) or len(results) != 1 or _is_folder(inputs) or self._is_batch(inputs)
        return results if several else results[0]

    def expand(self, inputs: Any) -> list[Any]:
        """The single inputs that ``inputs`` stands for: folders are searched, batches taken apart.

        Raises:
            InvalidArgument: there are none.
        """
        if self.task.inputs_per_sample > 1:
            return self._expand_groups(inputs, self.task.inputs_per_sample)
        found: list[Any] = []
        for item in inputs if isinstance(inputs, list | tuple) else [inputs]:
            if _is_folder(item):
                found += self._search(item, 1)
            elif self._is_batch(item):
                found += list(item)
            elif isinstance(item, _SOURCES):
                found.append(item)
            else:
                raise InvalidArgument(f"Cannot predict from {type(item).__name__}; expected a path, picture or tensor.")
        if not found:
            raise InvalidArgument("There is nothing to predict: the list of inputs is empty.")
        return found

    def _expand_groups(self, inputs: Any, n: int) -> list[tuple[Any, ...]]:
        """Inputs of ``n`` files: a tuple is one, or as many as its batches hold; the rest is taken ``n`` at a time."""
        found: list[tuple[Any, ...]] = []
        loose: list[Any] = []
        for item in inputs if isinstance(inputs, list) else [inputs]:
            if _is_folder(item):
                files = self._search(item, n)
                found += zip(*(files[i:] for i in range(n)), strict=False)
            elif isinstance(item, list | tuple):
                if len(item) != n or not all(isinstance(one, _SOURCES) and not _is_folder(one) for one in item):
                    kinds = ", ".join(type(one).__name__ for one in item)
                    raise InvalidArgument(f"Cannot predict from ({kinds}); expected {n} paths, pictures or tensors.")
                if len({len(one) for one in item if self._is_batch(one)}) > 1:
                    raise InvalidArgument("The batches of a tuple hold different numbers of pictures; expected one.")
                found += zip(*item, strict=True) if all(map(self._is_batch, item)) else [tuple(item)]
            elif isinstance(item, _SOURCES):
                loose.append(item)
                if len(loose) == n:
                    found.append(tuple(loose))
                    loose.clear()
            else:
                raise InvalidArgument(f"Cannot predict from {type(item).__name__}; expected {n} paths or pictures.")
        if loose:
            rest = ", ".join(str(x) if isinstance(x, str | Path) else type(x).__name__ for x in loose)
            raise InvalidArgument(f"{n} files make one input of this task, and these are left over: {rest}.")
        if not found:
            raise InvalidArgument("There is nothing to predict: the list of inputs is empty.")
        return found

    def _is_batch(self, item: Any) -> bool:
        return isinstance(item, Tensor) and item.ndim == self.task.input_ndim + 1

    def _search(self, folder: str | Path, at_least: int) -> list[Path]:
        """The files in ``folder`` that the task can open, sorted."""
        files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in self.task.suffixes)
        if len(files) < at_least:
            needed = f"at least {at_least} " if at_least > 1 else ""
            kinds = ", ".join(self.task.suffixes)
            raise InvalidArgument(f"The folder {folder} has nothing to predict; expected {needed}files of {kinds}.")
        return files

    def stream(
        self, sources: Sequence[Any], *, batch_size: int = 8, progress: bool | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """``(source, result)`` in order, as they are ready; for an input that fails, the error is the result."""
        check_count("batch_size", batch_size, 1)
        return self._stream(sources, batch_size, len(sources) >= PROGRESS_FROM if progress is None else progress)

    def _stream(self, sources: Sequence[Any], batch_size: int, progress: bool) -> Iterator[tuple[Any, Any]]:
        from tqdm import tqdm

        with tqdm(total=len(sources), unit="input", disable=not progress) as bar:
            for batch in _chunks(sources, batch_size):
                opened = [self._open(source) for source in batch]
                good = [pair for pair in opened if not isinstance(pair, Exception)]
                runs = itertools.groupby(good, lambda pair: _shapes(pair[1]) if self.task.same_size else None)
                results = itertools.chain.from_iterable(self._run(list(run)) for _, run in runs)
                for source, pair in zip(batch, opened, strict=True):
                    yield source, pair if isinstance(pair, Exception) else next(results)
                    bar.update()

    def _open(self, source: Any) -> tuple[Any, Any] | ZooError:
        """The input and what the model is fed, or why it cannot be had."""
        try:
            loaded = self._load(source)
            return loaded, self.prepare(loaded)
        except (UnreadableFile, InvalidArgument) as e:
            return e

    @torch.inference_mode()
    def _run(self, pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
        arguments = self._collate([prepared for _, prepared in pairs])
        outputs = self.model(*(_to(argument, self.device) for argument in arguments))
        results: list[Any] = self._decode(outputs, [loaded for loaded, _ in pairs], self.weights)
        return results


def _shapes(prepared: Any) -> Any:
    """The shape of a tensor, or those of the tensors that an input consists of."""
    return prepared.shape if isinstance(prepared, Tensor) else [_shapes(one) for one in prepared]


def _is_folder(item: Any) -> bool:
    return isinstance(item, str | Path) and Path(item).is_dir()


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(items)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return [_to(v, device) for v in value] if isinstance(value, list | tuple) else value


def pipeline(
    model: str | nn.Module,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: str | None = None,
    optimize: bool = True,
    **config: Any,
) -> Pipeline:
    """A model ready for files: ``zoo.pipeline("resnet50")("dog.jpg").top(5)``.

    Args:
        model: the model's name; or a model that a builder made, used with the weights that were loaded into it.
        weights: as the builder takes them. For a model that was given: their description, where it has none.
        device: ``"auto"`` is CUDA, else MPS, else the CPU.
        task: by default the model's main one.
        optimize: run the model as :func:`zoo.optimize` makes it: faster, the same outputs within 1e-4 of their spread.
            A model that was given is copied for it, so the pipeline does not see what is changed or trained later;
            with False it is used itself.
        **config: options of the task, such as ``pad=False`` of optical flow; the others are arguments of the builder.

    Raises:
        UnknownModel, UnknownWeights, UnknownTask: a name that nothing installed has.
        InvalidArgument: no weights, so that there is nothing to predict with; no such device.
    """
    where = pick_device(device)
    if isinstance(model, str):
        info = registry.model_info(model)
        spec: TaskSpec | None = registry.get_task(task or info.task, plugin=info.plugin)
        options = _pop_options(spec, config)
        built = registry.get_model(model, weights=weights, **config)
        description = loaded_weights(built)
        default = info.weights.get("DEFAULT")
        if description is not None and description.transforms is None and default is not None:
            # A bare file says nothing of itself: it is prepared as the published weights are.
            description = replace(default, url=description.url, categories=None, metrics={})
    else:
        spec = registry.get_task(task) if task is not None else None
        options = _pop_options(spec, config)
        built, description = model, loaded_weights(model) or getattr(weights, "value", weights)
    if not isinstance(description, Weights):
        raise InvalidArgument(
            f"weights={weights!r}: a pipeline needs to know what its model was trained on. Name an entry, a file or a "
            "URL"
            f"{'' if isinstance(model, str) else ', or describe them by zoo.Weights(url=…, transforms=…)'}."
        )
    if spec is None:
        raise InvalidArgument("Say which task the model is for: task='image-classification', or another.")
    report: OptimizationReport | None = None
    if optimize:
        try:
            built = optimize_model(built.to(where), inplace=isinstance(model, str))
            report = cast(OptimizationReport, built.optimization_report)
        except InvalidArgument as e:  # it cannot be copied
            report = OptimizationReport(notes=(str(e),))
    ready = Pipeline(built, spec, description, where, **options)
    ready.optimization = report
    return ready


def task_options(task: TaskSpec | None) -> dict[str, inspect.Parameter]:
    """What can be said to the pipelines of a task: the further parameters of its ``transform``."""
    if task is None or task.transform is None:
        return {}
    return dict(list(inspect.signature(load_object(task.transform)).parameters.items())[1:])


def _pop_options(task: TaskSpec | None, config: dict[str, Any]) -> dict[str, Any]:
    """What of ``config`` is an option of the task; taken out of it."""
    return {name: config.pop(name) for name in (task_options(task) if config else ()) if name in config}
