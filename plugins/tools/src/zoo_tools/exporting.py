"""Models as files that run without their code: ONNX, PyTorch's exported programs, OpenVINO, and other formats."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.contract import Capture, Exportable, Format, Preset, TaskSpec, check_count, load_object
from zoo.errors import ExportError, InvalidArgument, ZooError
from zoo.files import redacted
from zoo.loading import check_categories, loaded_weights, task_of
from zoo.running.exportable import SIDES, Float32, copied, export_pictures
from zoo.transforms.graph import GraphPreset
from zoo_tools.adaptive import any_size_pools
from zoo_tools.describing import Described
from zoo_tools.quiet import quietly
from zoo_tools.stages import Stages

LONGEST = 300  # maximum length of a quoted error message
INSIDE = ("preprocessing", "postprocessing")


@dataclass(frozen=True)
class ExportReport:
    """The result of :func:`export`.

    Attributes:
        path: path of the file.
        files: all files written. OpenVINO stores the weights in a second file, as does ONNX beyond 2 GB; it must stay
            next to the first.
        format: ``"onnx"``, ``"torch-export"``, ``"openvino"``, or a format of another plugin.
        inputs: name → dtype and shape, as in ``"float32 [batch, 3, 800, 1066]"``; ``outputs`` likewise.
        facts: the description stored in the file; docs/exporting.md explains it.
    """

    path: Path
    files: tuple[Path, ...]
    format: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


def export(
    model: str | Path | nn.Module,
    path: str | Path,
    format: str | None = None,  # noqa: A002  the usual name
    *,
    image_size: int | Sequence[int] | None = None,
    dynamic: str | Sequence[str] = (),
    half: bool = False,
    opset: int | None = None,
    with_preprocessing: bool = False,
    weights: Any = "DEFAULT",
    task: str | None = None,
    overwrite: bool = False,
    categories: Sequence[str] | None = None,
    progress: bool | None = None,
    **config: Any,
) -> ExportReport:
    """Export a model to a file that runs without its code, and that zoo can run in place of the model.

    By default the file accepts inputs of the one size it was exported with. Most models take the output of
    ``weights.transforms()``, for pictures [1, 3, H, W]. Detectors take one picture, [3, H, W] in [0, 1], or with a free
    batch axis [N, 3, H, W], and return a fixed number of padded detections, and their ``count``; see the README of
    zoo-detection.

    The file contains a description of the model as JSON (task, preprocessing, categories, inputs and outputs,
    versions), see docs/exporting.md. With it, ``zoo.pipeline(path)`` and every command accept the file.

    Args:
        model: name of the model; or a built model, which is exported in eval mode with its current weights.
        path: path of the output file.
        format: ``"onnx"``, ``"torch-export"``, ``"openvino"`` or a plugin's format; by default chosen by the suffix of
            the path: ``.onnx``, ``.pt2``, ``.xml``.
        image_size: (height, width) in pixels, or one number for both. By default the size of the weights'
            preprocessing or of the model, if defined.
        dynamic: axes of variable size: ``"batch"``, ``"height"``, ``"width"``, and ``"frames"`` for clips.
        half: store weights and compute in float16; inputs and outputs remain float32.
        opset: ONNX opset version, from 18 to 23; by default 20.
        with_preprocessing: the file takes uint8 pictures [N, H, W, 3] of any size and returns the results of the task's
            pipeline: probabilities, classes of pixels, or boxes in pixels of the original pictures.
        weights: weights as for the builder; None for random weights.
        task: by default the model's main task. Required for a built model.
        overwrite: replace an existing file.
        categories: class names in label order, instead of those of the weights.
        progress: print progress on stderr; by default on a terminal.
        **config: options of the task's models, such as ``max_detections=50``; all others are arguments of the builder.

    Raises:
        InvalidArgument: unknown format; no image size, or one that the model does not accept; an axis that cannot be
            free for this model; preprocessing that cannot be part of a graph.
        FileExistsError: ``path`` exists, and ``overwrite`` is False.
        MissingPlugin: packages that the format needs are not installed.
        ExportError: the model cannot be captured. No partial file remains.
        UnknownModel, UnknownWeights, UnknownTask: no installed plugin has this name.

    >>> zoo.export("resnet50", "resnet50.onnx", dynamic=("batch", "height", "width"))
    >>> zoo.export("fasterrcnn_resnet50_fpn_v2", "detector.onnx", image_size=(800, 1066), max_detections=50)
    """
    path = Path(path)
    kind = registry.format_of(path, format)
    if not kind.write:
        raise InvalidArgument(f"Files of the format {kind.name!r} can only be opened, not written.")
    size = None if image_size is None else _height_and_width(image_size)
    axes = _axes(dynamic)
    if opset is not None:
        _check_opset(kind, opset)
    if not overwrite:
        _refuse(path)
    if not path.parent.is_dir():
        raise InvalidArgument(f"The folder {path.parent} for {path.name} does not exist.")
    registry.check_format(kind, to_write=True)
    with Stages(progress) as stages:
        stages.say(f"Loading {model if isinstance(model, str) else type(model).__name__}")
        model = str(model) if isinstance(model, Path) else model
        spec, options, built, name = _find(model, weights, task, config)
        labels = None if categories is None else check_categories(built, categories)
        modes = {module: module.training for module in built.modules()}
        try:
            built.eval()
            source = copied(built).half() if half else built
            known = loaded_weights(built)
            preset = known.transforms if known else None
            with torch.no_grad():
                if with_preprocessing and preset is None:
                    raise InvalidArgument(
                        f"with_preprocessing: the preprocessing of {name} is not known, since no weights were loaded."
                    )
                ready = _prepared(source, spec, size, axes, preset if with_preprocessing else None, options)
                ready = _placed(ready, half, with_preprocessing)
                free = {*axes, *(SIDES if with_preprocessing else ())}
                described = Described(
                    name,
                    spec,
                    known,
                    labels if labels is not None else list(known.read_categories()) if known else [],
                    preset if with_preprocessing else _fitted(preset, ready, free),
                    INSIDE if with_preprocessing else (),
                    half,
                    options,
                )
                return _export(ready, path, kind, overwrite, free, described, {"opset": opset}, stages, built)
        finally:
            for module, training in modes.items():
                module.training = training


# ── preparing the model ──────────────────────────────────────────────────────────────────────────────────────────


def _axes(given: str | Sequence[str]) -> tuple[str, ...]:
    names = given.split(",") if isinstance(given, str) else list(given)
    wrong = [name for name in names if not isinstance(name, str) or not name.strip().isidentifier()]
    if wrong:
        raise InvalidArgument(f"dynamic is {given!r}; expected names of axes, such as ('batch', 'height', 'width').")
    return tuple(dict.fromkeys(name.strip() for name in names))


def _check_opset(kind: Format, opset: Any) -> None:
    if kind.name != "onnx":
        raise InvalidArgument(f"opset is an option of ONNX; it does not apply to the format {kind.name!r}.")
    from zoo_tools.formats.onnx import check_opset

    check_opset(opset)


def _height_and_width(given: int | Sequence[int]) -> tuple[int, int]:
    sides = (given, given) if isinstance(given, int) else tuple(given)
    if len(sides) != 2:
        raise InvalidArgument(f"image_size is {given!r}; expected (height, width), or one number for both.")
    return check_count("the height in image_size", sides[0], 1), check_count("the width in image_size", sides[1], 1)


def _find(
    model: str | nn.Module, weights: Any, task: str | None, config: dict[str, Any]
) -> tuple[TaskSpec, dict[str, Any], nn.Module, str]:
    """The task, its options from ``config``, the model, and its name."""
    if isinstance(model, str):
        info = registry.model_info(model)
        if info.exported is not None:
            raise InvalidArgument(f"{model} is an exported file. Export the original model.")
        spec = registry.get_task(task or info.task, plugin=info.plugin)
        options = spec.take_options(config, "export")
        return spec, options, registry.get_model(model, weights=weights, **config), info.name
    if not isinstance(model, nn.Module):
        raise InvalidArgument(f"export takes a model's name or a torch.nn.Module, not {type(model).__name__}.")
    spec = task_of(model, task)
    options = spec.take_options(config, "export")
    if config:
        own = ", ".join(spec.options_of("export")) or "none"
        raise InvalidArgument(f"{', '.join(config)}: unknown options for a built model; options of its task: {own}.")
    return spec, options, model, type(model).__name__


def _prepared(
    model: nn.Module,
    spec: TaskSpec,
    size: tuple[int, int] | None,
    axes: Sequence[str],
    preset: Preset | None,
    options: Mapping[str, Any],
) -> Exportable:
    """The module to capture; made by the task if it provides one."""
    make = registry.provided(spec, "export")
    asked: dict[str, Any] = {"dynamic": axes} if axes else {}
    if preset is not None:
        asked["preprocessing"] = preset
    if make is None:
        if spec.input_ndim != 3 or spec.inputs_per_sample != 1:
            raise InvalidArgument(
                f"The task {spec.name!r} has no export function, and its models do not take single pictures. "
                'Its plugin can provide one with TaskSpec(provides={"export": …}).'
            )
        make = export_pictures
    takes = inspect.signature(make).parameters
    anything = any(one.kind is one.VAR_KEYWORD for one in takes.values())
    missing = [] if anything else [name for name in asked if name not in takes]
    if missing:
        raise InvalidArgument(
            f"The export of models of the task {spec.name!r} does not support {' or '.join(missing)}: its files accept "
            "inputs of one size, prepared by the caller."
        )
    ready: Exportable = make(model, size, **options, **asked)
    known = {name for names in ready.axes.values() for name in names.values()}
    if wrong := [name for name in axes if name not in known]:
        raise InvalidArgument(
            f"dynamic has {', '.join(wrong)}; the axes of {type(model).__name__} that can be free are "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return ready


def _placed(ready: Exportable, half: bool, whole: bool) -> Exportable:
    """Move the example to the model's device and dtype."""
    module = ready.module
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    dtype = torch.float32 if half else weight.dtype
    arguments = tuple(
        t.to(weight.device, dtype) if t.is_floating_point() else t.to(weight.device) for t in ready.arguments
    )
    return replace(ready, module=Float32(module).eval() if half and not whole else module, arguments=arguments)


