"""``zoo new-plugin`` and ``zoo push``: a saved model for others, as a package or on the hub."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from zoo import cli

License = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="LICENCE",
        help="The licence of the weights, such as MIT; by default the file's.",
        show_default=False,
    ),
]
Metric = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="DATA:NAME=VALUE", help="A figure, such as 'held out:acc@1=97.5'."),
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
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The name of the package and its folder, such as zoo-colours.")
    ],
    saved: Annotated[
        str, typer.Option("--from", metavar="FILE", help="What zoo train or zoo.save wrote, or the folder of a run.")
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model's name, by default NAME without zoo-.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Make the folder NAME there.")] = Path(),
    stated: License = None,
    metric: Metric = None,
) -> int:
    """Write a package that brings a saved model, with the weights inside.

    It is a plugin as any other: pip install ./NAME, and the model is in `zoo list`. An existing folder is not
    overwritten.

    Examples:
        zoo new-plugin zoo-colours --from runs/colours
    """
    from zoo_training.packaging import new_plugin as write

    done = write(name, saved, output, model=model, license=stated, metrics=read_metrics(metric))
    for note in done.notes:
        cli.complain(f"Note: {note}", "yellow")
    cli.say(f"{done.folder}: the plugin {done.plugin!r} with the model {done.model!r}")
    here = "" if done.folder.is_absolute() else "./"  # or pip would ask an index
    cli.say(f"pip install {here}{done.folder}")
    return 0


def push(
    model: Annotated[str, typer.Argument(metavar="FILE", help="What zoo train or zoo.save wrote, or a run's folder.")],
    repository: Annotated[
        str, typer.Argument(metavar="ORG/NAME", help="The repository of the hub; it is made where there is none.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Push to this branch, by default main.", show_default=False)
    ] = None,
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The message of the commit.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder and ask no network.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of --dry-run, by default NAME.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model, too, that zoo did not push.")] = False,
    stated: License = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="The data it was trained on; org/name where it is the hub's.", show_default=False
        ),
    ] = None,
    metric: Metric = None,
    picture: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Show this picture on the card, by default those of the run."),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Push a card of your own.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Push a saved model to the hub: weights that know what they are, and a card made from what is known.

    The token is that of `hf auth login`, or HF_TOKEN. Afterwards zoo predict PICTURE --model hf://ORG/NAME.

    Examples:
        zoo push runs/colours me/colours --private
        zoo push best.safetensors me/colours --dry-run
    """
    from zoo_training.publishing import push_to_hub

    with cli.working(f"Pushing {model} to {repository}"):
        done = push_to_hub(
            model,
            repository,
            private=private or None,
            revision=revision,
            message=message,
            dry_run=dry_run,
            output=output,
            replace=replace,
            license=stated,
            data=data,
            metrics=read_metrics(metric) or None,
            pictures=picture,
            card=card,
        )
    for note in done.notes:
        cli.complain(f"Note: {note}", "yellow")
    if as_json:
        told = {**dataclasses.asdict(done), "folder": None if done.folder is None else str(done.folder)}
        cli.print_json(told)
    elif done.folder is not None:
        cli.say(f"{done.folder}: {', '.join(done.files)}; nothing was pushed")
    else:
        cli.say(f"{done.url}: {', '.join(done.files)}, commit {done.commit}")
    return 0
