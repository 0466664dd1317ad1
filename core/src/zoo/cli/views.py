"""The registry as commands show it: rows and tables of models and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.contract import Metric, Weights, WeightsEnum
from zoo.errors import InvalidArgument, UnknownModel, UnknownTask, UnknownWeights, suggest
from zoo.registry import ModelInfo, Registry, get_model_weights, get_weight, metric, registry
from zoo.registry.listing import join, matches
from zoo.registry.lookup import info_of
from zoo.registry.records import LOCAL


def model_row(name: str) -> Row:
    """The facts of a model's default weights, as ``zoo list`` shows them.

    Raises:
        UnknownModel: no such model.
    """
    now = registry()
    info = info_of(now, now.find(name))
    weights = info.weights.get("DEFAULT") or next(iter(info.weights.values()), None)
    return Row(info.name, info.task, info, weights, True)


def main_metric(task: str) -> Metric | None:
    """The first of a task's metrics, which ``zoo list`` shows."""
    return next((metric for spec, _ in registry().tasks.get(task, ()) for metric in spec.metrics[:1]), None)


@dataclass(frozen=True)
class WeightsTable:
    """All weights of the models whose main task is ``task``, and the metrics that are the table's columns."""

    task: str
    metrics: tuple[Metric, ...]
    members: tuple[WeightsEnum, ...]


def weights_tables(name: str, *, plugin: str | None = None) -> list[WeightsTable]:
    """The weights of a task, or of each task of a plugin, sorted by enum, in the order of its members.

    Args:
        name: a task (``"object-detection"``) or a plugin (``"detection"``).
        plugin: leave out other plugins' weights.

    Raises:
        UnknownTask: neither an installed task nor an installed plugin.
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
        raise InvalidArgument(f"There is no plugin {plugin!r}; installed are {join(known)}.{suggest(plugin, known)}")
    enums: dict[str, dict[type[WeightsEnum], None]] = {name: {}} if name in tasks else {}
    for entry in now.entries.values():
        main = entry.spec.tasks[0]
        wanted = main == name if name in tasks else entry.plugin.name == name
        if wanted and entry.spec.weights is not None and plugin in (None, entry.plugin.name):
            enums.setdefault(main, {})[entry.spec.weights] = None
    tables = []
    for task, of_task in enums.items():
        members = tuple(member for enum in sorted(of_task, key=lambda e: e.__name__) for member in enum)
        tables.append(WeightsTable(task, _columns(now, task, members), members))
    return tables


def _columns(now: Registry, task: str, members: Iterable[WeightsEnum]) -> tuple[Metric, ...]:
    if task in now.tasks:
        return now.tasks[task][0][0].metrics
    # A task that no plugin describes has the metrics of its weights.
    keys = dict.fromkeys(key for member in members for values in member.value.metrics.values() for key in values)
    return tuple(Metric(key, key) for key in keys)


def find_weights(name: str, *, every: bool = False) -> list[WeightsEnum]:
    """The weights that ``zoo pull`` has to download: those of a model, one by its own name, or all that a wildcard
    matches.

    Args:
        name: ``"resnet50"`` (its ``DEFAULT``), ``"ResNet50_Weights.IMAGENET1K_V1"``, ``"resnet50.IMAGENET1K_V1"``, or
            a shell wildcard over names of models and weights.
        every: all weights of a model instead of its ``DEFAULT``.

    Raises:
        UnknownModel, UnknownWeights: the name is unknown, or the model has no weights.
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
        return _members(get_model_weights(entry.full_name), every)
    found: dict[WeightsEnum, None] = {}
    for entry in sorted(now.entries.values(), key=now.short_name):
        enum = entry.spec.weights
        if enum is None:
            continue
        if matches(now.short_name(entry), name) or matches(entry.full_name, name):
            found |= dict.fromkeys(_members(enum, every))
        found |= dict.fromkeys(member for member in enum if matches(repr(member), name))
    if not found:
        raise UnknownWeights(f"No model with weights and no weights match {name!r}; `zoo list` names the models.")
    return list(found)


def _members(enum: type[WeightsEnum], every: bool) -> list[WeightsEnum]:
    default = enum.__members__.get("DEFAULT")
    return list(enum) if every else [default] if default else list(enum)[:1]


def export_lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The facts stored in an exported file, beside its weights."""
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


def members(info: ModelInfo) -> list[str]:
    """The names of a model's weights, without ``DEFAULT``, which names one of them."""
    return [name for name in info.weights if name != "DEFAULT"]


