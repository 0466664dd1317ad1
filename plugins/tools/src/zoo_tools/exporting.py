"""Models as files that run without their code: ONNX, and PyTorch's own exported programs."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo import registry
from zoo.contract import Exportable, TaskSpec, Weights, check_count
from zoo.errors import ExportError, InvalidArgument, MissingPlugin, ZooError
from zoo.files import redacted
from zoo.loading import check_categories, default_size, in_channels_of, loaded_weights, task_of

FORMATS = {"onnx": ".onnx", "torch-export": ".pt2"}  # and the endings of their files
METADATA = "zoo"  # the key of what is known of the model: in ONNX's metadata, and a file in the other archive


@dataclass(frozen=True)
class ExportReport:
    """What :func:`export` wrote.

    Attributes:
        path: of the file.
        files: with ONNX, weights beyond 2 GB lie in a second file beside the first; it must stay there.
        format: ``"onnx"`` or ``"torch-export"``.
        inputs: name → dtype and shape, as in ``"float32 [3, 800, 1066]"``; ``outputs`` likewise.
    """

    path: Path
    files: tuple[Path, ...]
    format: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


def export(
    model: str | Path | nn.Module,
    path: str | Path,
    format: str | None = None,  # noqa: A002  the field's name for it
    *,
    image_size: int | Sequence[int] | None = None,
    weights: Any = "DEFAULT",
    task: str | None = None,
    overwrite: bool = False,
    categories: Sequence[str] | None = None,
    **config: Any,
) -> ExportReport:
    """Write a model to a file that runs without its code.

    The file takes inputs of the one size that it is made with. Of most models it takes what the model takes: prepared
    as ``weights.transforms()`` does it, [1, 3, H, W] for pictures. Detectors take one picture, [3, H, W] in [0, 1], and
    give a fixed number of detections, padded, and their ``count``; the README of zoo-detection says more.

    A file of the format ``torch-export`` is loaded by ``torch.export.load(path).module()``. One of a detector has
    operators of ours in it, so ``import zoo.ops`` comes first, and for keypoints ``zoo_detection.keypoints`` as well.

    What is known of the model (its name, weights, categories) is in the file as well, as JSON: under ``zoo`` in ONNX's
    ``metadata_props``, and of the other format by ``torch.export.load(path, extra_files={"zoo": ""})``.

    Args:
        model: the model's name; or a model that a builder made, exported as it is (in eval mode) with its weights.
        path: of the file.
        format: ``"onnx"`` or ``"torch-export"``; by default what the path's ending says, ``.onnx`` or ``.pt2``.
        image_size: (height, width) in pixels, or one number for both. By default that of the weights' preprocessing or
            of the model, where there is one.
        weights: as the builder takes them; None leaves the model random.
        task: by default the model's main one. To be given for a model that is built.
        overwrite: a file that is there may be replaced.
        categories: class names in label order, in place of those that are known of the weights.
        **config: options of the task's models, such as ``max_detections=50``; the others are arguments of the builder.

    Raises:
        InvalidArgument: no such format, no image size, or one that the model does not take.
        FileExistsError: there is such a file, and ``overwrite`` is False.
        MissingPlugin: ONNX, and the packages onnx and onnxscript are not installed.
        ExportError: the model cannot be captured. Nothing is left of the file.
        UnknownModel, UnknownWeights, UnknownTask: a name that nothing installed has.

    >>> zoo.export("resnet50", "resnet50.onnx")
    >>> zoo.export("fasterrcnn_resnet50_fpn_v2", "detector.onnx", image_size=(800, 1066), max_detections=50)
    """
    path = Path(path)
    format = _format(path, format)  # noqa: A001
    size = None if image_size is None else _height_and_width(image_size)
    if not overwrite:
        _refuse(path)
    if not path.parent.is_dir():
        raise InvalidArgument(f"There is no folder {path.parent} to write {path.name} to.")
    if format == "onnx":
        _check_onnx()
    model = str(model) if isinstance(model, Path) else model
    spec, options, built, name = _find(model, weights, task, config)
    labels = None if categories is None else check_categories(built, categories)
    modes = {module: module.training for module in built.modules()}
    try:
        built.eval()
        with torch.no_grad():
            make = registry.provided(spec, "export")
            ready = make(built, size, **options) if make else _single_picture(built, size, spec)
            return _export(ready, path, format, overwrite, _facts(name, loaded_weights(built), labels))
    finally:
        for module, training in modes.items():
            module.training = training


# ── what is exported ─────────────────────────────────────────────────────────────────────────────────────────────


def _format(path: Path, given: str | None) -> str:
    of_ending = {ending: name for name, ending in FORMATS.items()}
    if given is None and path.suffix in of_ending:
        return of_ending[path.suffix]
    if given is None:
        endings = ", ".join(f"{ending} for {name}" for ending, name in of_ending.items())
        raise InvalidArgument(f"{path.name} does not say which format it is to have: end it in {endings}, or give one.")
    if given not in FORMATS:
        raise InvalidArgument(f"format is {given!r}; expected one of {', '.join(FORMATS)}.")
    return given


def _height_and_width(given: int | Sequence[int]) -> tuple[int, int]:
    sides = (given, given) if isinstance(given, int) else tuple(given)
    if len(sides) != 2:
        raise InvalidArgument(f"image_size is {given!r}; expected (height, width), or one number for both.")
    return check_count("the height in image_size", sides[0], 1), check_count("the width in image_size", sides[1], 1)


def _find(
    model: str | nn.Module, weights: Any, task: str | None, config: dict[str, Any]
) -> tuple[TaskSpec, dict[str, Any], nn.Module, str]:
    """The task, what of ``config`` is said to it, the model, and what it is called."""
    if isinstance(model, str):
        info = registry.model_info(model)
        spec = registry.get_task(task or info.task, plugin=info.plugin)
        options = spec.take_options(config, "export")
        return spec, options, registry.get_model(model, weights=weights, **config), info.name
    if not isinstance(model, nn.Module):
        raise InvalidArgument(f"export takes a model's name or a torch.nn.Module, not {type(model).__name__}.")
    spec = task_of(model, task)
    options = spec.take_options(config, "export")
    if config:
        own = ", ".join(spec.options_of("export")) or "none"
        raise InvalidArgument(f"{', '.join(config)}: the model is built already, and options of its task are {own}.")
    return spec, options, model, type(model).__name__


def _single_picture(model: nn.Module, size: tuple[int, int] | None, spec: TaskSpec) -> Exportable:
    """A model of pictures, [1, C, H, W], as it is."""
    size = size or default_size(model)
    if spec.input_ndim != 3 or spec.inputs_per_sample != 1:
        raise InvalidArgument(
            f"The task {spec.name!r} does not say how its models are exported: they take no single pictures. Whoever "
            'publishes it can name a function in TaskSpec(provides={"export": …}).'
        )
    if size is None:
        raise InvalidArgument(
            f"{type(model).__name__} takes pictures of any size, and a file of one: give image_size=(height, width)."
        )
    return Exportable(model, (torch.rand(1, in_channels_of(model), *size),), ("image",))


def _facts(name: str, weights: Weights | None, categories: list[str] | None) -> str:
    if categories is None:
        categories = list(weights.read_categories()) if weights else []
    return json.dumps(
        {
            "model": name,
            "weights": redacted(weights.url) if weights else None,
            "categories": categories,
            "zoo": zoo.__version__,
        }
    )


# ── how it is written ────────────────────────────────────────────────────────────────────────────────────────────


def _export(ready: Exportable, path: Path, format: str, overwrite: bool, facts: str) -> ExportReport:  # noqa: A002
    module = ready.module
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    arguments = tuple(t.to(weight) if t.is_floating_point() else t.to(weight.device) for t in ready.arguments)
    try:
        outputs = _named(module(*arguments))  # tells of a size that the model does not take
    except ZooError:
        raise
    except Exception as e:  # a model's own code can raise anything
        shapes = ", ".join(_describe(t) for t in arguments)
        raise ExportError(f"{type(module).__name__} does not take {shapes}: {_reason(e)}.") from e
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        target = Path(folder) / path.name
        try:
            with quietly():
                if format == "onnx":
                    _write_onnx(ready, arguments, list(outputs), target, facts)
                else:
                    program = torch.export.export(module, arguments, strict=False)
                    torch.export.save(program, target, extra_files={METADATA: facts})
        except OSError:
            raise
        except Exception as e:  # whatever the many passes of a compiler raise
            raise ExportError(f"{type(module).__name__} could not be exported as {format}: {_reason(e)}.") from e
        written = sorted(Path(folder).iterdir(), key=lambda file: file != target)
        moved = [path.parent / file.name for file in written]
        if not overwrite:
            for file in moved:
                _refuse(file)
        for file, place in zip(written, moved, strict=True):
            file.replace(place)
    return ExportReport(
        path,
        tuple(moved),
        format,
        {name: _describe(t) for name, t in zip(ready.inputs, arguments, strict=True)},
        {name: _describe(t) for name, t in outputs.items()},
    )


def _write_onnx(
    ready: Exportable, arguments: tuple[Tensor, ...], outputs: Sequence[str], target: Path, facts: str
) -> None:
    program = torch.onnx.export(
        ready.module,
        arguments,
        dynamo=True,
        input_names=list(ready.inputs),
        output_names=list(outputs),
        custom_translation_table=ready.onnx() if ready.onnx else None,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch gave no program")
    program.model.metadata_props[METADATA] = facts
    program.save(target)


def _check_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as e:
        raise MissingPlugin(f"ONNX needs packages that are not there ({e}): pip install 'zoo-tools[onnx]'") from e


def _reason(e: BaseException) -> str:
    """What went wrong in the first place: exporters wrap it up in advice to their own developers."""
    while e.__cause__ is not None:
        e = e.__cause__
    return redacted(f"{type(e).__name__}: {(str(e).strip() or 'no reason given').splitlines()[0]}".rstrip("."))


def _refuse(path: Path) -> None:
    if path.exists():
        raise FileExistsError(f"{path} is there already; it is not written over unless overwrite=True, or --force.")


def _named(value: Any, name: str = "") -> dict[str, Tensor]:
    """The tensors in a module's output, by the keys and indices that lead to them."""
    if isinstance(value, Tensor):
        return {name or "output": value}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    parts = [_named(item, f"{name}_{key}" if name else str(key)) for key, item in items if item is not None]
    return {key: t for part in parts for key, t in part.items()}


def _describe(t: Tensor) -> str:
    return f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}"


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what torch's exporter says to its own developers on the way."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        silent = io.StringIO()  # of a graph that cannot be made, all of it would be printed
        with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
