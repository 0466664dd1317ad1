"""``zoo quantize``: make an int8 model from a float model, with the accuracy before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli
from zoo.errors import InvalidArgument


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or a saved model's file or folder.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of typical input pictures for calibration.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The output file: .xml for openvino, .pt2 for torch.")],
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="openvino|torch", help="The engine that runs it; by default from the suffix.", show_default=False
        ),
    ] = None,
    weights: Annotated[str, typer.Option(metavar="WEIGHTS", help="Name of the weights, a file or a URL.")] = "DEFAULT",
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="Number of calibration pictures.")] = 300,
    annotations: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The ground truth, as for `zoo evaluate`.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures to measure on; by default those of --data.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Measure on at most N pictures; 0 to skip.")] = 200,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="The task; by default the model's main task.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
) -> int:
    """Make an int8 model from a float model for image classification or semantic segmentation.

    The int8 model has a quarter of the size and is faster. The pictures in --data, of which a few hundred are enough,
    give the value ranges. Accuracy before and after is measured as by `zoo evaluate`, if folder names or --annotations
    give the ground truth; the agreement with the float model's top class is always measured.

    Examples:
        zoo quantize resnet50 --data imagenet/val --output resnet50_int8.xml
        zoo quantize lraspp_mobilenet_v3_large --data pictures --output int8.pt2 --limit 0
    """
    info, _, entry = cli.find_model(model, weights, task=task)  # finds errors without importing torch
    weights = cli.needs_weights(entry, "the int8 form of")
    for option, path in (("--data", data), ("--images", images), ("--annotations", annotations)):
        if path is not None and not path.exists():
            raise InvalidArgument(f"{option}: there is no {str(path)!r}.")
    chosen = engine or {".xml": "openvino", ".pt2": "torch"}.get(output.suffix)
    if chosen is None:
        raise typer.BadParameter(f"--output {output}: expected a suffix .xml for openvino or .pt2 for torch.")
    from zoo_tools.quantizing import check_engine, check_target, compare, quantize as make, save_quantized

    check_engine(chosen)
    check_target(output, chosen, overwrite=force)
    import zoo

    options = cli.for_builder(arguments, categories)
    ready = zoo.pipeline(model, weights, "cpu", task=task, optimize=False, **options)
    with cli.working(f"Quantizing {info.name} for {chosen} on up to {cli.counted(samples, 'picture')}"):
        fast = make(ready.model, str(data), engine=chosen, samples=samples, weights=ready.weights, task=task)
    written = save_quantized(fast, output, overwrite=force)
    measured = None
    if limit:
        with cli.working(f"Measuring on up to {cli.counted(limit, 'picture')}"):
            measured = compare(ready.model, fast, images or data, annotations, limit=limit, task=task)
    said = fast.quantization
    if as_json:
        cli.print_json(
            {
                "model": info.name,
                "files": [str(file) for file in written],
                "bytes": sum(file.stat().st_size for file in written),
                "quantization": vars(said),
                "comparison": measured and vars(measured),
            }
        )
        return 0
    size = sum(file.stat().st_size for file in written)
    cli.say(cli.paint(" + ".join(map(str, written)), bold=True), f" int8 for {chosen}  {cli.megabytes(size)}")
    cli.print_facts(
        [
            ("layers", f"{said.layers} in int8"),
            ("calibrated", f"on {cli.counted(said.samples, 'picture')}, {said.seconds} s"),
        ]
    )
    if measured is None:
        return 0
    if measured.before:
        columns = [cli.Column("Metric"), cli.Column("Float", number=True), cli.Column("Int8", number=True)]
        cli.print_table(columns, [[k, f"{v:.3f}", f"{measured.after[k]:.3f}"] for k, v in measured.before.items()])
        cli.say(f"Measured on {cli.counted(measured.measured, 'picture')}.")
    cli.say(
        f"The top class equals the float model's for {measured.agreement:.1%} of "
        f"{cli.counted(measured.compared, 'picture')}."
    )
    if measured.note:
        cli.say(f"Note: {measured.note}")
    return 0
