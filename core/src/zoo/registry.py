"""The models of all plugins under one roof: names, filters, and the way from a name to a model.

Nothing here imports torch; ``get_model`` and ``get_model_builder`` do, through the builder's module.
"""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from zoo import discovery
from zoo.contract import Metric, ModelSpec, TaskSpec, Weights, WeightsEnum, check_model, check_name, load_object
from zoo.discovery import LOCAL, PluginRecord
from zoo.errors import (
    AmbiguousModel,
    ContractError,
    InvalidArgument,
    PluginError,
    UnknownModel,
    UnknownTask,
    UnknownWeights,
    suggest,
)
from zoo.first_party import BY_NAMESPACE, provider

if TYPE_CHECKING:
    from torch import nn

Builder = Callable[..., Any]
F = TypeVar("F", bound=Builder)
Names = str | Iterable[str] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One model in the registry: what its plugin says of it, and the builder where it is registered in a session."""

    spec: ModelSpec
    plugin: PluginRecord
    local: Builder | None = None

    @property
    def full_name(self) -> str:
        return f"{self.plugin.name}/{self.spec.name}"


class Registry:
    """A snapshot of what the plugins offer. ``refresh()`` takes a new one.

    Attributes:
        entries: full name → model.
        by_bare_name: bare name → the models that claim it; ``by_old_name`` the same for names they once had.
        tasks: name → the plugins that bring it and how they handle it, our own first.
    """

    def __init__(self, records: Sequence[PluginRecord], local: Mapping[str, Entry]) -> None:
        self.records = records
        self.entries: dict[str, Entry] = {}
        self.by_bare_name: dict[str, list[Entry]] = {}
        self.by_old_name: dict[str, list[Entry]] = {}
        self.tasks: dict[str, list[tuple[TaskSpec, PluginRecord]]] = {}
        for record in records:
            if record.manifest is None:
                continue
            for spec in record.manifest.models:
                self._add(Entry(spec, record))
            for task in record.manifest.tasks:
                self.tasks.setdefault(task.name, []).append((task, record))
            for old, new in record.manifest.renamed.items():
                self.by_old_name.setdefault(old, []).append(self.entries[f"{record.name}/{new}"])
        for entry in local.values():
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        self.entries[entry.full_name] = entry
        self.by_bare_name.setdefault(entry.spec.name, []).append(entry)

    def owner(self, bare: str) -> Entry | None:
        """The entry that a bare name means: the only one, or our own among several; None where it means none.

        A name that a model of ours once had stays its own too.
        """
        claims = self.by_bare_name.get(bare, ())
        for entry in claims:
            if entry.plugin.first_party:
                return entry
        if len(claims) != 1 or (self.by_old_name and any(e.plugin.first_party for e in self.by_old_name.get(bare, ()))):
            return None
        return claims[0]

    def renamed(self, name: str) -> list[Entry]:
        """The models that were once called ``name``, bare or full; ours alone, if they are among them."""
        plugin, slash, bare = name.rpartition("/")
        claims = [e for e in self.by_old_name.get(bare, ()) if not slash or e.plugin.name == plugin]
        return [e for e in claims if e.plugin.first_party] or claims

    def short_name(self, entry: Entry) -> str:
        """The bare name where it works, else the full one."""
        return entry.spec.name if self.owner(entry.spec.name) is entry else entry.full_name

    def find(self, name: object) -> Entry:
        if not isinstance(name, str):
            raise UnknownModel(f"{name!r} is not a model name; expected a string such as 'resnet50'.")
        entry = self.entries.get(name) or self.owner(name)
        if entry is not None:
            return entry
        if claims := self.by_bare_name.get(name, []):
            claims = [e for e in self.renamed(name) if e.plugin.first_party] or claims
        else:
            claims = self.renamed(name)
        if len(claims) > 1:
            full = " and ".join(sorted(repr(e.full_name) for e in claims))
            raise AmbiguousModel(f"Several plugins have a model {name!r}. Say which one you mean: {full}.")
        if not claims:
            raise self._unknown(name)
        message = f"The model {name!r} is called {self.short_name(claims[0])!r} now; the old name will go."
        warnings.warn(message, DeprecationWarning, stacklevel=4)
        return claims[0]

    def _unknown(self, name: str) -> Exception:
        plugin, _, bare = name.rpartition("/")
        failed = [r for r in self.records if r.state == "failed"]
        for record in failed:
            if record.name == plugin:
                set_aside = PluginError(f"{name!r} cannot be had. {record.explain()}")
                set_aside.__cause__ = record.error
                return set_aside
        message = f"There is no model {name!r}."
        message += suggest(bare, self.by_bare_name)
        ours = provider(bare)
        if ours and not any(r.name == ours.plugin for r in self.records):
            message += f" Models of that kind come with {ours.distribution}: pip install {ours.distribution}"
        if failed:
            message += (
                f" It may be one of a plugin that failed ({', '.join(r.name for r in failed)}); see `zoo doctor`."
            )
        error = UnknownModel(message)
        error.__cause__ = failed[0].error if len(failed) == 1 else None
        return error


_local: dict[str, Entry] = {}
_snapshot: tuple[Any, Registry] | None = None


def registry() -> Registry:
    """The present snapshot."""
    global _snapshot
    with discovery.lock:
        found = discovery.get_plugins()
        if _snapshot is None or _snapshot[0] is not found:
            _snapshot = (found, Registry(found.records, _local))
        return _snapshot[1]


def refresh() -> None:
    """Look for plugins anew: after one was installed or removed in a running program."""
    global _snapshot
    with discovery.lock:
        discovery.forget()
        _snapshot = None


def plugins() -> list[PluginRecord]:
    """A record of every plugin that was found: those that work, those that failed and why, those that are disabled."""
    return list(registry().records)


# ── listing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def list_models(
    module: ModuleType | None = None,
    include: Names = None,
    exclude: Names = None,
    *,
    task: str | None = None,
    plugin: str | None = None,
    max_params: float | None = None,
    min_metrics: Mapping[str, float] | None = None,
    max_metrics: Mapping[str, float] | None = None,
    has_weights: bool | None = None,
) -> list[str]:
    """The names of the models that pass every filter, sorted. Takes milliseconds and does not import torch.

    Args:
        module: a plugin's module, ``zoo.models`` (the classification models) or one of its namespaces.
        include: shell wildcards, one or several; a name must match one of them.
        exclude: shell wildcards; a name must match none of them.
        task: such as ``"object-detection"``.
        plugin: such as ``"detection"``.
        max_params: at most so many parameters (models of unknown size are left out).
        min_metrics: such as ``{"acc@1": 80}``: one entry of the model's weights reaches them all. A key may name the
            data set too: ``{"Sintel-Train-Cleanpass/epe": 1.5}``.
        max_metrics: the same, for metrics of which less is better.
        has_weights: whether any weights are published.

    Raises:
        UnknownTask, InvalidArgument: a task, plugin or metric that nothing installed has.

    >>> zoo.list_models(include="resnet*", min_metrics={"acc@1": 80})
    """
    now = registry()
    found = list(now.entries.values())
    if task is not None:
        known = set(now.tasks).union(*(entry.spec.tasks for entry in found))
        if task not in known:
            raise UnknownTask(
                f"No installed plugin serves the task {task!r}; there are {_join(known)}.{suggest(task, known)}"
            )
        found = [entry for entry in found if task in entry.spec.tasks]
    if plugin is not None:
        known = {record.name for record in now.records} | {LOCAL}
        if plugin not in known:
            raise InvalidArgument(f"There is no plugin {plugin!r}; there are {_join(known)}.{suggest(plugin, known)}")
        found = [entry for entry in found if entry.plugin.name == plugin]
    if module is not None:
        found = [entry for entry in found if _in_module(entry, module)]
    if max_params is not None:
        found = [entry for entry in found if (n := entry.spec.parameters) is not None and n <= max_params]
    if has_weights is not None:
        found = [entry for entry in found if bool(entry.spec.weights) == has_weights]
    if min_metrics or max_metrics:
        _check_metrics(now, {*(min_metrics or {}), *(max_metrics or {})})
        found = [e for e in found if any(_meets(w, min_metrics or {}, max_metrics or {}) for w in _weights_of(e.spec))]
    names = [now.short_name(entry) for entry in found]
    if include is not None:
        names = [name for name in names if _matches(name, include)]
    if exclude is not None:
        names = [name for name in names if not _matches(name, exclude)]
    return sorted(names)


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _matches(name: str, patterns: str | Iterable[str]) -> bool:
    every = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in every)


def _in_module(entry: Entry, module: ModuleType) -> bool:
    if module.__name__ == "zoo.models" or module.__name__.startswith("zoo.models."):
        ours = BY_NAMESPACE[module.__name__.removeprefix("zoo.models").removeprefix(".")]
        return entry.plugin.name == ours.plugin
    return entry.spec.builder.partition(":")[0].startswith((f"{module.__name__}.", f"{module.__name__}:"))


def _weights_of(spec: ModelSpec) -> list[Weights]:
    return [member.value for member in spec.weights] if spec.weights else []


def metric(weights: Weights, key: str) -> list[float]:
    """Every value of a metric, ``"acc@1"`` for all data sets or ``"ImageNet-1K/acc@1"`` for one."""
    data, _, name = key.rpartition("/")
    return [values[name] for d, values in weights.metrics.items() if name in values and data in ("", d)]


def _meets(weights: Weights, least: Mapping[str, float], most: Mapping[str, float]) -> bool:
    return all(any(v >= bound for v in metric(weights, key)) for key, bound in least.items()) and all(
        any(v <= bound for v in metric(weights, key)) for key, bound in most.items()
    )


def _check_metrics(now: Registry, keys: set[str]) -> None:
    every = [w for entry in now.entries.values() for w in _weights_of(entry.spec)]
    for key in keys:
        if not any(metric(w, key) for w in every):
            known = {name for w in every for values in w.metrics.values() for name in values}
            raise InvalidArgument(f"No weights have a metric {key!r}; there are {_join(known)}.{suggest(key, known)}")


# ── from a name to a model, its builder, its weights ─────────────────────────────────────────────────────────────


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
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # SystemExit too: a plugin must not end its user's program
        message = f"The builder of {entry.full_name!r}, {entry.spec.builder!r}, cannot be loaded"
        failed = PluginError(f"{message}: {type(e).__name__}: {e}")
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
    claims = _weights_claims(registry())
    if enum_name not in claims:
        raise UnknownWeights(f"There are no weights {enum_name!r}.{suggest(enum_name, claims)}")
    enum = _meant(claims[enum_name])
    if enum is None:
        full = " and ".join(repr(f"{record.name}/{name}") for record in claims[enum_name].values())
        raise UnknownWeights(f"Several plugins have weights {enum_name!r}. Say which one you mean: {full}.")
    found = enum.verify(member)
    if found is None:  # verify returns None for None alone
        raise UnknownWeights(f"{name!r} names no weights.")
    return found


def _weights_claims(now: Registry) -> dict[str, dict[type[WeightsEnum], PluginRecord]]:
    """Bare (``"ResNet50_Weights"``) and full names (``"classification/ResNet50_Weights"``) → enums, and whose."""
    claims: dict[str, dict[type[WeightsEnum], PluginRecord]] = {}
    for entry in now.entries.values():
        if (enum := entry.spec.weights) is not None:
            claims.setdefault(enum.__name__, {}).setdefault(enum, entry.plugin)
            claims[f"{entry.plugin.name}/{enum.__name__}"] = {enum: entry.plugin}
    return claims


def _meant(claims: Mapping[type[WeightsEnum], PluginRecord]) -> type[WeightsEnum] | None:
    """As with models: the only one, or ours among several."""
    ours = [enum for enum, record in claims.items() if record.first_party]
    return (ours or list(claims))[0] if ours or len(claims) == 1 else None


def get_task(name: str, *, plugin: str | None = None) -> TaskSpec:
    """How a task's files become inputs, and outputs results.

    Args:
        name: bare (``"depth-estimation"``), or full (``"acme/depth-estimation"``) where several plugins bring it.
        plugin: whose models it is for: where that plugin brings the task itself, its own way is meant.

    Raises:
        UnknownTask: no installed plugin brings it, or several do, none of them ours.
    """
    tasks = registry().tasks
    owner, _, bare = name.rpartition("/")
    claims = tasks.get(bare, [])
    for spec, record in claims:
        if record.name == (owner or plugin):
            return spec
    if owner or not claims:
        known = [*tasks, *(f"{record.name}/{task}" for task, of in tasks.items() for _, record in of if len(of) > 1)]
        raise UnknownTask(
            f"No installed plugin serves the task {name!r}; there are {_join(known)}.{suggest(name, known)}"
        )
    if any(spec != claims[0][0] for spec, _ in claims) and not claims[0][1].first_party:
        full = " and ".join(repr(f"{record.name}/{name}") for _, record in claims)
        raise UnknownTask(f"Several plugins serve the task {name!r}. Say which one you mean: {full}.")
    return claims[0][0]


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
    return _info(now, now.find(name))


def _info(now: Registry, entry: Entry) -> ModelInfo:
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


# ── a notebook's own models ──────────────────────────────────────────────────────────────────────────────────────


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
        global _snapshot
        where = f"{builder.__module__}:{builder.__qualname__}"
        spec = ModelSpec(
            check_name("model", name or builder.__name__),
            f"{builder.__module__}:{builder.__name__}",
            task=task,
            weights=weights or getattr(builder, "weights_enum", None),
            **facts,
        )
        check_model(spec)
        with discovery.lock:
            old = _local.get(spec.name)
            if (
                old is not None
                and old.local is not None
                and where != f"{old.local.__module__}:{old.local.__qualname__}"
            ):
                raise ContractError(
                    f"The name {spec.name!r} is taken in this session by {old.spec.builder}; choose another."
                )
            _local[spec.name] = Entry(spec, PluginRecord(LOCAL, target=builder.__module__, stage="validate"), builder)
            _snapshot = None
        return builder

    return register


# ── what the command line shows ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A line of ``zoo list``: a model, and what its default weights reach in the first metric of its main task.

    Attributes:
        info: the model.
        gflops: of the default weights, if known.
        metric: the task's first metric, if the default weights were measured by it.
        value: what they reach, in the first data set if there are several.
    """

    info: ModelInfo
    gflops: float | None
    metric: Metric | None
    value: float | None


