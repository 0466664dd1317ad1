"""``zoo matrix``: which features work with which model, measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import cli
from zoo.contract import CAPABILITIES


def matrix(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Models, plugins or wildcards; by default all plugins.")
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for capabilities/PLUGIN.json.")] = Path(
        "measurements"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep results of the same torch and plugin versions.")
    ] = False,
    cells: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Cells to measure; by default all.", show_default=False)
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="Measure all models of a plugin, not only the smallest of each family.")
    ] = False,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="Run the models on cpu or cuda.")] = "cpu",
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time limit of each cell.")] = 300,
) -> int:
    """Measure which features work: precisions, compilers, exporters, training, copying, int8.

    Each model runs in its own process, so that a crash or a hang counts as a result and the run continues. Each result
    is written immediately; --resume continues an interrupted run. Cells stay empty if a
    package is missing, or if rounding alone changes the outputs of the model too much.

    Examples:
        zoo matrix resnet18 --cells onnx,compile
        zoo matrix detection --resume
    """
    from zoo_tools.capabilities import matrix as measure, table

    chosen = None if cells is None else [cell.strip() for cell in cells.split(",")]

    def told(model: str, cell: str, result: Mapping[str, Any] | None) -> None:
        if result is None:
            said = "-    a required package is not installed, or rounding changes the outputs too much"
        elif result["works"]:
            facts = {k: v for k, v in result.items() if k not in ("works", "seconds", "note")}
            said = " ".join(["yes", *(f"{key} {value}" for key, value in facts.items())])
        else:
            said = f"no   {result['note']}"
        cli.say(f"{model}  {cell.ljust(13)} {said}")

    found = measure(
        names or (), output, cells=chosen, resume=resume, every=every, device=device, timeout=timeout, told=told
    )
    columns = [cli.Column("Capability", code=True), *(cli.Column(name) for name in found)]
    rows = table(found)
    shown = [[cell, *(words[cell] for _, words in rows)] for cell in CAPABILITIES]
    if len(found) <= 4:
        print()
        cli.print_table(columns, shown)
    return 0