def _fitted(preset: Preset | None, ready: Exportable, free: set[str]) -> Preset | None:
    """The preprocessing that produces pictures of the file's fixed size."""
    if preset is None or free.intersection(SIDES) or not preset.target.startswith("zoo.transforms:"):
        return preset
    names = {name: axis for axis, name in next(iter(ready.axes.values()), {}).items()}
    if not set(SIDES) <= names.keys():
        return preset
    shape = ready.arguments[0].shape
    size = [int(shape[names["height"]]), int(shape[names["width"]])]
    arguments = dict(preset.arguments)
    if (crop := arguments.get("crop_size")) is not None:
        crops = [crop, crop] if isinstance(crop, int) else list(crop)
        if crops == size:
            return preset
        given = arguments.get("resize_size", 256)
        sides = [given, given] if isinstance(given, int) else [given[0], given[-1]]
        scaled = [round(side * new / old) for side, new, old in zip(sides, size, crops, strict=True)]
        arguments["crop_size"] = size
        arguments["resize_size"] = scaled[0] if isinstance(given, int) and scaled[0] == scaled[1] else scaled
    elif "resize_size" in arguments:
        arguments["resize_size"] = size
    return replace(preset, arguments=arguments)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _export(
    ready: Exportable,
    path: Path,
    kind: Format,
    overwrite: bool,
    free: set[str],
    described: Described,
    options: Mapping[str, Any],
    stages: Stages,
    model: nn.Module,
) -> ExportReport:
    module, arguments = ready.module, ready.arguments
    for part in module.modules():
        if isinstance(part, GraphPreset):
            part.by_products = not kind.smooths
    stages.say(f"Trying {described.name}")
    try:
        outputs = named_tensors(module(*arguments))  # raises for a size that the model does not accept
    except ZooError:
        raise
    except Exception as e:  # a model's own code can raise anything
        shapes = ", ".join(_describe(t) for t in arguments)
        raise ExportError(f"{type(module).__name__} does not accept {shapes}: {_reason(e)}.") from e
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        target = Path(folder) / path.name
        try:
            with quietly():
                stages.say(f"Capturing {described.name}")
                with _for_onnx() if kind.onnx else contextlib.nullcontext():
                    program, named = _captured(ready, list(outputs), free)
                facts = described.facts(model, ready, outputs, named, format=kind.name, **_said(options))
                stages.say(f"Writing {path.name}")
                text = json.dumps(facts, default=str)
                load_object(kind.write)(
                    Capture(program, ready.inputs, list(outputs), text, ready.onnx, {**options, "axes": named}),
                    target,
                )
        except (OSError, ZooError):
            raise
        except Exception as e:  # compiler passes can raise anything
            sizes = f" with {' and '.join(sorted(free))} free" if free else ""
            raise ExportError(
                f"{type(module).__name__} could not be exported as {kind.name}{sizes}: {_reason(e)}."
            ) from e
        written = sorted(Path(folder).iterdir(), key=lambda file: file != target)
        moved = [path.parent / file.name for file in written]
        if not overwrite:
            for file in moved:
                _refuse(file)
        for file, place in reversed(list(zip(written, moved, strict=True))):  # the graph last
            file.replace(place)
    return ExportReport(
        path,
        tuple(moved),
        kind.name,
        {one["name"]: _port(one) for one in facts["inputs"]},
        {one["name"]: _port(one) for one in facts["outputs"]},
        facts,
    )


