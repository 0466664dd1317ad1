"""``zoo export``: a model as a file that runs without its code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from zoo import cli, registry
from zoo.errors import InvalidArgument


@cli.reads_options("export")
def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or a saved model's file or folder.")],
    words: Annotated[list[str], typer.Argument(metavar="FILE", help="The output file: out.onnx, out.pt2, out.xml.")],
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="The format; by default from the suffix of FILE.", show_default=False
        ),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Height and width in pixels; by default the model's own.", show_default=False),
    ] = None,
    dynamic: Annotated[
        str, typer.Option(metavar="AXES", help="Axes of variable size: batch,height,width.", show_default=False)
    ] = "",
    half: Annotated[bool, typer.Option("--half", help="Store weights and compute in float16.")] = False,
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", help="ONNX opset version, 18 to 23; by default 20.", show_default=False),
    ] = None,
    with_preprocessing: Annotated[
        bool,
        typer.Option("--with-preprocessing", help="Input pixels; output probabilities, classes or boxes in pixels."),
    ] = False,
    weights: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="Name of the weights, a file or a URL; none for random weights.")
    ] = "DEFAULT",
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="The task; by default the model's main task.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "--force", help="Replace an existing file.")] = False,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
) -> int:
    """Write a model to a file that runs without its code.

    \b
    --format      FILE     run by
    onnx          .onnx    ONNX Runtime and many others
    torch-export  .pt2     torch only
    openvino      .xml     OpenVINO; the weights are in a .bin next to it
    and formats of other plugins.

    The file accepts one input size unless --dynamic frees some axes, and describes itself: zoo predict, evaluate and
    show accept it as a model (--model out.onnx). Detectors return padded detections and their count.

    Examples:
        zoo export resnet50 resnet50.onnx
        zoo export resnet50 resnet50.xml --dynamic batch --with-preprocessing
        zoo export fasterrcnn_resnet50_fpn_v2 detector.onnx --image-size 800x1066 --max-detections 50
    """
    _, spec, entry = cli.find_model(model, weights, task=task)  # finds errors without importing torch
    files, options = cli.read_options(context, words, spec, "export")
    if len(files) != 1:
        raise typer.BadParameter(f"Expected one FILE to write, not {', '.join(files) or 'none'}.")
    size = None if image_size is None else _parse_size(image_size)
    target = Path(files[0])
    registry.check_format(registry.format_of(target, file_format), to_write=True)
    if not target.absolute().parent.is_dir():
        raise InvalidArgument(f"The folder {target.parent} for {target.name} does not exist.")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} already exists; use --overwrite to replace it.")
    from zoo_tools.exporting import export as write

    report = write(
        model,
        files[0],
        file_format,
        image_size=size,
        weights=entry,
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
