"""``zoo convert``: published int8 files as plain safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli


def convert(
    source: Annotated[str, typer.Argument(help="A file or URL, an entry of int8 weights, or a model that has some.")],
    output: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="Where to write it.")],
    model: Annotated[
        str | None,
        typer.Option(help="Which model the file is of, where it is of training for int8.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> int:
    """Write an int8 file in torch's quantized tensors, which torch will drop, as plain safetensors.

    Builders load it with --set quantize=true, or "reference", and it gives the numbers that the source gives.

    zoo convert quantized_resnet18 resnet18_int8.safetensors
    """
    if output.exists() and not force:
        raise FileExistsError(f"{output} is there already; --force writes over it.")
    from zoo_quantized.conversion import convert as write

    done = write(source, output, model=model, overwrite=force)
    size = done.path.stat().st_size
    cli.say(
        cli.paint(str(done.path), bold=True),
        f" {done.layers} layers in int8, {done.tensors} tensors, {cli.megabytes(size)}",
    )
    cli.print_facts([("from", done.source), ("form", done.form)])
    return 0
