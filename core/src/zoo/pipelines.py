"""Files in, typed results out: open, prepare, batch, run, decode. What each step does is the task's affair."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zoo import registry
from zoo.builders import loaded_weights
from zoo.contract import TaskSpec, Weights, check_count, load_object
from zoo.errors import InvalidArgument, UnreadableFile, ZooError

PROGRESS_FROM = 32  # inputs from which a progress bar is shown


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
    """

    def __init__(self, model: nn.Module, task: TaskSpec, weights: Weights, device: torch.device) -> None:
        self.model = model.eval().to(device)
        self.task = task
        self.weights = weights
        self.device = device
        self.prepare: Callable[[Any], Any]
        if task.transform is not None:
            self.prepare = load_object(task.transform)(weights)
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
                of any of these → a list of results.
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
        several = isinstance(inputs, list | tuple) or len(results) != 1 or _is_folder(inputs) or _is_batch(inputs)
        return results if several else results[0]

    def expand(self, inputs: Any) -> list[Any]:
        """The single inputs that ``inputs`` stands for: folders are searched, batches taken apart.

        Raises:
            InvalidArgument: there are none.
        """
        found: list[Any] = []
        for item in inputs if isinstance(inputs, list | tuple) else [inputs]:
            if _is_folder(item):
                files = sorted(p for p in Path(item).rglob("*") if p.suffix.lower() in self.task.suffixes)
                if not files:
                    kinds = ", ".join(self.task.suffixes)
                    raise InvalidArgument(f"The folder {item} has nothing to predict; expected files of {kinds}.")
                found += files
            elif _is_batch(item):
                found += list(item)
            elif isinstance(item, str | Path | Image.Image | Tensor):
                found.append(item)
            else:
                raise InvalidArgument(f"Cannot predict from {type(item).__name__}; expected a path, picture or tensor.")
        if not found:
            raise InvalidArgument("There is nothing to predict: the list of inputs is empty.")
        return found

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
                results = iter(self._run(good) if good else [])
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


def _is_folder(item: Any) -> bool:
    return isinstance(item, str | Path) and Path(item).is_dir()


def _is_batch(item: Any) -> bool:
    return isinstance(item, Tensor) and item.ndim == 4


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
    **config: Any,
) -> Pipeline:
    """A model ready for files: ``zoo.pipeline("resnet50")("dog.jpg").top(5)``.

    Args:
        model: the model's name; or a model that a builder made, used with the weights that were loaded into it.
        weights: as the builder takes them. For a model that was given: their description, where it has none.
        device: ``"auto"`` is CUDA, else MPS, else the CPU.
        task: by default the model's main one.
        **config: further arguments of the builder.

    Raises:
        UnknownModel, UnknownWeights, UnknownTask: a name that nothing installed has.
        InvalidArgument: no weights, so that there is nothing to predict with; no such device.
    """
    where = pick_device(device)
    if isinstance(model, str):
        info = registry.model_info(model)
        built = registry.get_model(model, weights=weights, **config)
        description = loaded_weights(built)
        default = info.weights.get("DEFAULT")
        if description is not None and description.transforms is None and default is not None:
            # A bare file says nothing of itself: it is prepared as the published weights are.
            description = replace(default, url=description.url, categories=None, metrics={})
        task = task or info.task
    else:
        built, description = model, loaded_weights(model) or getattr(weights, "value", weights)
    if not isinstance(description, Weights):
        raise InvalidArgument(
            f"weights={weights!r}: a pipeline needs to know what its model was trained on. Name an entry, a file or a "
            "URL"
            f"{'' if isinstance(model, str) else ', or describe them by zoo.Weights(url=…, transforms=…)'}."
        )
    if task is None:
        raise InvalidArgument("Say which task the model is for: task='image-classification', or another.")
    return Pipeline(built, registry.get_task(task), description, where)
