"""Models as files that run without their code: ONNX, PyTorch's own exported programs, OpenVINO's, and others'."""

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

LONGEST = 300  # characters of another's error that are told
INSIDE = ("preprocessing", "postprocessing")


@dataclass(frozen=True)
class ExportReport:
    """What :func:`export` wrote.

    Attributes:
        path: of the file.
        files: with ONNX, weights beyond 2 GB lie in a second file beside the first, with OpenVINO always; it must stay
            there.
        format: ``"onnx"``, ``"torch-export"``, ``"openvino"``, or another that a plugin brings.
        inputs: name → dtype and shape, as in ``"float32 [batch, 3, 800, 1066]"``; ``outputs`` likewise.
        facts: what the file says of itself; docs/exporting.md explains it.
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
    format: str | None = None,  # noqa: A002  the field's name for it
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
    """Write a model to a file that runs without its code, and that zoo runs as the model itself.

    Unless told otherwise the file takes inputs of the one size that it is made with, and of most models what the model
    takes: prepared as ``weights.transforms()`` does it, [1, 3, H, W] for pictures. Detectors take one picture,
    [3, H, W] in [0, 1], or with a free batch [N, 3, H, W], and give a fixed number of detections, padded, and their
    ``count``; the README of zoo-detection says more.

    What is known of the model (task, preprocessing, categories, inputs and outputs, versions) is in the file as JSON;
    docs/exporting.md says where, and what. By it ``zoo.pipeline(path)`` and every command take the file.

    Args:
        model: the model's name; or a model that a builder made, exported as it is (in eval mode) with its weights.
        path: of the file.
        format: ``"onnx"``, ``"torch-export"``, ``"openvino"`` or a plugin's; by default what the path's ending says:
            ``.onnx``, ``.pt2``, ``.xml``.
        image_size: (height, width) in pixels, or one number for both. By default that of the weights' preprocessing or
            of the model, where there is one.
        dynamic: axes whose sizes are left free: ``"batch"``, ``"height"``, ``"width"``, of clips ``"frames"``.
        half: weights and computations in float16; inputs and outputs stay float32.
        opset: of ONNX, from 18 to 23; by default 20.
        with_preprocessing: the file takes uint8 pictures [N, H, W, 3] of any size and gives probabilities, classes of
            pixels, or boxes in the pictures' own pixels; of the task's documentation, what its pipeline gives.
        weights: as the builder takes them; None leaves the model random.
        task: by default the model's main one. To be given for a model that is built.
        overwrite: a file that is there may be replaced.
        categories: class names in label order, in place of those that are known of the weights.
        progress: say on stderr what is done; by default on a terminal.
        **config: options of the task's models, such as ``max_detections=50``; the others are arguments of the builder.

    Raises:
        InvalidArgument: no such format, no image size, or one that the model does not take; a free axis that the model
            cannot have; preprocessing that cannot be part of a graph.
        FileExistsError: there is such a file, and ``overwrite`` is False.
        MissingPlugin: packages that the format needs are not installed.
        ExportError: the model cannot be captured. Nothing is left of the file.
        UnknownModel, UnknownWeights, UnknownTask: a name that nothing installed has.

    >>> zoo.export("resnet50", "resnet50.onnx", dynamic=("batch", "height", "width"))
    >>> zoo.export("fasterrcnn_resnet50_fpn_v2", "detector.onnx", image_size=(800, 1066), max_detections=50)
    """
    path = Path(path)
    kind = registry.format_of(path, format)
    if not kind.write:
        raise InvalidArgument(f"Files of the format {kind.name!r} are opened, not written.")
    size = None if image_size is None else _height_and_width(image_size)
    axes = _axes(dynamic)
    if opset is not None:
        _check_opset(kind, opset)
    if not overwrite:
        _refuse(path)
    if not path.parent.is_dir():
        raise InvalidArgument(f"There is no folder {path.parent} to write {path.name} to.")
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
                        f"with_preprocessing: nothing is known of how {name} is fed: no weights were loaded."
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


# ── what is exported ─────────────────────────────────────────────────────────────────────────────────────────────


def _axes(given: str | Sequence[str]) -> tuple[str, ...]:
    names = given.split(",") if isinstance(given, str) else list(given)
    wrong = [name for name in names if not isinstance(name, str) or not name.strip().isidentifier()]
    if wrong:
        raise InvalidArgument(f"dynamic is {given!r}; expected names of axes, such as ('batch', 'height', 'width').")
    return tuple(dict.fromkeys(name.strip() for name in names))


def _check_opset(kind: Format, opset: Any) -> None:
    if kind.name != "onnx":
        raise InvalidArgument(f"opset is of ONNX; a file of the format {kind.name!r} has none.")
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
    """The task, what of ``config`` is said to it, the model, and what it is called."""
    if isinstance(model, str):
        info = registry.model_info(model)
        if info.exported is not None:
            raise InvalidArgument(f"{model} is exported already. Export the model that it was made of.")
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


def _prepared(
    model: nn.Module,
    spec: TaskSpec,
    size: tuple[int, int] | None,
    axes: Sequence[str],
    preset: Preset | None,
    options: Mapping[str, Any],
) -> Exportable:
    """What is captured, by the task where it says how."""
    make = registry.provided(spec, "export")
    asked: dict[str, Any] = {"dynamic": axes} if axes else {}
    if preset is not None:
        asked["preprocessing"] = preset
    if make is None:
        if spec.input_ndim != 3 or spec.inputs_per_sample != 1:
            raise InvalidArgument(
                f"The task {spec.name!r} does not say how its models are exported: they take no single pictures. "
                'Whoever publishes it can name a function in TaskSpec(provides={"export": …}).'
            )
        make = export_pictures
    takes = inspect.signature(make).parameters
    anything = any(one.kind is one.VAR_KEYWORD for one in takes.values())
    missing = [] if anything else [name for name in asked if name not in takes]
    if missing:
        raise InvalidArgument(
            f"What exports models of the task {spec.name!r} knows no {' and no '.join(missing)}: its files take inputs "
            "of one size, prepared by the caller."
        )
    ready: Exportable = make(model, size, **options, **asked)
    known = {name for names in ready.axes.values() for name in names.values()}
    if wrong := [name for name in axes if name not in known]:
        raise InvalidArgument(
            f"dynamic has {', '.join(wrong)}; of {type(model).__name__} these can be free: "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return ready


def _placed(ready: Exportable, half: bool, whole: bool) -> Exportable:
    """With its example where the model is, and of its type."""
    module = ready.module
    weight = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    dtype = torch.float32 if half else weight.dtype
    arguments = tuple(
        t.to(weight.device, dtype) if t.is_floating_point() else t.to(weight.device) for t in ready.arguments
    )
    return replace(ready, module=Float32(module).eval() if half and not whole else module, arguments=arguments)


def _fitted(preset: Preset | None, ready: Exportable, free: set[str]) -> Preset | None:
    """The preprocessing that makes pictures of the one size that the file takes."""
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


# ── how it is written ────────────────────────────────────────────────────────────────────────────────────────────


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
        outputs = named_tensors(module(*arguments))  # tells of a size that the model does not take
    except ZooError:
        raise
    except Exception as e:  # a model's own code can raise anything
        shapes = ", ".join(_describe(t) for t in arguments)
        raise ExportError(f"{type(module).__name__} does not take {shapes}: {_reason(e)}.") from e
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
        except Exception as e:  # whatever the many passes of a compiler raise
            sizes = f" with {' and '.join(sorted(free))} free" if free else ""
            raise ExportError(
                f"{type(module).__name__} could not be exported as {kind.name}{sizes}: {_reason(e)}."
            ) from e
        written = sorted(Path(folder).iterdir(), key=lambda file: file != target)
        moved = [path.parent / file.name for file in written]
        if not overwrite:
            for file in moved:
                _refuse(file)
        for file, place in reversed(list(zip(written, moved, strict=True))):  # the graph last, when all is there
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
    """The program, and the names of the axes that are free: of inputs by name, of outputs by ``out:`` and name."""
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
    """While it lasts, ``torch.onnx.is_in_onnx_export()``, by which operators of zoo choose those of ONNX."""
    import torch.onnx

    told = torch.onnx.is_in_onnx_export
    torch.onnx.is_in_onnx_export = lambda: True
    try:
        yield
    finally:
        torch.onnx.is_in_onnx_export = told


def _takes_any(module: nn.Module) -> bool:
    """Whether its inputs are all in ``*args``, which dynamic shapes name as one."""
    kinds = [one.kind for one in inspect.signature(module.forward).parameters.values()]
    return bool(kinds) and kinds[0] is inspect.Parameter.VAR_POSITIONAL


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _reason(e: BaseException) -> str:
    """What went wrong in the first place: exporters wrap it up in advice to their own developers."""
    while e.__cause__ is not None:
        e = e.__cause__
    text = (str(e).strip() or "no reason given").splitlines()[0]
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return redacted(f"{type(e).__name__}: {text}".rstrip("."))


def _refuse(path: Path) -> None:
    if path.exists():
        raise FileExistsError(
            f"{path} is there already; it is not written over unless overwrite=True, or --overwrite (--force)."
        )


def named_tensors(value: Any, name: str = "") -> dict[str, Tensor]:
    """The tensors in a module's output, by the keys and indices that lead to them."""
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