def model_row(name: str) -> ModelRow:
    """What ``zoo list`` shows of a model.

    Raises:
        UnknownModel: no such model.
    """
    now = registry()
    info = _info(now, now.find(name))
    weights = info.weights.get("DEFAULT") or next(iter(info.weights.values()), None)
    metrics = next((spec.metrics for spec, _ in now.tasks.get(info.task, ())), ())
    values = metric(weights, metrics[0].key) if weights and metrics else []
    return ModelRow(
        info, weights.gflops if weights else None, metrics[0] if values else None, values[0] if values else None
    )


@dataclass(frozen=True)
class WeightsTable:
    """Every weights entry of the models whose main task is ``task``, and the metrics that are the table's columns."""

    task: str
    metrics: tuple[Metric, ...]
    entries: tuple[WeightsEnum, ...]


def weights_tables(name: str, *, plugin: str | None = None) -> list[WeightsTable]:
    """The weights entries of a task, or of each task of a plugin, sorted by enum and in its order there.

    Args:
        name: a task (``"object-detection"``) or a plugin (``"detection"``).
        plugin: leave out other plugins' entries.

    Raises:
        UnknownTask: neither a task nor a plugin that is installed.
        InvalidArgument: no such plugin.
    """
    now = registry()
    tasks = set(now.tasks).union(*(entry.spec.tasks for entry in now.entries.values()))
    known = {record.name for record in now.records} | {LOCAL}
    if name not in tasks | known:
        raise UnknownTask(
            f"{name!r} is neither a task ({_join(tasks)}) nor a plugin ({_join(known)}).{suggest(name, tasks | known)}"
        )
    if plugin is not None and plugin not in known:
        raise InvalidArgument(f"There is no plugin {plugin!r}; there are {_join(known)}.{suggest(plugin, known)}")
    enums: dict[str, dict[type[WeightsEnum], None]] = {name: {}} if name in tasks else {}
    for entry in now.entries.values():
        main = entry.spec.tasks[0]
        wanted = main == name if name in tasks else entry.plugin.name == name
        if wanted and entry.spec.weights is not None and plugin in (None, entry.plugin.name):
            enums.setdefault(main, {})[entry.spec.weights] = None
    tables = []
    for task, of_task in enums.items():
        entries = tuple(member for enum in sorted(of_task, key=lambda e: e.__name__) for member in enum)
        tables.append(WeightsTable(task, _columns(now, task, entries), entries))
    return tables


