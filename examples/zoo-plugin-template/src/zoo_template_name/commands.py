"""A custom command, ``zoo vote``, and its implementation, which also works for models of other plugins."""

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
    model: Annotated[str, typer.Option(help="Name of the model, as in `zoo list`.")] = "convmixer_64_8",
) -> None:
    """Print the label that most pictures have."""
    task = registry.get_task(zoo.model_info(model).task)
    most = registry.provided(task, "vote")  # the function for this task, from this plugin or another
    if most is None:
        raise InvalidArgument(f"'vote' is not supported for {task.name}; a manifest can add it with provides={{…}}.")
    print(most(zoo.pipeline(model)(list(paths))))


def most_frequent(results: Sequence[Any]) -> str:
    """The function for ``"vote"`` on image classification, a task of zoo-classification."""
    ((label, n),) = Counter(result.label for result in results).most_common(1)
    return f"{label} ({n} of {len(results)})"
