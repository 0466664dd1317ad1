"""``zoo batch``: predict a folder, a list, archives or URLs with many workers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import cli, registry
from zoo.errors import InvalidArgument
from zoo.io import find_files
from zoo.io.stored import find_stored, is_stored

SHOWN = 10  # maximum number of printed failures


def batch(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Folders, files, lists, archives (.tar) or URLs.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="Name of a model, or a saved model's file or folder.")],
    folder: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for the Parquet files: out.parquet.")],
    weights: Annotated[str, typer.Option(metavar="WEIGHTS", help="Name of the weights, a file or a URL.")] = "DEFAULT",
    actors: Annotated[int, typer.Option(min=1, metavar="N", help="Number of workers, each with its own model.")] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Compute only what is missing in --output.")] = False,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Address of a Ray cluster, such as auto; by default a local one."),
    ] = None,
    chunk: Annotated[
        int, typer.Option(min=1, metavar="N", help="Inputs per file; a file is repeated if its worker dies.")
    ] = 256,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Batch size.")] = 8,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Maximum number of labels or objects per row.")] = 5,
    engine: Annotated[str | None, typer.Option(metavar="ENGINE", help="The engine; `zoo doctor` lists them.")] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="DTYPE", help="The precision: float32, bfloat16 or float16.")
    ] = None,
    device: cli.Device = "auto",
) -> int:
    """Predict many pictures on the workers of a Ray cluster, and write Parquet files with one row per input.

    For a failed input, the column "error" has the reason, and the exit status is 1. If a worker dies, its chunk is
    computed again. The same command with --resume continues an interrupted run.

    Examples:
        zoo batch pictures --model resnet50 --output out.parquet
        zoo batch s3://bucket/pictures --model resnet50 --output out.parquet --actors 16 --address auto
    """
    info = registry.model_info(model)
    spec = registry.get_task(info.task, plugin=info.plugin)
    if spec.inputs_per_sample != 1:
        raise InvalidArgument(f"The task {spec.name!r} takes several files per input; use zoo predict --shard instead.")
    for path in paths:
        if "://" not in path and not Path(path).exists():
            raise InvalidArgument(f"{path!r} does not exist.")

    def sources() -> Iterator[Any]:
        for path in paths:
            if is_stored(path, spec.suffixes):
                yield from find_stored(path, spec.suffixes)
            elif Path(path).is_dir():
                yield from find_files(path, spec.suffixes)
            else:
                yield path

    from zoo_serving.rays import batch as run, failures

    found = sources()
    if (first := next(found, None)) is None:
        raise InvalidArgument(f"There are no inputs in {', '.join(map(repr, paths))}.")
    identity = {"model": info.full_name, "weights": weights, "top": top, "dtype": dtype, "engine": engine}
    arguments = {
        "model": model,
        "weights": weights,
        "device": device,
        "dtype": dtype,
        "engine": engine,
        "top": top,
        "batch_size": batch_size,
        "workers": 0,
    }
    try:
        done = run(
            itertools.chain([first], found),
            folder,
            identity,
            arguments,
            actors=actors,
            chunk=chunk,
            address=address,
            resume=resume,
        )
    except KeyboardInterrupt:
        cli.complain("Interrupted; run the same command with --resume to continue.", "yellow")
        return 130
    if done.before:
        cli.say(f"{done.before} of {done.chunks} chunks were done before.")
    if done.failed:
        for number, (name, reason) in enumerate(failures(folder)):
            if number == SHOWN:
                cli.complain(f"… and {done.failed - SHOWN} more, in the column error.", "yellow")
                break
            cli.print_error(reason if name in reason else f"{name}: {reason}")
    failed = f", {done.failed} of which failed" if done.failed else ""
    cli.say(f"{cli.counted(done.inputs, 'input')}{failed} in {done.seconds:.1f} s → {folder}")
    return int(done.failed > 0)
