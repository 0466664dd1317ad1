"""From a name to a model, its builder, its weights, its task."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.contract import LazyEnum, ModelSpec, Weights, WeightsEnum, check_model, check_name, load_object
from zoo.errors import ContractError, InvalidArgument, PluginError, UnknownModel, UnknownWeights, suggest, told
from zoo.files import redacted
from zoo.registry.exported import ExportedFile, find_exported, format_opening
from zoo.registry.names import Builder, Entry, Registry, add_local, one_meant, registry, weights_claims
from zoo.registry.records import LOCAL, PluginRecord
from zoo.registry.saved import find_saved

if TYPE_CHECKING:
    import torch
    from torch import nn

EXPORTED = "EXPORTED"  # likewise for an exported file
SAVED = "SAVED"  # the name of the weights in a saved model's file
F = TypeVar("F", bound=Builder)


def get_model_builder(name: str) -> Builder:
    """The function that builds the model; its module is imported, and torch with it.

    For a name with weights, such as ``"timm/resnet50.a1_in1k"``, the builder loads those weights unless others are
    given.

    Raises:
        UnknownModel: no such model; the message has the closest matches and what to install.
        PluginError: the builder's module cannot be imported, or has no such function.
    """
    entry, tag = registry().whole(name)
    build = _builder(entry)
    if tag is None:
        return build

    @functools.wraps(build)
    def whole(**config: Any) -> Any:
        return build(**_with_weights(entry, tag, config))

    return whole


def _with_weights(entry: Entry, tag: str, config: dict[str, Any]) -> dict[str, Any]:
    """A builder's arguments, with the weights in the model's name unless the caller gives others."""
    if config.get("weights", "DEFAULT") != "DEFAULT" or entry.spec.weights is None:
        return config
    return {**config, "weights": entry.spec.weights[tag]}


def _builder(entry: Entry) -> Builder:
    if entry.local is not None:
        return entry.local
    try:
        built: Builder = load_object(entry.spec.builder)
        if not callable(built):
            raise ContractError(f"it is {type(built).__name__}, which cannot be called")
    except KeyboardInterrupt as e:
        raise KeyboardInterrupt(f"the builder of {entry.full_name!r}, {entry.spec.builder!r}, was imported.") from e
    except BaseException as e:  # SystemExit too: a plugin must not end the program
        message = f"The builder of {entry.full_name!r}, {entry.spec.builder!r}, cannot be loaded"
        failed = PluginError(f"{message}: {told(e)}")
        entry.plugin.complain_of_build(e)
        raise failed from e
    return built


def get_model(
    name: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    **config: Any,
) -> nn.Module:
    """Build a model by name: ``zoo.get_model("resnet50", weights="DEFAULT")``.

    Args:
        name: bare (``"resnet50"``) or full (``"classification/resnet50"``); with weights (``"timm/resnet50.a1_in1k"``),
            which are loaded unless others, or None, are given; or a model that :func:`zoo.save` wrote: the path or URL
            of its file, or of a folder or repository (``"hf://org/name"``) with the file; or an exported file, such as
            ``"resnet50.onnx"``, which runs on the CPU in its own dtype.
        device: device of the model; ``"meta"`` builds it without memory. By default the builder's.
        dtype: of its floating point tensors, such as ``torch.bfloat16``.
        **config: arguments of its builder: ``weights``, ``num_classes``, ``in_channels`` and the family's own. A saved
            model has its own weights unless others are given; None builds it without.

    Raises:
        UnknownModel, PluginError: see :func:`get_model_builder`.
        UnknownWeights, CheckpointError, DownloadError: the weights of ``weights=`` cannot be loaded.
        InvalidArgument: there is no such device or dtype.
    """
    if format_opening(name) is not None:
        return _exported(name, device, dtype, **config)
    saved = find_saved(name, progress=config.get("progress", True))
    if saved is None:
        entry, tag = registry().whole(name)
        build = _builder(entry)
        if tag is not None:
            config = _with_weights(entry, tag, config)
    else:
        build = _builder(saved.entry())
        if config.get("weights", "DEFAULT") == "DEFAULT":
            config["weights"] = saved.weights
        else:
            config = {**saved.arguments, **config}
    if device is None and dtype is None:
        model: nn.Module = build(**config)
    else:
        model = load_object("zoo.loading.saved:placed_at")(build, device, dtype, config)
    if saved is None and isinstance(getattr(model, "__dict__", None), dict):
        model.__dict__["_full_name"] = entry.full_name  # used to find its task
    return model


def _exported(
    name: str | os.PathLike[str],
    device: str | torch.device | None,
    dtype: torch.dtype | None,
    *,
    weights: Any = "DEFAULT",
    task: str | None = None,
    progress: bool = True,
    **arguments: Any,
) -> nn.Module:
    """The model of an exported file, which is immutable."""
    if arguments:
        named = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise InvalidArgument(f"{redacted(os.fspath(name))} is an exported file, which does not accept {named}.")
    file = find_exported(name, task=task, weights=_description(weights), progress=progress)
    opened: nn.Module = load_object("zoo.loading.exported:open_exported")(file)
    return opened if device is None and dtype is None else opened.to(device=device, dtype=dtype)


def _description(weights: Any) -> Weights | None:
    """The weights that describe a file without facts: a member, its name, or a description."""
    given = getattr(weights, "value", weights)
    if isinstance(given, str) and given not in ("DEFAULT", EXPORTED):
        given = get_weight(given).value
    return given if isinstance(given, Weights) else None


def get_model_weights(name: str | Builder) -> type[WeightsEnum]:
    """The enum of a model's weights, by the model's name or its builder.

    Raises:
        UnknownModel: no such model.
        UnknownWeights: no weights are published for it.
    """
    if isinstance(name, str):
        weights = registry().whole(name)[0].spec.weights
    else:
        weights = getattr(name, "weights_enum", None)
        if weights is None:
            now = registry()
            weights = next((e.spec.weights for e in now.entries.values() if e.local is name and name is not None), None)
    if weights is None:
        what = repr(name) if isinstance(name, str) else getattr(name, "__name__", repr(name))
        raise UnknownWeights(f"No weights are published for {what}.")
    return weights


def get_weight(name: str) -> WeightsEnum:
    """The enum member named by ``"ResNet50_Weights.IMAGENET1K_V2"`` or ``"resnet50.IMAGENET1K_V2"``.

    Raises:
        UnknownWeights: no such enum or member; the message has the closest matches.
    """
    plugin, slash, rest = name.rpartition("/") if isinstance(name, str) else ("", "", "")
    enum_name, dot, member = rest.partition(".")  # a member's name may contain dots, an enum's cannot
    enum_name = f"{plugin}{slash}{enum_name}"
    if not dot:
        raise UnknownWeights(f"{name!r} is not of the form 'ResNet50_Weights.IMAGENET1K_V2'.")
    claims = weights_claims(registry())
    if enum_name not in claims:
        with contextlib.suppress(UnknownModel):
            entry, tag = registry().whole(name)
            if tag is not None and entry.spec.weights is not None:
                return entry.spec.weights[tag]
        raise UnknownWeights(f"There are no weights {enum_name!r}.{suggest(enum_name, claims)}")
    enum = one_meant(claims[enum_name], name)
    found = (enum.enum() if isinstance(enum, LazyEnum) else enum).verify(member)
    if found is None:  # verify returns None only for None
        raise UnknownWeights(f"{name!r} is not the name of weights.")
    return found


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The facts of a model that are known without building it.

    Attributes:
        name: bare if that is unique.
        full_name: ``plugin/name``.
        task: the main task; ``tasks`` has all.
        plugin: name of the plugin; ``distribution`` and ``version`` are those of its package.
        num_params: number of parameters, if known.
        paper: title and link.
        weights: member name → facts, including ``DEFAULT``; for a name with weights (``timm/resnet50.a1_in1k``), only
            those.
        default_weights: the name of the weights that ``DEFAULT`` refers to.
        builder: its import string.
        input: requirements of the model on its input.
        source: path or URL of the file of a saved model, whose weights are called ``SAVED``, or of an exported file,
            ``EXPORTED``.
        exported: the facts of an exported file; None for other models.
    """

    name: str
    full_name: str
    task: str
    tasks: tuple[str, ...]
    plugin: str
    distribution: str | None
    version: str | None
    num_params: int | None
    paper: str | None
    weights: Mapping[str, Weights]
    default_weights: str | None
    builder: str
    input: Mapping[str, Any]
    source: str | None = None
    exported: Mapping[str, Any] | None = None


