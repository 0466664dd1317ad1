"""``zoo merge``: one file of what shards have predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import cli
from zoo.errors import InvalidArgument

ENDINGS = (".jsonl", ".csv", ".parquet")


def merge(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of `zoo predict --output`.")],
    target: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write this file: all.jsonl, all.csv or all.parquet."),
    ] = None,
    coco: Annotated[Path | None, typer.Option(metavar="FILE", help="Write detections as a COCO data set.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> int:
    """Merge the predictions in a folder into one file: a row an input, with "error" where it failed.

    Before anything is written it is checked that no shard and no input is missing or there twice. Inputs that failed
    are named on stderr, and the exit status is 1. --coco needs predictions that were made with --coco.

    An evaluation in shards is finished by the same `zoo evaluate` without --shard.

    Examples:
        zoo merge results --output all.jsonl
        zoo merge results --output all.parquet --coco detections.json
    """
    if target is None and coco is None:
        raise typer.BadParameter("Give --output FILE, --coco FILE, or both.")
    if target is not None and target.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"--output {target}: expected a name that ends in one of {', '.join(ENDINGS)}.")
    for file in (target, coco):
        if file is not None and file.exists() and (file.is_dir() or not overwrite):
            raise InvalidArgument(f"{str(file)!r} is there already. Give another name, or --overwrite.")
        if file is not None and not file.absolute().parent.is_dir():
            raise InvalidArgument(f"{str(file)!r} is in a folder that does not exist.")
    if (folder / "records.jsonl").is_file() or any(folder.glob("records-*-of-*.jsonl")):
        raise InvalidArgument(
            f"{str(folder)!r} has records of an evaluation; the same zoo evaluate without --shard gives its figures."
        )
    from zoo.running.records import rows
    from zoo.running.sharding import shards_in
    from zoo_tools import merging

    def write(records: Iterator[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
        def every() -> Iterator[Mapping[str, Any]]:
            return (record["row"] for path in shards_in(folder) for record in rows(path))

        if coco is not None and not about.get("coco"):
            raise InvalidArgument("--coco: the predictions were made without --coco, and lack what it needs.")
        if target is not None and target.suffix.lower() == ".jsonl":
            merging.write_jsonl(target, (record["row"] for record in records))
        elif target is not None:
            (merging.write_csv if target.suffix.lower() == ".csv" else merging.write_parquet)(target, every)
        if coco is not None:
            sink = cli.Coco(coco, about.get("categories", ()))
            for path in shards_in(folder):
                for record in rows(path):
                    sink.row(record["row"], record.get("coco"))
            sink.finish()

    found = merging.merge(folder, write)
    for name, reason in found.failed.items():
        cli.print_error(reason if name in reason else f"{name}: {reason}")
    failed = f", {len(found.failed)} of which failed" if found.failed else ""
    cli.say(
        f"{cli.counted(found.inputs, 'input')}{failed}", f"→ {', '.join(str(file) for file in (target, coco) if file)}"
    )
    return int(bool(found.failed))
