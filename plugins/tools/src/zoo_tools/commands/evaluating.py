"""``zoo evaluate``: a model and a data set in, figures out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import cli

if TYPE_CHECKING:
    from zoo_tools.evaluation import Evaluation


DATA, COMPUTE = "Data", "Computing"


@cli.reads_options("predict", "evaluate")
def evaluate(
    context: typer.Context,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A model, as any table prints it, or a saved model's file or folder.")
    ],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the inputs: pictures, videos or frames.")],
    annotations: Annotated[
        Path | None, typer.Option(metavar="PATH", help="What is true of them; see the table above.", show_default=False)
    ] = None,
    weights: Annotated[str, typer.Option(metavar="WEIGHTS", help="The name of an entry, a file or a URL.")] = "DEFAULT",
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Keep a record of each finished input there, to go on from."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    processes: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Work in N processes, each with its own model.", rich_help_panel=COMPUTE),
    ] = 1,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Run N inputs through the model together.", rich_help_panel=COMPUTE)
    ] = 8,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Take only the first N inputs.", show_default=False, rich_help_panel=DATA
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Take only the I-th of N parts.", show_default=False, rich_help_panel=DATA),
    ] = None,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
    device: cli.Device = "auto",
    dtype: cli.Dtype = None,
    engine: cli.EngineName = "torch",
    compiled: cli.Compile = False,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="The task, by default the model's main one.")] = None,
) -> int:
    """Measure how good a model is on a data set, beside the published figures.

    \b
    Task            --images                    --annotations
    classification  a folder for each class,    none
    and video       named by category or label
    segmentation    pictures                    a folder of PNGs, one a picture
                                                and named like it, whose pixels
                                                are the classes
    detection       pictures                    a JSON file of COCO's format
    optical flow    NAME_1.png and NAME_2.png   a folder of .flo files, or of
                    for NAME.flo; or one named  16-bit PNGs as KITTI has them
                    like it and its successor

    With --output an evaluation that was broken off, even killed, goes on where it was when the same command is given
    again, and the figures are the same. Metrics are in percent, errors of optical flow in pixels.

    Several machines share an evaluation by --shard 1/16, 2/16, … with one --output; the same command without --shard
    then gives the figures, which are those of one run.

    An input that cannot be read, or whose result is NaN or infinite, is named on stderr, the others go on, and the exit
    status is 1. Tasks have options of their own, such as --clips 4 of video classification, --ignore-index 0 of
    semantic segmentation and --num-flow-updates 32 of optical flow; how published figures were measured is said.

    Examples:
        zoo evaluate --model resnet50 --images imagenet/val --limit 1000
        zoo evaluate --model fcos_resnet50_fpn --images val2017 --annotations instances_val2017.json --output run
        zoo evaluate --model resnet50.onnx --images imagenet/val --json
    """
    _, spec, entry = cli.find_model(model, weights, task=task, device=device)  # all that can be told without torch
    weights = cli.needs_weights(entry, "the figures of")
    words, options = cli.read_options(context, context.args, spec, "predict", "evaluate")
    if words:
        raise typer.BadParameter(f"Got unexpected extra argument ({words[0]})")
    options |= cli.for_builder(arguments, categories) | cli.for_computing(dtype, engine, compiled)
    cli.check_there("--images", images)
    cli.check_there("--annotations", annotations)
    from zoo_tools.evaluation import evaluate as measure

    try:
        result = measure(
            model,
            images,
            annotations,
            weights,
            device,
            task=task,
            output=folder,
            batch_size=batch_size,
            processes=processes,
            limit=limit,
            shard=shard,
            progress=True,
            **options,
        )
    except KeyboardInterrupt:
        if folder is None:
            raise
        raise KeyboardInterrupt("the same command goes on from here.") from None
    for failed, reason in result.failures.items():
        cli.print_error(reason if failed in reason else f"{failed}: {reason}")
    if as_json:
        cli.print_json(result.to_dict())
    else:
        _print(result)
    return int(bool(result.failures))


def _print(result: Evaluation) -> None:
    measured = cli.counted(result.measured, "input")
    cli.say(cli.paint(result.model, bold=True), f" {result.weights}  {result.task}  {measured}")
    if result.metrics:
        published = {data: values for data, values in result.published.items() if values.keys() & result.metrics.keys()}
        columns = [cli.Column("Metric"), cli.Column("Measured", number=True)]
        columns += [cli.Column(f"Published: {data}", number=True) for data in published]
        rows = [
            [name, _number(value), *(cli.number(values.get(name)) for values in published.values())]
            for name, value in result.metrics.items()
        ]
        cli.print_table(columns, rows)
    if result.protocol:
        cli.say("Measured with", ", ".join(f"{key} {value}" for key, value in result.protocol.items()))
    for note in result.notes:
        cli.say(f"Note: {note}")
    if unread := len(result.failures) - result.not_finite:
        total = result.measured + len(result.failures)
        cli.say(f"Note: {unread} of {total} inputs could not be read; the figures are of the others.")


def _number(value: float) -> str:
    return cli.NONE if math.isnan(value) else f"{value:.3f}"
