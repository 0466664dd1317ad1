"""Whether names, models and tasks can be right, as far as can be told without importing a model."""

from __future__ import annotations

import re

from zoo.contract.enums import WeightsEnum
from zoo.contract.imports import is_import_string
from zoo.contract.models import ModelSpec
from zoo.contract.tasks import Metric, TaskSpec
from zoo.contract.weights import Weights
from zoo.errors import ContractError, InvalidArgument

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")


def short(value: object) -> str:
    """``repr(value)``, cut where nobody would read on; for messages about what a plugin gave."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


def check_name(kind: str, name: object) -> str:
    """``name`` if it can be a model's, plugin's or task's: up to 100 letters, digits, ``_``, ``-`` and ``.``."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ContractError(
            f"{short(name)} is not a {kind} name; expected letters, digits, '_', '-' or '.', at most 100 of them."
        )
    return name


def check_model(spec: ModelSpec) -> None:
    """Raise ContractError if ``spec`` cannot be right: the form of its import string, its tasks, its weights."""
    if not is_import_string(spec.builder):
        raise ContractError(f"{spec.name}: builder {short(spec.builder)} is not of the form 'package.module:name'.")
    if not spec.tasks:
        raise ContractError(f"{spec.name}: it has no task.")
    for task in spec.tasks:
        check_name("task", task)
    if spec.num_params is not None and not isinstance(spec.num_params, int):
        raise ContractError(f"{spec.name}: num_params is {short(spec.num_params)}; expected a whole number.")
    if spec.weights is None:
        return
    if not (isinstance(spec.weights, type) and issubclass(spec.weights, WeightsEnum)):
        raise ContractError(f"{spec.name}: weights is {short(spec.weights)}; expected a subclass of zoo.WeightsEnum.")
    for member in spec.weights.__members__.values():
        _check_weights(member)


_Number = (int, float)


def _check_weights(member: WeightsEnum) -> None:
    """Raise ContractError if a fact that lists are filtered by is of another type than the contract says."""
    w: Weights = member._value_
    right = isinstance(w.url, str) and isinstance(w.num_params or 0, int) and isinstance(w.gflops or 0, _Number)
    try:
        for of_data in w.metrics.values():
            for value in of_data.values():
                right = right and isinstance(value, _Number)
    except AttributeError:
        right = False
    if not right:
        raise ContractError(
            f"{member!r}: expected a str as url, whole num_params, a number of gflops, and metrics of the form "
            f"{{data set: {{metric: number}}}}; they are {short((w.url, w.num_params, w.gflops, w.metrics))}."
        )


def check_task(task: TaskSpec) -> None:
    """Raise ContractError if ``task`` cannot be right: the form of its import strings, its metrics, its suffixes."""
    needed = ("load", "collate", "decode")
    for step in (*needed, "transform", "draw", "evaluate", "export", "sequence", "gather"):
        target = getattr(task, step)
        if (target is not None or step in needed) and not is_import_string(target):
            raise ContractError(f"{task.name}: {step} {short(target)} is not of the form 'package.module:name'.")
    if not all(isinstance(metric, Metric) for metric in task.metrics):
        raise ContractError(f"{task.name}: metrics is {short(task.metrics)}; expected a tuple of zoo.Metric(…).")
    if not isinstance(task.suffixes, tuple) or not all(isinstance(s, str) for s in task.suffixes):
        raise ContractError(f"{task.name}: suffixes is {short(task.suffixes)}; expected a tuple such as ('.png',).")


def check_count(name: str, value: object, minimum: int = 0) -> int:
    """``value`` if it is a whole number of at least ``minimum``, else an InvalidArgument that says so."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InvalidArgument(f"{name} is {value!r}; expected a whole number of at least {minimum}.")
    return value
