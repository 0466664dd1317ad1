"""``zoo pull``: fetch weights ahead of time. torch is not imported."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo import registry
from zoo.cli import output, views
from zoo.errors import ZooError


def pull(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Models (resnet50), weights entries (ResNet50_Weights.IMAGENET1K_V1), wildcards over either "
            "('resnet*'), or URLs.",
        ),
    ],
    every: Annotated[bool, typer.Option("--all", help="All weights of a model, not only DEFAULT.")] = False,
) -> int:
    """Fetch weights ahead of time.

    Prints the name, size and path of each file. What cannot be fetched is named, the others go on, and the exit
    status is 1.
    """
    urls: dict[str, str] = {}  # each file once, however often it was named
    failed = False
    for name in names:
        try:
            entries = [] if "://" in name else views.find_weights(name, every=every)
        except ZooError as e:
            output.print_error(e)
            failed = True
        else:
            for url, label in [(e.url, repr(e)) for e in entries] or [(name, name)]:
                urls.setdefault(url, label)
    width = max(map(len, urls.values()), default=0)
    for url, label in urls.items():
        try:
            path = registry.fetch(url, progress=True)
        except ZooError as e:
            output.print_error(f"{label}: {e}" if label != url else e)
            failed = True
        else:
            print(f"{label:<{width}}  {output.megabytes(path.stat().st_size):>9}  {path}", flush=True)
    return int(failed)
