"""``zoo convert``: published int8 files as plain safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A file or URL, an entry of int8 weights, or a model that has some.")
    ],
    output: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="Where to write it.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The model that the file is of, where it is of training for int8.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> int:
    """Write an int8 file in torch's quantized tensors, which torch will drop, as plain safetensors.

    Builders load it with --set quantize=true, or "reference", and it gives the numbers that the source gives.

    Examples:
        zoo convert quantized_resnet18 resnet18_int8.safetensors
    """
    if output.exists() and not force:
        raise FileExistsError(f"{output} is there already; --force writes over it.")
    from zoo_quantized.conversion import convert as write

    with cli.working(f"Converting {source}"):
        done = write(source, output, model=model, overwrite=force)
    size = done.path.stat().st_size
    cli.say(
        cli.paint(str(done.path), bold=True),
        f" {cli.counted(done.layers, 'layer')} in int8, {cli.counted(done.tensors, 'tensor')}, {cli.megabytes(size)}",
    )
    cli.print_facts([("from", done.source), ("form", done.form)])
    return 0
