"""Intermediate features of any model, and classification models as backbones."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract import Stage, WeightsLike, short
from zoo.errors import InvalidArgument, suggest
from zoo.nn import check_images, first_channels, freeze_batch_norm
from zoo.registry import get_model

LAYOUTS = ("NCHW", "NHWC", "NLC", "NCTHW", "NTHWC", "")  # of a stage; "" is determined from the shape


def feature_info(model: str | nn.Module, **config: Any) -> list[Stage]:
    """The stages of a classification model: the places with features of one resolution.

    A model lists them as :class:`zoo.Stage`, or like timm's models as ``{"module": path, "num_chs": channels,
    "reduction": stride}``, with the layout in the model's ``output_fmt`` or determined from the outputs. If a map is
    not the output of a submodule, the path is empty and a method of the model returns it: see :class:`zoo.Stage`.

    Args:
        model: a model or its name; by name it is built on the meta device, without memory.
        **config: builder arguments, if they change the stages.

    Raises:
        InvalidArgument: the model does not list its stages, or the list is invalid.
    """
    if isinstance(model, str):
        with torch.device("meta"):
            built = get_model(model, **config)
    else:
        built = model
    stages = getattr(built, "feature_info", None)
    stages = getattr(stages, "info", stages)  # timm's feature models have them in an object
    what = repr(model) if isinstance(model, str) else type(model).__name__
    if not stages or not isinstance(stages, Sequence):
        raise InvalidArgument(f"{what} has no feature_info; expected a list of zoo.Stage(path, channels, stride).")
    known = dict(built.named_modules())
    return [_stage(what, built, known, given) for given in stages]


def _stage(what: str, model: nn.Module, known: Mapping[str, nn.Module], given: Any) -> Stage:
    """One of a model's stages, from either form, checked.

    Raises:
        InvalidArgument: it is not a valid stage.
    """
    stage, gives_maps = given, callable(getattr(model, "forward_intermediates", None))
    if isinstance(given, Mapping) and {"module", "num_chs", "reduction"} <= given.keys():
        goes_in = given.get("hook_type", "forward") not in ("", "forward")
        if goes_in and not gives_maps:
            raise InvalidArgument(
                f"feature_info of {what}: {short(given)} is a module's input; only outputs are available."
            )
        layout = given.get("layout") or getattr(model, "output_fmt", None) or ""
        stage = Stage(given["module"], given["num_chs"], given["reduction"], getattr(layout, "value", layout))
        if gives_maps and (goes_in or stage.path not in known or not stage.path):
            stage = Stage("", stage.channels, stage.stride)
    if not isinstance(stage, Stage):
        raise InvalidArgument(
            f"feature_info of {what} has {short(given)}; expected zoo.Stage(path, channels, stride), or a dict of "
            "module, num_chs and reduction."
        )
    if stage.path not in known or not (stage.path or gives_maps):
        raise InvalidArgument(
            f"feature_info of {what}: there is no submodule {stage.path!r}.{suggest(str(stage.path), known)}"
        )
    sizes = (stage.channels, stage.stride)
    if any(type(n) is not int or n < 1 for n in sizes) or stage.layout not in LAYOUTS:
        raise InvalidArgument(
            f"feature_info of {what} has {short(given)}; expected channels and stride of at least 1, and a layout of "
            f"{', '.join(filter(None, LAYOUTS))}."
        )
    return stage


class FeatureExtractor(nn.Module):
    """Runs a model as far as needed and returns outputs of its submodules; see :func:`feature_extractor`."""

    def __init__(self, model: nn.Module, nodes: Mapping[str, str]) -> None:
        super().__init__()
        self.model = model
        self.nodes = dict(nodes)

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        watched = {name: self.model.get_submodule(path) for name, path in self.nodes.items()}
        with watched_outputs(watched, found):
            self.model(*args, **kwargs)
        return OrderedDict((name, found[name]) for name in self.nodes)


# Hooks exist only during calls, so that the model is unchanged and several extractors can share it. Calls of all
# threads share one hook per module, which finds the call of an output by its thread.
_lock = threading.Lock()
_hooked: dict[int, tuple[dict[int, Any], int]] = {}  # id of a module → its own hooks, calls that watch it
_calls = threading.local()  # .stack: the modules that this thread's calls watch (id, name), and their outputs
_KEY = -1  # torch's own keys of hooks count from 0


def _record(module: nn.Module, inputs: Any, output: Any) -> None:
    for watched, found in getattr(_calls, "stack", ()):
        found.update((name, output) for name, m in watched.items() if m is module)


@contextlib.contextmanager
def watched_outputs(watched: Mapping[str, nn.Module], found: dict[str, Any]) -> Iterator[None]:
    """A context in which the outputs of these modules in this thread are stored in ``found``.

    Another thread may be iterating over a module's hooks: the dict is never changed, but replaced and restored.
    """
    with _lock:
        for module in watched.values():
            own, calls = _hooked.get(id(module), (module._forward_hooks, 0))
            if not calls:
                module._forward_hooks = OrderedDict(own)
                module._forward_hooks[_KEY] = _record
            _hooked[id(module)] = own, calls + 1
    stack = _calls.__dict__.setdefault("stack", [])
    stack.append((watched, found))
    try:
        yield
    finally:
        stack.pop()
        with _lock:
            for module in watched.values():
                own, calls = _hooked.pop(id(module))
                if calls > 1:
                    _hooked[id(module)] = own, calls - 1
                    continue
                now, module._forward_hooks = module._forward_hooks, own
                own.update((key, hook) for key, hook in now.items() if key != _KEY and key not in own)


def feature_extractor(model: nn.Module, nodes: Sequence[str] | Mapping[str, str]) -> FeatureExtractor:
    """A module that returns the outputs of some of ``model``'s submodules.

    Args:
        model: any module.
        nodes: paths of submodules (``"layer4"``, ``"encoder.layers.3"``), or path → name of the output.

    Returns:
        A module whose output is a dict, name → output, in the order of ``nodes``.

    Raises:
        InvalidArgument: the model does not have a path, or a name is given twice.

    >>> zoo.feature_extractor(model, ["layer2", "layer4"])(images)["layer4"].shape
    """
    pairs = dict(nodes) if isinstance(nodes, Mapping) else {path: path for path in nodes}
    known = dict(model.named_modules())
    for path in pairs:
        if path not in known or path == "":
            raise InvalidArgument(f"{type(model).__name__} has no submodule {path!r}.{suggest(path, known)}")
    if len(set(pairs.values())) < len(pairs):
        raise InvalidArgument(f"The outputs of nodes={pairs} share a name; give them different names.")
    return FeatureExtractor(model, {name: path for path, name in pairs.items()})


class IntermediateLayers(nn.ModuleDict):
    """The first children of a model, run one after the other: images [N, C, H, W] → name → feature map.

    The children keep their names and nothing is added, so the keys of published files fit.

    Args:
        model: a model whose children run one after another; those after the last requested one are left out.
        return_layers: name of a child → name of its output.

    Raises:
        InvalidArgument: ``return_layers`` is empty or names a missing child; in the call, invalid images.

    >>> zoo.features.IntermediateLayers(resnet, {"layer3": "low", "layer4": "high"})(images)["high"].shape
    """

    def __init__(self, model: nn.Module, return_layers: Mapping[str, str]) -> None:
        children = dict(model.named_children())
        missing = set(return_layers) - set(children)
        if missing or not return_layers:
            named = ", ".join(missing) or "nothing"
            raise InvalidArgument(f"return_layers names {named}; the children are {', '.join(children)}.")
        end = max(list(children).index(child) for child in return_layers) + 1
        super().__init__(dict(list(children.items())[:end]))
        self.return_layers = dict(return_layers)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        check_images(images, first_channels(self))
        x, found = images, {}
        for child, module in self.items():
            x = module(x)
            if child in self.return_layers:
                found[self.return_layers[child]] = x
        return found


class IntermediateMaps(nn.Module):
    """Runs a model that gives its maps itself, by ``forward_intermediates``, as far as needed.

    Args:
        model: has that method; see :class:`zoo.Stage`.
        indices: name of the output → its place in the model's ``feature_info``.
    """

    def __init__(self, model: nn.Module, indices: Mapping[str, int]) -> None:
        super().__init__()
        self.model = model
        self.indices = dict(indices)

    def forward(self, images: Tensor) -> dict[str, Any]:
        wanted = sorted(set(self.indices.values()))
        forward: Any = self.model.forward_intermediates
        maps = forward(images, indices=wanted, output_fmt="NCHW", intermediates_only=True)
        return OrderedDict((name, maps[wanted.index(i)]) for name, i in self.indices.items())


def reader(model: nn.Module, stages: Mapping[str, Stage], indices: Sequence[int] | None = None) -> nn.Module:
    """A module: images → name → what the stage gives, as it is. Its attribute ``model`` is the model.

    Args:
        model: any module.
        stages: name of the output → the stage.
        indices: the stages' places in the model's ``feature_info``; by default those of equal stages there.
    """
    if all(stage.path for stage in stages.values()):
        return FeatureExtractor(model, {name: stage.path for name, stage in stages.items()})
    if indices is None:
        known = feature_info(model)
        indices = [known.index(stage) for stage in stages.values()]
    return IntermediateMaps(model, dict(zip(stages, indices, strict=True)))


class Backbone(nn.Module):
    """A classification model that returns feature maps; see :func:`backbone`.

    Args:
        model: any module.
        stages: name of the output → the stage of ``model`` that gives it.
        indices: the stages' places in the model's ``feature_info``; by default those of equal stages there.

    Attributes:
        out_channels: channels of each output.
        strides: input pixels per cell of each output.
    """

    def __init__(self, model: nn.Module, stages: Mapping[str, Stage], indices: Sequence[int] | None = None) -> None:
        super().__init__()
        self.stages = list(stages.values())
        self.out_channels = [stage.channels for stage in self.stages]
        self.strides = [stage.stride for stage in self.stages]
        self.body = reader(model, stages, indices)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """``{"0": [N, C0, H0, W0], "1": …}`` for images [N, C, H, W]."""
        found = self.body(images)
        return OrderedDict((name, _as_map(found[name], s, images)) for name, s in zip(found, self.stages, strict=True))

    def freeze_rest(self) -> Backbone:
        """Freeze the parameters after the last stage: the output does not use them, so they would get no gradient."""
        model: Any = self.body.model
        if isinstance(self.body, IntermediateMaps):
            needed = _needed(model, max(self.body.indices.values()))
            for name, parameter in model.named_parameters():
                if needed is not None and name not in needed:
                    parameter.requires_grad_(False)
            return self
        for module in _split(model, self.stages[-1].path)[1]:
            module.requires_grad_(False)
        return self


def layout_of(stage: Stage, shape: Sequence[int]) -> str:
    """The order of the dimensions of a stage's output; determined from the shape if the stage does not give it."""
    if stage.layout or not shape:
        return stage.layout or "NCHW"
    if len(shape) == 3:
        return "NLC"
    return "NCHW" if shape[1] == stage.channels or len(shape) != 4 else "NHWC"


