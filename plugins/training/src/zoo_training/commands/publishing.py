"""``zoo new-plugin`` and ``zoo push``: publish a saved model, as a package or on the hub."""

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
    typer.Option("--metric", metavar="DATA:NAME=VALUE", help="A metric, such as 'held out:acc@1=97.5'."),
]


def read_metrics(given: list[str] | None) -> dict[str, dict[str, float]]:
    """Parse ``DATA:NAME=VALUE`` to data set → metric → value."""
    metrics: dict[str, dict[str, float]] = {}
    for text in given or ():
        data, _, rest = text.rpartition(":")
        name, _, value = rest.partition("=")
        try:
            metrics.setdefault(data, {})[name] = float(value)
        except ValueError:
            data = ""
        if not data or not name:
            raise typer.BadParameter(f"{text!r} is not a metric; expected DATA:NAME=VALUE, as 'held out:acc@1=97.5'.")
    return metrics


def new_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the package and its folder, such as zoo-colours.")
    ],
    saved: Annotated[
        str, typer.Option("--from", metavar="FILE", help="File of zoo train or zoo.save, or folder of a run.")
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Name of the model; by default NAME without zoo-.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder in which to create NAME.")] = Path(),
    stated: License = None,
    metric: Metric = None,
) -> int:
    """Write a package that provides a saved model, including the weights.

    The package is a plugin: after pip install ./NAME, the model is in `zoo list`. An existing folder is not
    overwritten.

    Examples:
        zoo new-plugin zoo-colours --from runs/colours
    """
    from zoo_training.packaging import new_plugin as write

    done = write(name, saved, output, model=model, license=stated, metrics=read_metrics(metric))
    for note in done.notes:
        cli.complain(f"Note: {note}", "yellow")
    cli.say(f"{done.folder}: plugin {done.plugin!r} with the model {done.model!r}")
    here = "" if done.folder.is_absolute() else "./"  # otherwise pip would query an index
    cli.say(f"pip install {here}{done.folder}")
    return 0


def push(
    model: Annotated[str, typer.Argument(metavar="FILE", help="File of zoo train or zoo.save, or a run's folder.")],
    repository: Annotated[
        str, typer.Argument(metavar="ORG/NAME", help="Repository on the hub; created if it does not exist.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Branch to push to; by default main.", show_default=False)
    ] = None,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="Commit message.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only write the folder, without network access.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of --dry-run; by default NAME.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also replace a model that zoo did not push.")] = False,
    stated: License = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Training data set; org/name if it is on the hub.", show_default=False),
    ] = None,
    metric: Metric = None,
    picture: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Picture for the card; by default those of the run."),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Push this card instead of a generated one.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Push a saved model to the hub: self-describing weights, and a model card.

    Uses the token of `hf auth login` or HF_TOKEN. Use the model with zoo predict PICTURE --model hf://ORG/NAME.

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
