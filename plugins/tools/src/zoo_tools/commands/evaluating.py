"""``zoo evaluate``: a model and a data set in, figures out."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import cli, registry

if TYPE_CHECKING:
    from zoo_tools.evaluation import Evaluation


def evaluate(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A name, as `zoo list` shows it, or a saved model's file or folder.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the inputs: pictures, videos, frames.")],
    annotations: Annotated[
        Path | None, typer.Option(metavar="PATH", help="What is true of them; see above.", show_default=False)
    ] = None,
    weights: Annotated[str, typer.Option(help="An entry's name, a file or a URL.")] = "DEFAULT",
    folder: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Keep a record of each finished input there, to go on from."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="How many work at once, each with its own model.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="How many inputs go through the model together.")] = 8,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many inputs, the first ones.", show_default=False)
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only the I-th of N parts; without it all of them.", show_default=False),
    ] = None,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; auto takes the best there is.")] = "auto",
    dtype: cli.Dtype = None,
    engine: cli.EngineName = "torch",
    compiled: cli.Compile = False,
    task: Annotated[str | None, typer.Option(help="By default the model's main one.")] = None,
) -> int:
    """How good a model is on a data set, beside the published figures.

    \b
    Task            --images                        --annotations
    classification  a folder for each class,        none
    and video       named by category or label
    segmentation    pictures                        a folder of PNGs, one a picture and named
                                                    like it, whose pixels are the classes
    detection       pictures                        a JSON file of COCO's format
    optical flow    frames: NAME_1.png, NAME_2.png  a folder of .flo files, or 16-bit PNGs as
                    for NAME.flo; or, named like    KITTI has them
                    the .flo, one and its successor

    With --output an evaluation that was broken off, even killed, goes on where it was when the same command is given
    again, and the figures are the same. Metrics are in percent, errors of optical flow in pixels.

    Several machines share an evaluation by --shard 1/16, 2/16, … with one --output; the same command without --shard
    then gives the figures, which are those of one run.

    An input that cannot be read, or whose result is NaN or infinite, is named on stderr, the others go on, and the exit
    status is 1. Tasks have options of their own, such as --clips 4 of video classification, --ignore-index 0 of
    semantic segmentation and --num-flow-updates 32 of optical flow; how published figures were measured is said.
    """
    info = registry.model_info(model, task=task, weights=weights)  # a misspelt name is told before torch is imported
    spec = registry.get_task(task or info.task, plugin=info.plugin)
    words, options = cli.read_options(context, context.args, spec, "predict", "evaluate")
    if words:
        raise typer.BadParameter(f"Got unexpected extra argument ({words[0]})")
    options |= cli.for_builder(arguments, categories) | cli.for_computing(dtype, engine, compiled)
    from zoo_tools.evaluation import evaluate as measure

    bar = cli.on_terminal(sys.stderr)
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
            progress=bar,
            **options,
        )
    except KeyboardInterrupt:
        if folder is None:
            raise
        print(file=sys.stderr)  # after ^C
        cli.complain("Stopped: the same command goes on from here.", "yellow")
        return 130
    for failed, reason in result.failures.items():
        cli.print_error(reason if failed in reason else f"{failed}: {reason}")
    if as_json:
        cli.print_json(result.to_dict())
    else:
        _print(result)
    return int(bool(result.failures))


def _print(result: Evaluation) -> None:
    inputs = "input" if result.measured == 1 else "inputs"
    cli.say(cli.paint(result.model, bold=True), f" {result.weights}  {result.task}  {result.measured} {inputs}")
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