def _as_map(features: Any, stage: Stage, images: Tensor) -> Tensor:
    """[N, C, H, W], whatever the stage's layout.

    Raises:
        InvalidArgument: it does not have this number of channels.
    """
    shape = list(features.shape) if isinstance(features, Tensor) else []
    layout = layout_of(stage, shape)
    if len(shape) != len(layout) or shape[layout.index("C")] != stage.channels:
        found = f"a tensor of shape {shape}" if isinstance(features, Tensor) else f"a {type(features).__name__}"
        raise InvalidArgument(
            f"feature_info promises {stage.channels} channels, {layout}, of {stage.path or 'forward_intermediates'!r}, "
            f"which returns {found}."
        )
    if layout == "NCHW":
        return features  # type: ignore[no-any-return]
    if layout == "NHWC":
        return features.permute(0, 3, 1, 2)  # type: ignore[no-any-return]
    height, width = images.shape[-2] // stage.stride, images.shape[-1] // stage.stride
    patches: Tensor = features[:, features.shape[1] - height * width :]  # they are preceded by a class token
    return patches.transpose(1, 2).reshape(len(patches), -1, height, width)


def backbone(
    model: str | nn.Module,
    *,
    weights: WeightsLike = None,
    out_indices: Sequence[int] | None = None,
    trainable_layers: int | None = None,
    frozen_norm: bool = False,
    **config: Any,
) -> Backbone:
    """Any classification model with stages as a module that returns feature maps, ready for a feature pyramid.

    Args:
        model: the model, or its name.
        weights: as its builder takes them.
        out_indices: which of ``zoo.feature_info(model)`` to return; by default the last four. Negative ones count
            from the end.
        trainable_layers: how many stages, counted from the last, are trained; the others, and everything before them,
            are frozen. By default all are trained.
        frozen_norm: freeze the statistics and scale of its batch norm, as :func:`zoo.nn.freeze_batch_norm` does: for
            training with batches of a few large images on pretrained weights.
        **config: further arguments of the builder.

    Raises:
        InvalidArgument: the model has no stages, or an index or number of layers is out of range.
    """
    built = get_model(model, weights=weights, **config) if isinstance(model, str) else model
    stages = feature_info(built)
    chosen = range(max(0, len(stages) - 4), len(stages)) if out_indices is None else out_indices
    for i in chosen:
        if not -len(stages) <= i < len(stages):
            raise InvalidArgument(f"out_indices has {i}; the model has {len(stages)} stages, 0 to {len(stages) - 1}.")
    if trainable_layers is not None:
        if not 0 <= trainable_layers <= len(stages):
            raise InvalidArgument(f"trainable_layers={trainable_layers}; expected 0 to {len(stages)}.")
        _freeze_before(built, stages, trainable_layers)
    if frozen_norm:
        built = freeze_batch_norm(built)
    return Backbone(built, {str(n): stages[i] for n, i in enumerate(chosen)}, [i % len(stages) for i in chosen])


