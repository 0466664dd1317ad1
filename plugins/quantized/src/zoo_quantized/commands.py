"""``zoo convert``: published int8 files as plain safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A file or URL, an entry of int8 weights, or a model that has int8 weights."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="The file to write.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The file's model; needed for files of quantization-aware training.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> int:
    """Convert an int8 file with torch's quantized tensors, which torch will remove, to plain safetensors.

    Builders load the file with --set quantize=true or "reference"; its results equal the source's.

    Examples:
        zoo convert quantized_resnet18 resnet18_int8.safetensors
    """
    if output.exists() and not force:
        raise FileExistsError(f"{output} already exists; pass --force to overwrite it.")
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
