"""From a name to a model, its builder, its weights, its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.contract import ModelSpec, Weights, WeightsEnum, check_model, check_name, load_object
from zoo.errors import ContractError, PluginError, UnknownWeights, suggest, told
from zoo.registry.names import Builder, Entry, Registry, add_local, meant, registry, weights_claims
from zoo.registry.records import LOCAL, PluginRecord

if TYPE_CHECKING:
    from torch import nn

F = TypeVar("F", bound=Builder)


def get_model_builder(name: str) -> Builder:
    """The function that builds the model; its module is imported, and torch with it.

    Raises:
        UnknownModel: no such model; the message has the closest matches and what to install.
        PluginError: the builder's module cannot be imported, or has no such function.
    """
    return _builder(registry().find(name))


def _builder(entry: Entry) -> Builder:
    if entry.local is not None:
        return entry.local
    try:
        built: Builder = load_object(entry.spec.builder)
        if not callable(built):
            raise ContractError(f"it is {type(built).__name__}, which cannot be called")
    except KeyboardInterrupt as e:
        raise KeyboardInterrupt(f"the builder of {entry.full_name!r}, {entry.spec.builder!r}, was imported.") from e
    except BaseException as e:  # SystemExit too: a plugin must not end its user's program
        message = f"The builder of {entry.full_name!r}, {entry.spec.builder!r}, cannot be loaded"
        failed = PluginError(f"{message}: {told(e)}")
        entry.plugin.complain_of_build(e)
        raise failed from e
    return built


def get_model(name: str, **config: Any) -> nn.Module:
    """Build a model by name: ``zoo.get_model("resnet50", weights="DEFAULT")``.

    Args:
        name: bare (``"resnet50"``) or full (``"classification/resnet50"``).
        **config: arguments of its builder: ``weights``, ``num_classes``, ``in_channels`` and the family's own.

    Raises:
        UnknownModel, PluginError: see :func:`get_model_builder`.
        UnknownWeights, CheckpointError, DownloadError: what can go wrong with ``weights=``.
    """
    model: nn.Module = get_model_builder(name)(**config)
    return model


def get_model_weights(name: str | Builder) -> type[WeightsEnum]:
    """The enum of a model's weights, by the model's name or its builder.

    Raises:
        UnknownModel: no such model.
        UnknownWeights: no weights are published for it.
    """
    if isinstance(name, str):
        weights = registry().find(name).spec.weights
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
    """The entry that ``"ResNet50_Weights.IMAGENET1K_V2"`` names.

    Raises:
        UnknownWeights: no such enum or member; the message has the closest matches.
    """
    enum_name, dot, member = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not dot:
        raise UnknownWeights(f"{name!r} is not of the form 'ResNet50_Weights.IMAGENET1K_V2'.")
    claims = weights_claims(registry())
    if enum_name not in claims:
        raise UnknownWeights(f"There are no weights {enum_name!r}.{suggest(enum_name, claims)}")
    enum = meant(claims[enum_name])
    if enum is None:
        full = " and ".join(repr(f"{record.name}/{name}") for record in claims[enum_name].values())
        raise UnknownWeights(f"Several plugins have weights {enum_name!r}. Say which one you mean: {full}.")
    found = enum.verify(member)
    if found is None:  # verify returns None for None alone
        raise UnknownWeights(f"{name!r} names no weights.")
    return found


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model without building it.

    Attributes:
        name: bare where that works.
        full_name: ``plugin/name``.
        task: the main one; ``tasks`` has all.
        plugin: name of the plugin; ``distribution`` and ``version`` say where it came from.
        num_params: number of parameters, if known.
        paper: title and link.
        weights: member name → facts, ``DEFAULT`` included.
        default_weights: what ``DEFAULT`` stands for.
        builder: its import string.
        input: where the model is particular about its input.
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


def model_info(name: str) -> ModelInfo:
    """Task, plugin, parameters, paper and weights of a model, without importing torch.

    Raises:
        UnknownModel: no such model.
    """
    now = registry()
    return info_of(now, now.find(name))


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
    """Make a builder of this session known as ``local/name``, and by its bare name while that is unique.

    Args:
        name: by default the function's.
        task: what it does.
        weights: the enum of its weights; by default that of its ``zoo.builder``.
        **facts: further fields of :class:`zoo.ModelSpec`, such as ``num_params`` and ``paper``.

    Raises:
        ContractError: the name is taken by another function of this session. Defining the same function again, as
            a notebook does, replaces it.

    >>> @zoo.register_model()
    ... def tiny_net(num_classes=10): ...
    >>> zoo.get_model("tiny_net", num_classes=3)
    """
    if callable(name):
        raise ContractError("Write @zoo.register_model() with its brackets.")

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
