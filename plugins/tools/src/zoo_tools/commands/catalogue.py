"""``zoo catalogue``: pages of all installed models for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli
from zoo.errors import InvalidArgument

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def catalogue() -> None:
    """Make web pages of all installed models.

    Examples:
        zoo catalogue build site
    """


@app.command()
def build(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The output folder; created if it does not exist.")],
    measurements: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of JSON files from zoo benchmark --output.", show_default=False),
    ] = None,
    picture: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE[,FILE]",
            help="Draw predictions on FILE. NAME is a task, model or weights; the most specific is used. Repeatable.",
            show_default=False,
        ),
    ] = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="List feature stages; builds each model on the meta device.")
    ] = False,
    title: Annotated[str, typer.Option(help="Title at the top of each page.")] = "zoo",
    docs: Annotated[
        str | None,
        typer.Option(metavar="URL", help="URL of the documentation to link to.", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing catalogue in DIR, nothing else.")
    ] = False,
) -> int:
    """Write pages of all installed models: a searchable table, plots, a page for each model, plugin and task.

    Open DIR/index.html, or serve DIR with any web server. The pages load nothing from other servers. catalogue.json
    has the same facts, and catalogue.schema.json is its JSON schema. Only --picture and --stages import torch.

    Examples:
        zoo catalogue build site --measurements measurements
        zoo catalogue build site --picture image-classification=dog.jpg --stages --overwrite
    """
    from zoo_tools.catalogue import build_catalogue

    pictures = {}
    for given in picture or ():
        name, equals, files = given.partition("=")
        if not (name and equals and files):
            raise InvalidArgument(f"--picture is {given!r}; expected NAME=FILE, such as image-classification=dog.jpg.")
        pictures[name] = [Path(file) for file in files.split(",")]
    built = build_catalogue(
        directory,
        measurements=measurements,
        pictures=pictures,
        stages=stages,
        title=title,
        docs=docs,
        overwrite=overwrite,
        told=lambda text: cli.say(cli.paint(text, "yellow", err=True), err=True),
    )
    cli.say(
        f"{built.directory / 'index.html'}: {built.models} models, {built.weights} weights, "
        f"{built.pages} pages in {built.seconds:.1f} s"
    )
    return 0