def model_info(name: str | os.PathLike[str], *, task: str | None = None, weights: Any = None) -> ModelInfo:
    """Task, plugin, parameters, paper and weights of a model, without importing torch.

    Args:
        name: as :func:`get_model` takes it, including saved models and exported files.
        task: of an exported file without facts; ``weights``: weights that describe such a file.

    Raises:
        UnknownModel: no such model.
        CheckpointError, DownloadError: a file is not a saved model, or is not available.
    """
    now = registry()
    if format_opening(name) and (file := find_exported(name, task=task, weights=_description(weights))) is not None:
        return _info_of_file(now, file)
    saved = find_saved(name)
    if saved is None:
        entry, tag = now.whole(name)
        known = info_of(now, entry)
        if tag is None:
            return known
        chosen = known.weights[tag]
        named = known.default_weights if tag == "DEFAULT" else tag
        return replace(known, weights={str(named): chosen, "DEFAULT": chosen}, default_weights=named)
    about = info_of(now, saved.entry())
    tasks = tuple(dict.fromkeys([saved.task, *about.tasks])) if saved.task in about.tasks else about.tasks
    return replace(
        about,
        task=tasks[0],
        tasks=tasks,
        num_params=saved.weights.num_params,
        weights={SAVED: saved.weights, "DEFAULT": saved.weights},
        default_weights=SAVED,
        source=redacted(saved.source),
    )


