"""Options that a command does not know itself, because they are a task's: ``--clips 4``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from zoo.contract import TaskSpec
from zoo.errors import suggest

Known = Callable[[TaskSpec], Mapping[str, inspect.Parameter]]


def read_options(
    context: typer.Context, words: Iterable[str], task: TaskSpec, known: Known
) -> tuple[list[str], dict[str, Any]]:
    """The words that are no options, and what the options say.

    Args:
        context: of the command, whose own options are suggested to whoever misspelt one.
        words: what was left over when the command had taken its own.
        known: gives the task's options; asked when there is one to look up, as it imports the task.
    """
    others: list[str] = []
    options: dict[str, Any] = {}
    left = iter(words)
    for word in left:
        if not word.startswith("-") or Path(word).exists():
            others.append(word)
            continue
        parameters = known(task)
        option, given, text = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if name not in parameters:
            every = {f"--{other.replace('_', '-')}" for other in parameters}
            has = f" {task.name} has {', '.join(sorted(every))}." if every else ""
            own = {spelt for parameter in context.command.params for spelt in parameter.opts}
            raise typer.BadParameter(f"No such option: {option}.{has}{suggest(option, every | own)}")
        if not given:
            flag = isinstance(parameters[name].default, bool)
            text = "true" if flag else next(left, "")
        options[name] = read_value(text)
    return others, options


def read_value(text: str) -> Any:
    """A number, true, false, null or a list, as in JSON; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