def _columns(now: Registry, task: str, entries: Iterable[WeightsEnum]) -> tuple[Metric, ...]:
    if task in now.tasks:
        return now.tasks[task][0][0].metrics
    # A task that no plugin describes: whatever its entries were measured by.
    keys = dict.fromkeys(key for member in entries for values in member.value.metrics.values() for key in values)
    return tuple(Metric(key, key) for key in keys)


def find_weights(name: str, *, every: bool = False) -> list[WeightsEnum]:
    """The entries that ``zoo pull`` is asked for: a model's, one by its own name, or all that a wildcard matches.

    Args:
        name: ``"resnet50"`` (its ``DEFAULT``), ``"ResNet50_Weights.IMAGENET1K_V1"``, or a shell wildcard over names
            of either kind.
        every: all entries of a model in place of its ``DEFAULT``.

    Raises:
        UnknownModel, UnknownWeights: nothing of that name; a model without weights.
    """
    now = registry()
    if not any(c in name for c in "*?["):
        try:
            entry = now.find(name)
        except UnknownModel:
            if "." not in name:
                raise
            return [get_weight(name)]
        return _entries(get_model_weights(entry.full_name), every)
    found: dict[WeightsEnum, None] = {}
    for entry in sorted(now.entries.values(), key=now.short_name):
        enum = entry.spec.weights
        if enum is None:
            continue
        if _matches(now.short_name(entry), name) or _matches(entry.full_name, name):
            found |= dict.fromkeys(_entries(enum, every))
        found |= dict.fromkeys(member for member in enum if _matches(repr(member), name))
    if not found:
        raise UnknownWeights(
            f"No model with weights and no weights entry matches {name!r}; `zoo list` names the models."
        )
    return list(found)


