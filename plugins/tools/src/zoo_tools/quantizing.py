"""Quantize float models to int8, calibrated on pictures: :func:`quantize`."""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

import zoo
from zoo import registry
from zoo.contract import TaskSpec, Weights, check_count, load_object
from zoo.errors import ExportError, InvalidArgument, UnreadableFile
from zoo.loading import built_by, described_like, task_of
from zoo_tools import int8
from zoo_tools.quiet import quietly

SAMPLES = 300  # default number of calibration pictures
SUFFIXES = {"openvino": ".xml", "torch": ".pt2"}  # engine → suffix of its files
FEW = 64  # with fewer pictures, crops are used as well
TASKS = ("image-classification", "semantic-segmentation")


@dataclass(frozen=True)
class Quantization:
    """Report of :func:`quantize`, available as ``model.quantization``.

    Attributes:
        engine: the engine that runs the model.
        samples: number of calibration inputs.
        layers: number of layers with int8 weights.
        seconds: duration of the quantization.
        agreement: share of the calibration inputs (of pixels for segmentation) whose top class equals the float
            model's.
    """

    engine: str
    samples: int
    layers: int
    seconds: float
    agreement: float


def quantize(
    model: str | Path | nn.Module,
    data: str | os.PathLike[str] | Sequence[Any] | Iterable[Tensor],
    *,
    engine: str = "openvino",
    samples: int = SAMPLES,
    weights: Any = "DEFAULT",
    task: str | None = None,
    **config: Any,
) -> int8.Int8Model:
    """Make an int8 copy of a model for the CPU, with value ranges from pictures similar to those it is used on.

    The result has the same float inputs and outputs as the model, accepts batches of any size, and can be used in its
    place: ``zoo.pipeline(fast, weights)``, ``zoo.evaluate(fast, …)``. ``fast.quantization`` is a report;
    :func:`save_quantized` writes the model to a file.

    Args:
        model: name of a model, a saved model, or a built model, for image classification or semantic segmentation.
        data: a folder of pictures, or a list of paths or pictures, which are prepared as for predictions. Or prepared
            batches, float [N, C, H, W]; of tuples and lists, as from a data loader, the first element is used.
        engine: ``"openvino"`` (quantized by NNCF), or ``"torch"`` (by torchao, compiled by inductor, which takes half a
            minute for each shape of a batch).
        samples: maximum number of calibration pictures, spread evenly over all; a few hundred are enough. With fewer
            than 64, crops are used as well.
        weights, task, config: as for :func:`zoo.pipeline`.

    Raises:
        InvalidArgument: unsupported task; the model cannot be captured; no data; unknown engine.
        MissingExtra: the engine's packages are not installed.

    >>> fast = zoo.quantize("resnet50", "imagenet/val")
    >>> fast.quantization.agreement
    0.99
    """
    start = time.perf_counter()
    check_engine(engine)
    check_count("samples", samples, 1)
    built, batches, spec = _prepare(model, data, samples, weights, task, config)
    name = registry.model_info(model).name if not isinstance(model, nn.Module) else None
    modes = {module: module.training for module in built.modules()}
    parameters = next(built.parameters(), torch.empty(0))
    if parameters.device.type != "cpu" or parameters.dtype != torch.float32:
        raise InvalidArgument(
            f"The model is {parameters.dtype} on {parameters.device}; expected one in float32 on the CPU."
        )
    try:
        with torch.no_grad():
            built.eval()
            outputs = built(*batches[0])
            structure = tree_flatten(outputs)[1]
            quantized, layers = _quantized(built, batches, structure, engine, spec, name)
            if not layers:
                raise InvalidArgument(f"{type(built).__name__} has no layers that {engine} can quantize.")
            same = [_same(built(*batch), quantized(*batch)) for batch in batches[:: max(1, len(batches) // 8)]]
    finally:
        for module, training in modes.items():
            module.training = training
    described_like(quantized, built)
    quantized.quantization = Quantization(
        engine, sum(len(b[0]) for b in batches), layers, round(time.perf_counter() - start, 1), _mean(same)
    )
    return quantized


def save_quantized(model: nn.Module, path: str | os.PathLike[str], *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the result of :func:`quantize` to a file that runs without the model's code.

    Args:
        model: the int8 model.
        path: ends in ``.xml`` for OpenVINO (``NAME.bin`` is written next to it), or in ``.pt2`` for torch.
        overwrite: replace existing files.

    Returns:
        The paths of the files.

    Raises:
        InvalidArgument: the model is of another kind, or the suffix is wrong.
        FileExistsError: a file exists.
    """
    path = Path(path)
    if not isinstance(model, int8.Int8Model):
        raise InvalidArgument(f"save_quantized expects a model from zoo.quantize, not a {type(model).__name__}.")
    check_target(path, model.quantization.engine, overwrite=overwrite)
    if not model.facts:
        raise InvalidArgument(
            "The model's task is not known, since no plugin's builder made it; a file without a task is not usable."
        )
    model.save(path)
    return (path, path.with_suffix(".bin")) if model.suffix == ".xml" else (path,)


@dataclass(frozen=True)
class Comparison:
    """Comparison of an int8 model with the float model on pictures.

    Attributes:
        before, after: metric → value, from :func:`zoo.evaluate`; empty if there is no ground truth.
        measured: number of inputs in the metrics.
        agreement: share of inputs (of pixels for segmentation) whose top class is the same.
        compared: number of inputs in ``agreement``.
        note: reason why there are no metrics.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    measured: int
    agreement: float
    compared: int
    note: str = ""


def compare(
    model: nn.Module,
    quantized: nn.Module,
    images: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    task: str | None = None,
    batch_size: int = 8,
) -> Comparison:
    """Measure a model and its :func:`quantize` result on the same pictures.

    Args:
        model, quantized: the models, both with weights that define the preprocessing.
        images, annotations, task: as for :func:`zoo.evaluate`.
        limit: maximum number of inputs.

    Raises:
        InvalidArgument: there are no pictures.
    """
    note, before, after, measured = "", {}, {}, 0
    options: dict[str, Any] = {"device": "cpu", "task": task, "limit": limit, "optimize": False}
    try:
        first = zoo.evaluate(model, images, annotations, batch_size=batch_size, **options)
        second = zoo.evaluate(quantized, images, annotations, batch_size=batch_size, **options)
        before, after, measured = dict(first.metrics), dict(second.metrics), second.measured
    except InvalidArgument as e:
        note = f"The accuracy cannot be compared: {e}"
    ready = zoo.pipeline(model, device="cpu", task=task, optimize=False)
    sources = ready.expand(os.fspath(images))[:limit]
    same = []
    with torch.inference_mode():
        for source in sources:
            try:
                inputs = ready.steps.collate([ready.prepare(ready.steps.load(source))])
            except UnreadableFile:
                continue
            same.append(_same(ready.model(*inputs), quantized(*inputs)))
    if not same:
        raise InvalidArgument(f"No picture in {os.fspath(images)!r} could be read.")
    return Comparison(before, after, measured, _mean(same), len(same), note)


def check_engine(engine: str) -> None:
    """Raise if the engine is unknown or its packages are not installed; nothing is imported.

    Raises:
        InvalidArgument, MissingExtra: as :func:`quantize`.
    """
    if engine not in SUFFIXES:
        raise InvalidArgument(f"engine is {engine!r}; expected one of {', '.join(SUFFIXES)}.")
    int8.check_packages(engine)


def check_target(path: Path, engine: str, *, overwrite: bool) -> None:
    """Raise the errors of :func:`save_quantized` before anything is computed."""
    suffix = SUFFIXES[engine]
    if path.suffix != suffix:
        raise InvalidArgument(f"{path.name}: files for {engine} must end in {suffix}.")
    if not path.parent.is_dir():
        raise InvalidArgument(f"The folder {path.parent} for {path.name} does not exist.")
    for file in (path, path.with_suffix(".bin")) if suffix == ".xml" else (path,):
        if file.exists() and not overwrite:
            raise FileExistsError(f"{file} already exists; use overwrite=True, or --force, to replace it.")


def _quantized(
    model: nn.Module, batches: list[int8.Batch], structure: Any, engine: str, spec: TaskSpec | None, name: str | None
) -> tuple[int8.Int8Model, int]:
    """The int8 model with its description, and the number of its int8 layers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIXES[engine]}"
        facts = None if spec is None else _exported(model, path, spec, batches[0][0].shape)
        if engine == "torch":
            quantized, layers = int8.by_torch(int8.capture(model, _pair(batches[0])), batches, structure)
        else:
            import openvino

            graph = int8.capture(model, _pair(batches[0])) if facts is None else None
            with quietly():
                ir = openvino.Core().read_model(path) if graph is None else openvino.convert_model(graph)
                quantized, layers = int8.by_openvino(ir, batches, structure)
                del ir  # it maps the file
    if facts is not None:
        known = {**json.loads(facts), "precision": "int8", "engine": engine}
        quantized.facts = json.dumps(known if name is None else {**known, "model": name})
    return quantized, layers


def _exported(model: nn.Module, path: Path, spec: TaskSpec, shape: Sequence[int]) -> str:
    """Export the float model for any batch size, and any picture size if the task supports it; also return the
    description for the file."""
    size = (int(shape[-2]), int(shape[-1]))
    free = [("batch", "height", "width"), ("batch",)]
    for axes in free if spec.name == "semantic-segmentation" else free[1:]:
        try:
            zoo.export(model, path, image_size=size, dynamic=axes, task=spec.name, progress=False)
            break
        except ExportError:
            if axes == free[-1]:
                raise
    facts: str | None = load_object(registry.format_of(path, None).facts)(path)
    return facts or "{}"


def _pair(batch: int8.Batch) -> int8.Batch:
    """Two inputs: a graph captured with a batch of one would accept only a batch of one."""
    return tuple(torch.cat([t[:1], t[:1]]) for t in batch)


def _prepare(
    model: str | Path | nn.Module, data: Any, samples: int, weights: Any, task: str | None, config: dict[str, Any]
) -> tuple[nn.Module, list[int8.Batch], TaskSpec | None]:
    """The model, calibration batches, and its task if known."""
    given = list(data) if not isinstance(data, str | os.PathLike) else None
    if given == []:
        raise InvalidArgument("data is empty: calibration needs at least one picture.")
    spec = _known_task(model, task, weights)
    if given and isinstance(_first(given[0]), Tensor) and _first(given[0]).ndim == 4:
        built = model if isinstance(model, nn.Module) else zoo.get_model(model, weights=weights, **config)
        return built, _few([(_first(batch),) for batch in given], samples), spec
    description = weights if isinstance(weights, Weights) else "DEFAULT" if isinstance(model, nn.Module) else weights
    ready = zoo.pipeline(model, description, "cpu", task=task, optimize=False, **config)
    built = model if isinstance(model, nn.Module) else ready.model
    spec = _quantizable(ready.task)
    sources = ready.expand(os.fspath(data) if given is None else given)
    chosen = [sources[i * len(sources) // min(samples, len(sources))] for i in range(min(samples, len(sources)))]
    opened = (ready.steps.load(source) for source in chosen)
    every = _with_crops(opened, len(chosen), samples)
    return built, [tuple(ready.steps.collate([ready.prepare(one)])) for one in every], spec


def _with_crops(opened: Iterable[Any], count: int, samples: int) -> Iterator[Any]:
    """Pictures; with fewer than ``FEW`` also crops of them, some mirrored: ranges of activations need variety."""
    drawn = random.Random(0)
    times = -(-min(FEW, samples) // count) if count else 1
    for picture in opened:
        yield picture
        for _ in range(times - 1 if isinstance(picture, Image.Image) else 0):
            share = drawn.uniform(0.5, 1)
            width, height = (max(1, int(side * share)) for side in picture.size)
            x, y = drawn.randint(0, picture.width - width), drawn.randint(0, picture.height - height)
            part = picture.crop((x, y, x + width, y + height))
            yield part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if drawn.random() < 0.5 else part


def _first(batch: Any) -> Any:
    return batch[0] if isinstance(batch, list | tuple) and batch else batch


def _few(batches: list[int8.Batch], samples: int) -> list[int8.Batch]:
    kept: list[int8.Batch] = []
    for (batch,) in batches:
        left = samples - sum(len(b[0]) for b in kept)
        if left > 0:
            kept.append((batch[:left].float(),))
    return kept


def _known_task(model: str | Path | nn.Module, task: str | None, weights: Any) -> TaskSpec | None:
    """The task, checked before weights are downloaded; None for an unregistered model, for which batches are enough."""
    if not isinstance(model, nn.Module):
        info = registry.model_info(model, task=task, weights=weights)
        spec = registry.get_task(task or info.task, plugin=info.plugin)
    elif task is None and built_by(model) is None:
        return None
    else:
        spec = task_of(model, task)
    return _quantizable(spec)


def _quantizable(task: TaskSpec) -> TaskSpec:
    if task.name not in TASKS:
        raise InvalidArgument(
            f"The task {task.name!r} cannot be quantized yet; expected a model for {' or '.join(TASKS)}, whose outputs "
            "change continuously with rounding."
        )
    return task


def _same(a: Any, b: Any) -> float:
    """The share of equal top classes in the first output."""
    left, right = (next(t for t in tree_flatten(x)[0] if isinstance(t, Tensor)) for x in (a, b))
    return (left.argmax(1) == right.argmax(1)).double().mean().item()


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