def _captured(ready: Exportable, outputs: Sequence[str], free: set[str]) -> tuple[Any, dict[str, dict[int, str]]]:
    """The program, and the names of its free axes: of inputs by name, of outputs by ``out:`` and name."""
    dynamic = torch.export.Dim.DYNAMIC
    named: dict[str, dict[int, str]] = {
        name: {axis: label for axis, label in ready.axes.get(name, {}).items() if label in free}
        for name in ready.inputs
    }
    shapes: Any = tuple(dict.fromkeys(named[name], dynamic) for name in ready.inputs) if free else None
    if shapes and isinstance(ready.module, nn.Module) and _takes_any(ready.module):
        shapes = (shapes,)
    with any_size_pools(ready.module) if free.intersection(SIDES) else contextlib.nullcontext():
        program: Any = torch.export.export(ready.module, ready.arguments, dynamic_shapes=shapes, strict=False)
    if not free:
        return program, named
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    symbols: dict[str, str] = {}
    users = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    for name, node in zip(ready.inputs, users, strict=True):
        for axis, label in named[name].items():
            symbols[str(values[node].shape[axis])] = label
    leaves = [spec.arg.name for spec in program.graph_signature.output_specs if spec.kind.name == "USER_OUTPUT"]
    for name, node in zip(outputs, leaves, strict=True):
        value: Any = values.get(node)
        for axis, extent in enumerate(getattr(value, "shape", ())):
            if not isinstance(extent, int):
                label = re.sub(r"\w+", lambda m: symbols.get(m[0], m[0]), str(extent))
                named.setdefault(f"out:{name}", {})[axis] = label
    return program, named


