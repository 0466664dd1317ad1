"""``zoo export``: a model as a file that runs without its code."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from zoo import cli, registry


def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A name, as `zoo list` shows it, or a saved model's file or folder.")],
    words: Annotated[list[str], typer.Argument(metavar="FILE", help="Where to write it: out.onnx, out.pt2, out.xml.")],
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="By default what FILE ends in; see below.", show_default=False),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Height and width in pixels. By default the model's own.", show_default=False),
    ] = None,
    dynamic: Annotated[
        str, typer.Option(metavar="AXES", help="Sizes left free: batch,height,width.", show_default=False)
    ] = "",
    half: Annotated[bool, typer.Option("--half", help="Weights and computations in float16.")] = False,
    opset: Annotated[int | None, typer.Option(help="Of ONNX, from 18 to 23; 20.", show_default=False)] = None,
    with_preprocessing: Annotated[
        bool, typer.Option("--with-preprocessing", help="Pixels in; probabilities, classes or boxes in pixels out.")
    ] = False,
    weights: Annotated[str, typer.Option(help="An entry's name, a file or a URL.")] = "DEFAULT",
    task: Annotated[str | None, typer.Option(help="By default the model's main one.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "--force", help="Write over a file that is there.")] = False,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
) -> int:
    """Write a model to a file that runs without its code.

    \b
    --format      FILE     run by
    onnx          .onnx    ONNX Runtime and many others
    torch-export  .pt2     torch alone
    openvino      .xml     OpenVINO; the weights in a .bin beside it
    and what other plugins bring.

    The file takes inputs of one size, unless --dynamic frees some, and says what it is: zoo predict, evaluate and show
    take it as a model (--model out.onnx). Detectors give padded detections and their count.

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
        dynamic=[axis for axis in dynamic.split(",") if axis],
        half=half,
        opset=opset,
        with_preprocessing=with_preprocessing,
        overwrite=overwrite,
        progress=True,
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
