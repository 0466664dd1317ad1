"""What commands show of the registry: rows and tables of models and weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.contract import Metric, WeightsEnum
from zoo.errors import InvalidArgument, UnknownModel, UnknownTask, UnknownWeights, suggest
from zoo.registry import ModelInfo, Registry, get_model_weights, get_weight, metric, registry
from zoo.registry.listing import join, matches
from zoo.registry.lookup import info_of
from zoo.registry.records import LOCAL


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
    info = info_of(now, now.find(name))
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
            f"{name!r} is neither a task ({join(tasks)}) nor a plugin ({join(known)}).{suggest(name, tasks | known)}"
        )
    if plugin is not None and plugin not in known:
        raise InvalidArgument(f"There is no plugin {plugin!r}; there are {join(known)}.{suggest(plugin, known)}")
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
        name: ``"resnet50"`` (its ``DEFAULT``), ``"ResNet50_Weights.IMAGENET1K_V1"``, ``"resnet50.IMAGENET1K_V1"``, or
            a shell wildcard over names of models and entries.
        every: all entries of a model in place of its ``DEFAULT``.

    Raises:
        UnknownModel, UnknownWeights: nothing of that name; a model without weights.
    """
    now = registry()
    if not any(c in name for c in "*?["):
        try:
            entry, tag = now.whole(name)
        except UnknownModel:
            if "." not in name:
                raise
            return [get_weight(name)]
        if tag is not None:
            return [get_model_weights(entry.full_name)[tag]]
        return _entries(get_model_weights(entry.full_name), every)
    found: dict[WeightsEnum, None] = {}
    for entry in sorted(now.entries.values(), key=now.short_name):
        enum = entry.spec.weights
        if enum is None:
            continue
        if matches(now.short_name(entry), name) or matches(entry.full_name, name):
            found |= dict.fromkeys(_entries(enum, every))
        found |= dict.fromkeys(member for member in enum if matches(repr(member), name))
    if not found:
        raise UnknownWeights(
            f"No model with weights and no weights entry matches {name!r}; `zoo list` names the models."
        )
    return list(found)


def _entries(enum: type[WeightsEnum], every: bool) -> list[WeightsEnum]:
    default = enum.__members__.get("DEFAULT")
    return list(enum) if every else [default] if default else list(enum)[:1]


def export_lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an exported file says of itself, beside its weights."""
    sides = [(word, port) for word, key in (("takes", "inputs"), ("gives", "outputs")) for port in facts.get(key, ())]
    lines = [(word, f"{port['name']}: {port.get('dtype')} {_shape(port)}") for word, port in sides]
    made = [f"{name} {version}" for name, version in (facts.get("versions") or {}).items()]
    inside = ", ".join(facts.get("inside", ()))
    return [
        *lines,
        ("in the file", inside),
        ("computes in", "float16" if facts.get("half") else ""),
        ("made by", ", ".join(made)),
    ]


def _shape(port: Mapping[str, Any]) -> str:
    holds = port.get("holds")
    return f"[{', '.join(map(str, port['shape']))}]{f', {holds}' if holds else ''}"
