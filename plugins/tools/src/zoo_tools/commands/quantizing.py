"""``zoo quantize``: an int8 model of a float one, with the accuracy before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo import cli, registry
from zoo.errors import InvalidArgument


def quantize(
    model: Annotated[str, typer.Argument(help="A name, as `zoo list` shows it, or a saved model's file or folder.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Pictures like those that the model will see.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it: .xml for openvino, .pt2 for torch.")],
    engine: Annotated[
        str | None,
        typer.Option(metavar="openvino|torch", help="What runs it; by default what FILE says.", show_default=False),
    ] = None,
    weights: Annotated[str, typer.Option(help="An entry's name, a file or a URL.")] = "DEFAULT",
    samples: Annotated[int, typer.Option(min=1, help="Pictures to find ranges on.")] = 300,
    annotations: Annotated[
        Path | None, typer.Option(metavar="PATH", help="What is true of the pictures, as zoo evaluate takes it.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pictures to measure on; by default those of --data.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Pictures to measure on, at most; 0 for none.")] = 200,
    task: Annotated[str | None, typer.Option(help="By default the model's main one.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    arguments: cli.Set = None,
    categories: cli.Categories = None,
) -> int:
    """Make an int8 model of a float one that classifies pictures, or their pixels: a quarter of the size, and fast.

    Ranges are found on the pictures in --data, a few hundred of which are enough. Accuracy before and after is
    measured as `zoo evaluate` does it, where folders' names or --annotations say what is true; and always how often
    the top class is the float model's.

    zoo quantize resnet50 --data imagenet/val --output resnet50_int8.xml
    """
    info = registry.model_info(model)  # what can be told is told before torch is imported
    for option, path in (("--data", data), ("--images", images), ("--annotations", annotations)):
        if path is not None and not path.exists():
            raise InvalidArgument(f"{option}: there is no {str(path)!r}.")
    chosen = engine or {".xml": "openvino", ".pt2": "torch"}.get(output.suffix)
    if chosen is None:
        raise typer.BadParameter(f"--output {output}: end it in .xml for openvino, in .pt2 for torch.")
    from zoo_tools.quantizing import check_engine, check_target, compare, quantize as make, save_quantized

    check_engine(chosen)
    check_target(output, chosen, overwrite=force)
    import zoo

    options = cli.for_builder(arguments, categories)
    ready = zoo.pipeline(model, weights, "cpu", task=task, optimize=False, **options)
    cli.say(f"Quantizing {info.name} for {chosen} on up to {samples} pictures …", err=True)
    fast = make(ready.model, str(data), engine=chosen, samples=samples, weights=ready.weights, task=task)
    written = save_quantized(fast, output, overwrite=force)
    measured = None
    if limit:
        cli.say(f"Measuring on up to {limit} pictures …", err=True)
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
        [("layers", f"{said.layers} in int8"), ("calibrated", f"on {said.samples} pictures, {said.seconds} s")]
    )
    if measured is None:
        return 0
    if measured.before:
        columns = [cli.Column("Metric"), cli.Column("Float", number=True), cli.Column("Int8", number=True)]
        cli.print_table(columns, [[k, f"{v:.3f}", f"{measured.after[k]:.3f}"] for k, v in measured.before.items()])
        cli.say(f"Measured on {measured.measured} pictures.")
    cli.say(f"The top class is the float model's for {measured.agreement:.1%} of {measured.compared} pictures.")
    if measured.note:
        cli.say(f"Note: {measured.note}")
    return 0