def runtime(w: Weights) -> Mapping[str, Any]:
    """The published times and memory of weights."""
    facts = w.extra.get("runtime")
    return facts if isinstance(facts, Mapping) else {}


def is_default(member: WeightsEnum) -> bool:
    """Whether ``DEFAULT`` names this member."""
    return type(member).__members__.get("DEFAULT") is member


def ops_title(members: Iterable[WeightsEnum]) -> str:
    """The heading of the operations: ``GFLOPs``, or ``GIPS`` where integer operations are counted."""
    units = dict.fromkeys(member.value.ops_unit for member in members) or {"GFLOPS": None}
    return " / ".join("GFLOPs" if unit == "GFLOPS" else unit for unit in units)


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────

PLAIN = ("name", "task", "params", "gflops", "size")  # the sort keys beside metrics


def higher_is_better(key: str) -> bool:
    """Whether higher is better, according to the installed tasks; True for a metric that none of them names."""
    return all(
        metric.higher_is_better
        for claims in registry().tasks.values()
        for spec, _ in claims
        for metric in spec.metrics
        if metric.key == key.rpartition("/")[2]
    )


def in_order(rows: Iterable[Row], key: str) -> list[Row]:
    """``rows`` sorted: metrics best first, sizes smallest first, names alphabetically; rows without a value last.

    Values of one metric on different data sets are not comparable: rows are grouped by data set, largest group first.

    Raises:
        InvalidArgument: no row has such a metric.
    """
    every = list(rows)
    if key in ("name", "task"):
        return sorted(every, key=lambda row: (row.task, row.name) if key == "task" else row.name)
    found: list[tuple[float, Row]] = []
    missing: list[Row] = []
    known = {name for row in every for name in row.metrics}
    if key not in PLAIN and every and key.rpartition("/")[2] not in known:
        raise InvalidArgument(
            f"--sort {key}: no row has this metric; available are {join({*PLAIN, *known})}."
            f"{suggest(key, {*PLAIN, *known})}"
        )
    down = key not in PLAIN and higher_is_better(key)
    for row in every:
        value = row.value_of(key)
        if value is None or value != value:
            missing.append(row)
        else:
            found.append((-value if down else value, row))
    if key in PLAIN:
        found.sort(key=lambda pair: (pair[0], pair[1].name))
    else:
        sizes = Counter(row.data_of(key) for _, row in found)
        found.sort(key=lambda pair: (-sizes[data := pair[1].data_of(key)], data, pair[0], pair[1].name))
    return [row for _, row in found] + missing


@dataclass(frozen=True, slots=True)
class Row:
    """A line of ``zoo list``: a model with its default weights, or with ``--weights`` one of its weights.

    Attributes:
        name: of the model, or of the weights as ``zoo.get_weight`` takes it.
        task: the model's main one.
        info: the model.
        weights: the facts of the weights; None for a model without weights.
        default: whether the weights are the model's default.
    """

    name: str
    task: str
    info: ModelInfo
    weights: Weights | None
    default: bool = False

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics that the weights were measured by."""
        return [] if self.weights is None else [name for of in self.weights.metrics.values() for name in of]

    def data_of(self, key: str) -> str:
        """The data set of the metric that :meth:`value_of` returns; without such a value, the weights' first."""
        if self.weights is None:
            return ""
        return next(iter(metric(self.weights, key) or self.weights.metrics), "")

    @property
    def num_params(self) -> int | None:
        own = None if self.weights is None else self.weights.num_params
        return self.info.num_params if own is None else own

    def value_of(self, key: str) -> float | None:
        """What ``--sort KEY`` sorts by; the first value of a metric, if there are several data sets."""
        w = self.weights
        if key == "params":
            return self.num_params
        if w is None:
            return None
        if key in ("gflops", "size"):
            return w.gflops if key == "gflops" else w.file_size
        return next(iter(metric(w, key).values()), None)


def weights_rows(names: Iterable[str]) -> list[Row]:
    """One row for each of the weights of models, each once."""
    now = registry()
    found: dict[WeightsEnum, Row] = {}
    for name in names:
        entry = now.find(name)
        info = info_of(now, entry)
        for member in entry.spec.weights or ():
            found.setdefault(member, Row(repr(member), info.task, info, member.value, is_default(member)))
    return list(found.values())
