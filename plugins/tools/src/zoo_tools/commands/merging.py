"""``zoo merge``: merge the predictions of shards into one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import cli
from zoo.errors import InvalidArgument

ENDINGS = (".jsonl", ".csv", ".parquet")


def merge(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of `zoo predict`.")],
    target: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="The output file: all.jsonl, all.csv or all.parquet."),
    ] = None,
    coco: Annotated[Path | None, typer.Option(metavar="FILE", help="Write detections in COCO format.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> int:
    """Merge the predictions in a folder into one file: one row per input, with "error" if it failed.

    Nothing is written if a shard or an input is missing or duplicated. Failed inputs are listed on stderr, and the
    exit status is 1. --coco needs predictions made with --coco.

    To finish a sharded evaluation, run the same `zoo evaluate` without --shard.

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
            raise InvalidArgument(f"{str(file)!r} already exists. Choose another name, or use --overwrite.")
        if file is not None and not file.absolute().parent.is_dir():
            raise InvalidArgument(f"{str(file)!r} is in a folder that does not exist.")
    if (folder / "records.jsonl").is_file() or any(folder.glob("records-*-of-*.jsonl")):
        raise InvalidArgument(
            f"{str(folder)!r} has records of an evaluation; run the same zoo evaluate without --shard for its metrics."
        )
    from zoo.running.records import rows
    from zoo.running.sharding import shards_in
    from zoo_tools import merging

    def write(records: Iterator[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
        def every() -> Iterator[Mapping[str, Any]]:
            return (record["row"] for path in shards_in(folder) for record in rows(path))

        if coco is not None and not about.get("coco"):
            raise InvalidArgument("--coco: the predictions were made without --coco.")
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