def _info_of_file(now: Registry, file: ExportedFile) -> ModelInfo:
    plugin, _, bare = file.name.partition("/")
    record = next((one for one in now.records if one.name == plugin), None)
    entry = now.entries.get(file.name)
    return ModelInfo(
        name=bare,
        full_name=file.name,
        task=file.task,
        tasks=(file.task,),
        plugin=plugin,
        distribution=record.distribution if record else None,
        version=record.version if record else None,
        num_params=file.weights.num_params,
        paper=entry.spec.paper if entry else None,
        weights={EXPORTED: file.weights, "DEFAULT": file.weights},
        default_weights=EXPORTED,
        builder=file.format.open,
        input={},
        source=redacted(file.source),
        exported=file.facts,
    )


def info_of(now: Registry, entry: Entry) -> ModelInfo:
    spec = entry.spec
    weights = {key: member.value for key, member in spec.weights.__members__.items()} if spec.weights else {}
    default = weights.get("DEFAULT")
    return ModelInfo(
        name=now.short_name(entry),
        full_name=entry.full_name,
        task=spec.tasks[0],
        tasks=spec.tasks,
        plugin=entry.plugin.name,
        distribution=entry.plugin.distribution,
        version=entry.plugin.version,
        num_params=spec.parameters,
        paper=spec.paper,
        weights=weights,
        default_weights=next((key for key, value in weights.items() if value is default), None),
        builder=spec.builder,
        input=spec.input,
    )


def register_model(
    name: str | None = None,
    *,
    task: str | tuple[str, ...] = "image-classification",
    weights: type[WeightsEnum] | None = None,
    **facts: Any,
) -> Callable[[F], F]:
    """Register a builder of this session as ``local/name``, and by its bare name while that is unique.

    Args:
        name: by default the function's.
        task: its task.
        weights: the enum of its weights; by default that of its ``zoo.builder``.
        **facts: further fields of :class:`zoo.ModelSpec`, such as ``num_params`` and ``paper``.

    Raises:
        ContractError: the name is taken by another function of this session. Defining the same function again, as
            a notebook does, replaces it.

    >>> @zoo.register_model()
    ... def tiny_net(num_classes=10):
    ...     return nn.Linear(4, num_classes)
    >>> zoo.get_model("tiny_net", num_classes=3)
    """
    if callable(name):
        raise ContractError("Write @zoo.register_model() with parentheses.")

    def register(builder: F) -> F:
        spec = ModelSpec(
            check_name("model", name or builder.__name__),
            f"{builder.__module__}:{builder.__name__}",
            task=task,
            weights=weights or getattr(builder, "weights_enum", None),
            **facts,
        )
        check_model(spec)
        add_local(Entry(spec, PluginRecord(LOCAL, target=builder.__module__, stage="validate"), builder))
        return builder

    return register
