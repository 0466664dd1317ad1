"""Lists of models, filtered by the facts from their plugins."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from types import ModuleType

from zoo.contract import ModelSpec, Weights
from zoo.errors import InvalidArgument, UnknownTask, suggest
from zoo.registry.capabilities import able
from zoo.registry.first_party import BY_NAMESPACE
from zoo.registry.names import Entry, Registry, registry
from zoo.registry.records import LOCAL

Names = str | Iterable[str] | None


def list_models(
    module: ModuleType | str | None = None,
    include: Names = None,
    exclude: Names = None,
    *,
    task: str | None = None,
    plugin: str | None = None,
    max_params: float | None = None,
    min_metrics: Mapping[str, float] | None = None,
    max_metrics: Mapping[str, float] | None = None,
    has_weights: bool | None = None,
    license: Names = None,  # noqa: A002  the field's name
    can: Names = None,
) -> list[str]:
    """The names of the models that pass every filter, sorted. Takes milliseconds and does not import torch.

    Args:
        module: a plugin's module, ``zoo.models`` (the classification models) or one of its namespaces. Text is taken
            for ``include``: ``zoo.list_models("resnet*")``.
        include: shell wildcards, one or several; a name must match one of them.
        exclude: shell wildcards; a name must match none of them.
        task: such as ``"object-detection"``.
        plugin: such as ``"detection"``. Patterns then also match names without the plugin: ``"resnet18*"`` matches
            ``timm/resnet18``.
        max_params: largest number of parameters (models of unknown size are left out).
        min_metrics: such as ``{"acc@1": 80}``: one of the model's weights reaches all of them. A key may include the
            data set: ``{"Sintel-Train-Cleanpass/epe": 1.5}``.
        max_metrics: the same, for metrics where lower is better.
        has_weights: whether any weights are published.
        license: shell wildcards, case-insensitive: the licence of one of the model's weights matches one of them.
        can: such as ``"onnx"``, one or several of :data:`zoo.contract.CAPABILITIES`: all of them were measured to work
            with the model.

    Raises:
        UnknownTask, InvalidArgument: no installed plugin has the task, plugin or metric; a ``module`` of another type.

    >>> zoo.list_models(include="resnet*", min_metrics={"acc@1": 80})
    ['resnet101', 'resnet152', 'resnet50']
    """
    if isinstance(module, str) and include is None:
        module, include = None, module
    if not isinstance(module, ModuleType | None):
        raise InvalidArgument(f"module is {module!r}; expected a module. Patterns of names are given by include=.")
    now = registry()
    found = list(now.entries.values())
    if task is not None:
        known = set(now.tasks).union(*(entry.spec.tasks for entry in found))
        if task not in known:
            raise UnknownTask(
                f"No installed plugin has the task {task!r}; installed are {join(known)}.{suggest(task, known)}"
            )
        found = [entry for entry in found if task in entry.spec.tasks]
    if plugin is not None:
        known = {record.name for record in now.records} | {LOCAL}
        if plugin not in known:
            raise InvalidArgument(
                f"There is no plugin {plugin!r}; installed are {join(known)}.{suggest(plugin, known)}"
            )
        found = [entry for entry in found if entry.plugin.name == plugin]
    if module is not None:
        found = [entry for entry in found if _in_module(entry, module)]
    if max_params is not None:
        found = [entry for entry in found if (n := entry.spec.parameters) is not None and n <= max_params]
    if has_weights is not None:
        found = [entry for entry in found if (entry.spec.weights_name is not None) == has_weights]
    if license is not None:
        globs = [glob.lower() for glob in ([license] if isinstance(license, str) else license)]
        found = [e for e in found if any(matches(w.license.lower(), globs) for w in _weights_of(e.spec))]
    if can is not None:
        found = able(now, found, [can] if isinstance(can, str) else list(can))
    if min_metrics or max_metrics:
        _check_metrics(now, {*(min_metrics or {}), *(max_metrics or {})})
        found = [e for e in found if any(meets(w, min_metrics or {}, max_metrics or {}) for w in _weights_of(e.spec))]

    def meant(entry: Entry, patterns: str | Iterable[str]) -> bool:
        return matches(now.short_name(entry), patterns) or (plugin is not None and matches(entry.spec.name, patterns))

    if include is not None:
        found = [entry for entry in found if meant(entry, include)]
    if exclude is not None:
        found = [entry for entry in found if not meant(entry, exclude)]
    return sorted(map(now.short_name, found))


def join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def matches(name: str, patterns: str | Iterable[str]) -> bool:
    every = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in every)


def _in_module(entry: Entry, module: ModuleType) -> bool:
    if module.__name__ == "zoo.models" or module.__name__.startswith("zoo.models."):
        ours = BY_NAMESPACE[module.__name__.removeprefix("zoo.models").removeprefix(".")]
        return entry.plugin.name == ours.plugin
    return entry.spec.builder.partition(":")[0].startswith((f"{module.__name__}.", f"{module.__name__}:"))


def _weights_of(spec: ModelSpec) -> list[Weights]:
    return [member.value for member in spec.weights] if spec.weights else []


def metric(weights: Weights, key: str) -> dict[str, float]:
    """Data set → value of a metric, ``"acc@1"`` for all data sets or ``"ImageNet-1K/acc@1"`` for one."""
    data, _, name = key.rpartition("/")
    return {d: values[name] for d, values in weights.metrics.items() if name in values and data in ("", d)}


def meets(weights: Weights, least: Mapping[str, float], most: Mapping[str, float]) -> bool:
    """Whether weights reach all bounds of their metrics."""
    return all(any(v >= bound for v in metric(weights, key).values()) for key, bound in least.items()) and all(
        any(v <= bound for v in metric(weights, key).values()) for key, bound in most.items()
    )


def _check_metrics(now: Registry, keys: set[str]) -> None:
    every = [w for entry in now.entries.values() for w in _weights_of(entry.spec)]
    for key in keys:
        if not any(metric(w, key) for w in every):
            known = {name for w in every for values in w.metrics.values() for name in values}
            raise InvalidArgument(
                f"No weights have a metric {key!r}; available are {join(known)}.{suggest(key, known)}"
            )
