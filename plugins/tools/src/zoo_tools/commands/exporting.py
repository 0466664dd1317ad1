"""``zoo export``: a model as a file that runs without its code."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from zoo import cli, registry


def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A name, as `zoo list` shows it, or a saved model's file or folder.")],
    words: Annotated[list[str], typer.Argument(metavar="FILE", help="Where to write it: out.onnx, or out.pt2.")],
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="onnx or torch-export; by default what FILE ends in.", show_default=False),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Height and width in pixels. By default the model's own.", show_default=False),
    ] = None,
    weights: Annotated[str, typer.Option(help="An entry's name, a file or a URL.")] = "DEFAULT",
    task: Annotated[str | None, typer.Option(help="By default the model's main one.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
) -> int:
    """Write a model to a file that runs without its code: ONNX, or a program that torch.export.load reads.

    The file takes inputs of one size. Detectors take one picture in [0, 1] of any size that you name, and give padded
    detections and their count: zoo export retinanet_resnet50_fpn_v2 --image-size 800x1066 out.onnx

    Tasks have options of their own, such as --max-detections 50 and --mask-format roi of detection.
    """
    info = registry.model_info(model)  # a misspelt name is told before torch is imported
    files, options = cli.read_options(
        context, words, registry.get_task(task or info.task, plugin=info.plugin), "export"
    )
    if len(files) != 1:
        raise typer.BadParameter(f"Expected one FILE to write, not {', '.join(files) or 'none'}.")
    size = None if image_size is None else _parse_size(image_size)
    from zoo_tools.exporting import export as write

    report = write(
        model,
        files[0],
        file_format,
        image_size=size,
        weights=weights,
        task=task,
        overwrite=force,
        **options,
        **cli.for_builder(arguments, categories),
    )
    total = sum(file.stat().st_size for file in report.files)
    cli.say(cli.paint(" + ".join(map(str, report.files)), bold=True), f" {report.format}  {cli.megabytes(total)}")
    sides = (("in ", report.inputs), ("out", report.outputs))
    cli.print_facts([(f"{side}  {name}", text) for side, tensors in sides for name, text in tensors.items()])
    return 0


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:[x×,](\d+))?", text)
    if not match:
        raise typer.BadParameter(f"--image-size {text}: expected HEIGHTxWIDTH, such as 800x1066.")
    return int(match[1]), int(match[2] or match[1])
