"""``zoo cache list · verify · prune``. torch is not imported."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from zoo.cli import output
from zoo.cli.tables import Column, print_table
from zoo.files import cache_dir, redacted
from zoo.files.cached import CachedFile, cached_files, prune, verify_cache

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""Manage the cache of downloaded files.

Examples:
    zoo cache list
    zoo cache prune --unused 90
""",
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON array.")]


def _facts(file: CachedFile) -> dict[str, Any]:
    return {**asdict(file), "path": str(file.path), "url": redacted(file.url), "unused": round(file.unused, 1)}


@app.command("list")
def list_files(as_json: Json = False) -> int:
    """List every file with its size, the days since it was used, and where it came from.

    A foreign file was written there by torch.hub or another program, and is only deleted with --foreign.

    Examples:
        zoo cache list
        zoo cache list --json
    """
    found = cached_files()
    if as_json:
        output.print_json([_facts(file) for file in found])
        return 0
    if found:
        columns = [Column("File", code=True), Column("State", rank=2), Column("Size", number=True)]
        columns += [Column("Unused", number=True, rank=1), Column("From", link=True, rank=3)]
        rows = [
            [
                str(f.path.relative_to(cache_dir())),
                f.state,
                output.megabytes(f.size),
                f"{f.unused:.0f} d",
                redacted(f.url),
            ]
            for f in found
        ]
        print_table(columns, [[cell or output.NONE for cell in row] for row in rows])
    output.say(f"{output.counted(len(found), 'file')}, {output.megabytes(sum(f.size for f in found))} in {cache_dir()}")
    return 0


@app.command()
def verify(as_json: Json = False) -> int:
    """Hash every file and compare the hash with the file's note and name.

    The exit status is 1 if a file does not match.

    Examples:
        zoo cache verify
    """
    wrong, facts = 0, []
    for file, problem in verify_cache():
        wrong += bool(problem)
        facts.append({**_facts(file), "problem": problem or None})
        if problem:
            output.print_error(f"{file.path}: {problem}")
        elif not as_json:
            output.say(f"{'ok' if file.sha256 else 'nothing known'}  {file.path}")
    if as_json:
        output.print_json(facts)
    return int(wrong > 0)


@app.command("prune")
def prune_files(
    unused: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Also delete files that were not used for this many days; 0 for all."),
    ] = None,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="With --unused, also delete files that zoo did not download.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; print what would be deleted.")] = False,
    as_json: Json = False,
) -> int:
    """Free space: delete unfinished downloads and, with --unused, files that zoo downloaded.

    Examples:
        zoo cache prune
        zoo cache prune --unused 90 --dry-run
    """
    gone, busy = prune(unused=unused, foreign=foreign, dry_run=dry_run)
    for path in busy:
        output.complain(f"Warning: {path} is in use and was not deleted.", "yellow")
    if as_json:
        output.print_json([_facts(file) for file in gone])
        return 0
    for file in gone:
        output.say(f"{output.megabytes(file.size):>9}  {file.path}")
    what = "would be deleted" if dry_run else "deleted"
    output.say(f"{output.counted(len(gone), 'file')}, {output.megabytes(sum(f.size for f in gone))} {what}")
    return 0