def _entries(enum: type[WeightsEnum], every: bool) -> list[WeightsEnum]:
    default = enum.__members__.get("DEFAULT")
    return list(enum) if every else [default] if default else list(enum)[:1]


@dataclass(frozen=True)
class NameConflict:
    """A bare name of a model, of weights or of a task that several plugins claim.

    Attributes:
        name: the bare name.
        claims: the full names of all that have it.
        owner: the full name that the bare one means; None where it means none of them.
    """

    name: str
    claims: tuple[str, ...]
    owner: str | None


def name_conflicts(now: Registry) -> list[NameConflict]:
    """Every bare name that more than one plugin claims: models, then names they had, weights and tasks, each sorted."""
    conflicts = []
    for name, claims in sorted(now.by_bare_name.items()):
        if len(claims) > 1:
            owner = now.owner(name)
            full = tuple(sorted(entry.full_name for entry in claims))
            conflicts.append(NameConflict(name, full, owner.full_name if owner else None))
    for old, claims in sorted(now.by_old_name.items()):
        others = now.by_bare_name.get(old, [])
        if len(claims) + len(others) > 1:
            meant = [e for e in now.renamed(old) if e.plugin.first_party] or others or claims
            full = tuple(sorted(entry.full_name for entry in [*claims, *others]))
            conflicts.append(NameConflict(old, full, meant[0].full_name if len(meant) == 1 else None))
    for name, enums in sorted(_weights_claims(now).items()):
        if len(enums) > 1:
            whose = _meant(enums)
            full = tuple(f"{record.name}/{name}" for record in enums.values())
            conflicts.append(NameConflict(name, full, f"{enums[whose].name}/{name}" if whose else None))
    for name, of_task in sorted(now.tasks.items()):
        if any(spec != of_task[0][0] for spec, _ in of_task):
            full = tuple(f"{record.name}/{name}" for _, record in of_task)
            conflicts.append(NameConflict(name, full, full[0] if of_task[0][1].first_party else None))
    return conflicts
