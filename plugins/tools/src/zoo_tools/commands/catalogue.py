"""``zoo catalogue``: all that is installed as pages for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli
from zoo.errors import InvalidArgument

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def catalogue() -> None:
    """Make pages for a browser of all models that are installed.

    Examples:
        zoo catalogue build site
    """


@app.command()
def build(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the pages go; made if it is missing.")],
    measurements: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="JSON files that zoo benchmark --output wrote.", show_default=False),
    ] = None,
    picture: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE[,FILE]",
            help="Draw what models see in it. NAME is a task, a model or weights, the most exact counts; repeatable.",
            show_default=False,
        ),
    ] = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="List the feature stages of models; builds each without memory.")
    ] = False,
    title: Annotated[str, typer.Option(help="Of the catalogue, at the top of each page.")] = "zoo",
    docs: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the documentation is, for a link to it.", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a catalogue that is in DIR; nothing else is touched.")
    ] = False,
) -> int:
    """Write pages on all installed models: a table to search, plots, a page for each model, plugin and task.

    The pages are files: open DIR/index.html, or put DIR on any web server. They fetch nothing from elsewhere.
    catalogue.json has the same facts, and catalogue.schema.json its JSON schema. torch is imported for --picture and
    --stages alone.

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