@contextlib.contextmanager
def _for_onnx() -> Iterator[None]:
    """While active, ``torch.onnx.is_in_onnx_export()`` is true, so that zoo's operators use those of ONNX."""
    import torch.onnx

    told = torch.onnx.is_in_onnx_export
    torch.onnx.is_in_onnx_export = lambda: True
    try:
        yield
    finally:
        torch.onnx.is_in_onnx_export = told


def _takes_any(module: nn.Module) -> bool:
    """Whether all inputs are in ``*args``, which dynamic shapes treat as a single argument."""
    kinds = [one.kind for one in inspect.signature(module.forward).parameters.values()]
    return bool(kinds) and kinds[0] is inspect.Parameter.VAR_POSITIONAL


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _reason(e: BaseException) -> str:
    """The original error, without the advice that exporters add for their own developers."""
    while e.__cause__ is not None:
        e = e.__cause__
    text = (str(e).strip() or "no reason given").splitlines()[0]
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return redacted(f"{type(e).__name__}: {text}".rstrip("."))


def _refuse(path: Path) -> None:
    if path.exists():
        raise FileExistsError(f"{path} already exists; use overwrite=True, or --overwrite (--force), to replace it.")


def named_tensors(value: Any, name: str = "") -> dict[str, Tensor]:
    """The tensors in a module's output, named by the keys and indices that lead to them."""
    if isinstance(value, Tensor):
        return {name or "output": value}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    parts = [named_tensors(item, f"{name}_{key}" if name else str(key)) for key, item in items if item is not None]
    return {key: t for part in parts for key, t in part.items()}


def _describe(t: Tensor) -> str:
    return f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}"


def _port(one: Mapping[str, Any]) -> str:
    return f"{one['dtype']} [{', '.join(map(str, one['shape']))}]"
