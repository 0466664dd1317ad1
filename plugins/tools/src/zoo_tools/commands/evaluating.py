"""``zoo evaluate``: metrics of a model on a data set."""

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
    model: Annotated[str, typer.Option(metavar="MODEL", help="Name of a model, or a saved model's file or folder.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Folder of inputs: pictures, videos or frames.")],
    annotations: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The ground truth; see the table above.", show_default=False)
    ] = None,
    weights: Annotated[str, typer.Option(metavar="WEIGHTS", help="Name of the weights, a file or a URL.")] = "DEFAULT",
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Store a record of each finished input, to resume from."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    processes: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Number of processes, each with its own model.", rich_help_panel=COMPUTE),
    ] = 1,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Batch size.", rich_help_panel=COMPUTE)] = 8,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Use only the first N inputs.", show_default=False, rich_help_panel=DATA),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Evaluate only part I of N.", show_default=False, rich_help_panel=DATA),
    ] = None,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
    device: cli.Device = "auto",
    dtype: cli.Dtype = None,
    engine: cli.EngineName = "torch",
    compiled: cli.Compile = False,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="The task; by default the model's main task.")
    ] = None,
) -> int:
    """Measure the metrics of a model on a data set, next to the published ones.

    \b
    Task            --images                    --annotations
    classification  a folder for each class,    none
    and video       named by category or label
    segmentation    pictures                    a folder of PNGs of the same
                                                names, whose pixel values are
                                                the classes
    detection       pictures                    a JSON file in COCO format
    optical flow    NAME_1.png and NAME_2.png   a folder of .flo files, or of
                    for NAME.flo; or NAME and   16-bit PNGs in KITTI format
                    its successor
                    like it and its successor

    With --output, an interrupted evaluation continues where it stopped when the same command is run again, with the
    same results. Metrics are in percent, errors of optical flow in pixels.

    To use several machines, give --shard 1/16, 2/16, … with the same --output; the same command without --shard then
    computes the metrics, which equal those of a single run.

    An input that cannot be read, or whose result is NaN or infinite, is reported on stderr; the others continue, and
    the exit status is 1. Some tasks have their own options, such as --clips 4 for video classification,
    --ignore-index 0 for semantic segmentation and --num-flow-updates 32 for optical flow. The protocol of published
    metrics is printed.

    Examples:
        zoo evaluate --model resnet50 --images imagenet/val --limit 1000
        zoo evaluate --model fcos_resnet50_fpn --images val2017 --annotations instances_val2017.json --output run
        zoo evaluate --model resnet50.onnx --images imagenet/val --json
    """
    _, spec, entry = cli.find_model(model, weights, task=task, device=device)  # finds errors without importing torch
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
        raise KeyboardInterrupt("run the same command to continue.") from None
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
        cli.say(f"Note: {unread} of {total} inputs could not be read; the metrics are for the others.")


def _number(value: float) -> str:
    return cli.NONE if math.isnan(value) else f"{value:.3f}"
