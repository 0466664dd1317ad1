"""Checks of names, models and tasks that do not import a model."""

from __future__ import annotations

import operator
import re

from zoo.contract.enums import LazyEnum, WeightsEnum
from zoo.contract.imports import is_import_string
from zoo.contract.models import ModelSpec, stored_weights
from zoo.contract.tasks import Metric, Option, TaskSpec
from zoo.contract.weights import Weights
from zoo.errors import ContractError, InvalidArgument

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")


def short(value: object) -> str:
    """``repr(value)``, shortened, for messages about the values of a plugin."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


def check_name(kind: str, name: object) -> str:
    """``name`` if it is a valid name of a model, plugin or task: up to 100 letters, digits, ``_``, ``-`` and ``.``."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        article = "an" if kind[0] in "aeiou" else "a"
        raise ContractError(
            f"{short(name)} is not {article} {kind} name; expected up to 100 letters, digits, '_', '-' or '.'."
        )
    return name


def check_model(spec: ModelSpec) -> None:
    """Raise ContractError if ``spec`` is invalid: the form of its import string, its tasks, its weights."""
    if not is_import_string(spec.builder):
        raise ContractError(f"{spec.name}: builder {short(spec.builder)} is not of the form 'package.module:name'.")
    if not spec.tasks:
        raise ContractError(f"{spec.name}: it has no task.")
    for task in spec.tasks:
        check_name("task", task)
    if spec.num_params is not None and not isinstance(spec.num_params, int):
        raise ContractError(f"{spec.name}: num_params is {short(spec.num_params)}; expected a whole number.")
    weights = stored_weights(spec)
    if weights is None or isinstance(weights, LazyEnum):  # checked when the enum is made
        return
    if not (isinstance(weights, type) and issubclass(weights, WeightsEnum)):
        raise ContractError(f"{spec.name}: weights is {short(weights)}; expected a subclass of zoo.WeightsEnum.")
    for member in weights.__members__.values():
        check_weights(member)


_Number = (int, float)


def check_weights(member: WeightsEnum) -> None:
    """Raise ContractError if a fact that lists are filtered by has another type than the contract requires."""
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
            f"{member!r}: expected a str as url, an int as num_params, a number as gflops, and metrics of the form "
            f"{{data set: {{metric: number}}}}; got {short((w.url, w.num_params, w.gflops, w.metrics))}."
        )


def check_task(task: TaskSpec) -> None:
    """Raise ContractError if ``task`` is invalid: its import strings, options, metrics, suffixes."""
    for what, target in {"implementation": task.implementation, **task.provides}.items():
        if not is_import_string(target):
            raise ContractError(f"{task.name}: {what} {short(target)} is not of the form 'package.module:name'.")
    for name, kind in (("metrics", Metric), ("options", Option)):
        value = getattr(task, name)
        if not isinstance(value, tuple) or not all(isinstance(item, kind) for item in value):
            raise ContractError(f"{task.name}: {name} is {short(value)}; expected a tuple of zoo.{kind.__name__}(…).")
    for option in task.options:
        if not (str(option.name).isidentifier() and option.type in (int, float, bool, str) and option.help):
            raise ContractError(
                f"{task.name}: {short(option)}: expected a name, int, float, bool or str as type, and one line of help."
            )
    check_suffixes(task.name, task.suffixes)


def check_suffixes(name: str, suffixes: object) -> None:
    """Raise ContractError if ``suffixes`` is not a tuple of suffixes."""
    if not isinstance(suffixes, tuple) or not all(isinstance(s, str) for s in suffixes):
        raise ContractError(f"{name}: suffixes is {short(suffixes)}; expected a tuple such as ('.png',).")


def check_count(name: str, value: object, minimum: int = 0) -> int:
    """``value`` as an ``int``, if it is a whole number (numpy's too) of at least ``minimum``.

    Raises:
        InvalidArgument: it is not.
    """
    try:
        count = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = -1
    if count < max(minimum, 0):
        raise InvalidArgument(f"{name} is {value!r}; expected a whole number of at least {minimum}.")
    return count
