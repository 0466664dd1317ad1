"""A command of its own, ``zoo vote``, and the verb behind it, which works for models that other plugins bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import zoo
from zoo import registry
from zoo.errors import InvalidArgument


def vote(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, or folders to search for them.")],
    model: Annotated[str, typer.Option(help="The model's name, as `zoo list` shows it.")] = "convmixer_64_8",
) -> None:
    """The label that most pictures have."""
    task = registry.get_task(zoo.model_info(model).task)
    most = registry.provided(task, "vote")  # what this plugin, or another, provides for the verb and that task
    if most is None:
        raise InvalidArgument(f"Nothing provides 'vote' for {task.name}; a manifest would by provides={{…}}.")
    print(most(zoo.pipeline(model)(list(paths))))


def most_frequent(results: Sequence[Any]) -> str:
    """What image classification, a task of zoo-classification's, provides for ``"vote"``."""
    ((label, n),) = Counter(result.label for result in results).most_common(1)
    return f"{label} ({n} of {len(results)})"
