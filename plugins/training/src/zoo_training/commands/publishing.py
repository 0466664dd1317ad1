"""``zoo new-plugin`` and ``zoo push``: a saved model for others, as a package or on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli

License = Annotated[
    str | None,
    typer.Option("--license", help="Of the weights, such as MIT; by default the file's.", show_default=False),
]
Metric = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="DATA:NAME=VALUE", help="A figure, such as 'held out:acc@1=97.5'. May be repeated."
    ),
]


def read_metrics(given: list[str] | None) -> dict[str, dict[str, float]]:
    """``DATA:NAME=VALUE`` as data set → metric → value."""
    metrics: dict[str, dict[str, float]] = {}
    for text in given or ():
        data, _, rest = text.rpartition(":")
        name, _, value = rest.partition("=")
        try:
            metrics.setdefault(data, {})[name] = float(value)
        except ValueError:
            data = ""
        if not data or not name:
            raise typer.BadParameter(f"{text!r} is no figure; expected DATA:NAME=VALUE, as 'held out:acc@1=97.5'.")
    return metrics


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the package and its folder, as zoo-colours.")],
    saved: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="What zoo train or zoo.save wrote, or the folder of a run.")
    ],
    model: Annotated[
        str | None, typer.Option(help="The model's name; by default NAME without zoo-.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the folder NAME is made.")] = Path(),
    stated: License = None,
    metric: Metric = None,
) -> int:
    """Write a package that brings a saved model, with the weights inside.

    It is a plugin as any other: pip install ./NAME, and the model is in zoo list. An existing folder is not
    overwritten.
    """
    from zoo_training.packaging import new_plugin as write

    done = write(name, saved, output, model=model, license=stated, metrics=read_metrics(metric))
    for note in done.notes:
        cli.complain(f"Note: {note}", "yellow")
    cli.say(f"{done.folder}: the plugin {done.plugin!r} with the model {done.model!r}")
    here = "" if done.folder.is_absolute() else "./"  # or pip would ask an index
    cli.say(f"pip install {here}{done.folder}")
    return 0