def _freeze_before(model: nn.Module, stages: Sequence[Stage], trainable: int) -> None:
    """Freeze every parameter that is registered up to the last frozen stage: models register in order of use."""
    if trainable == len(stages):
        return
    last = len(stages) - trainable - 1
    if not stages[last].path:
        needed = _needed(model, last)
        if needed is None:
            raise InvalidArgument(
                f"trainable_layers={trainable} needs {type(model).__name__}.prune_intermediate_layers to determine "
                f"the parameters of stage {last}, but the model has no such method. Freeze the parameters by name."
            )
        for name, parameter in model.named_parameters():
            if name in needed:
                parameter.requires_grad_(False)
        return
    for module in _split(model, stages[last].path)[0]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)


def _needed(model: nn.Module, index: int) -> set[str] | None:
    """Names of the parameters that ``forward_intermediates`` needs for the first ``index + 1`` maps.

    None if the model has no ``prune_intermediate_layers``.
    """
    if not callable(getattr(model, "prune_intermediate_layers", None)):
        return None
    pruned: Any = copy.deepcopy(model)
    pruned.prune_intermediate_layers([index], prune_norm=True, prune_head=True)
    return {name for name, _ in pruned.named_parameters()}


def _split(model: nn.Module, path: str) -> tuple[list[nn.Module], list[nn.Module]]:
    """All submodules in order of registration, in two lists: those up to the end of the one at ``path``, and those
    after it."""
    modules = dict(model.named_modules())
    end = max(i for i, name in enumerate(modules) if f"{name}.".startswith(f"{path}.")) + 1
    return list(modules.values())[:end], list(modules.values())[end:]
