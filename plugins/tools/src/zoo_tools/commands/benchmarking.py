"""``zoo benchmark``: how fast models are, cold and warm, on each engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import cli

if TYPE_CHECKING:
    from zoo_tools.benchmarking import Measurement


def benchmark(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Names of models, or files.")],
    batch: Annotated[str, typer.Option(metavar="N,N", help="Batch sizes to measure.")] = "1,8",
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME", help="Engines to measure: eager, torch, compile, onnxruntime, openvino, or all."
        ),
    ] = "eager,torch",
    dtype: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            help="Precisions to measure: float32, bfloat16, float16, int8 (openvino and compile).",
        ),
    ] = "float32",
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Measure on cpu, cuda, cuda:1; auto takes the fastest one available.")
    ] = "cpu",
    weights: Annotated[
        str,
        typer.Option(metavar="WEIGHTS", help="Name of the weights; none for random weights, which are equally fast."),
    ] = "none",
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of threads; by default torch's own number.", show_default=False),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, metavar="X", help="Approximate time per configuration.")] = 3.0,
    cold: Annotated[
        bool, typer.Option("--cold/--no-cold", help="Also measure the first output and memory, in new processes.")
    ] = True,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all measurements to this file.", show_default=False)
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw a chart of inputs per second.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    arguments: cli.Set = None,
) -> int:
    """Measure models: latency, throughput, memory, the first output of a new process, and agreement.

    The unchanged model in float32 is always measured too, as the baseline. All configurations are measured
    alternately, so that a change in the machine's speed affects all equally; run nothing else meanwhile.

    Examples:
        zoo benchmark resnet50
        zoo benchmark resnet50 mobilenet_v3_large --engine all --dtype float32,bfloat16 --output speed.json
    """
    for name in models:
        cli.find_model(name, device=device)  # a wrong name raises before torch is imported
    batches = [int(text) for text in batch.split(",") if text.strip().isdecimal()]
    if not batches or len(batches) != len(batch.split(",")) or not all(batches):
        raise typer.BadParameter(f"--batch is {batch!r}; expected positive integers, such as 1,8.")
    for option, file in (("--output", output), ("--chart", chart)):
        if file is not None and file.exists() and not force:
            raise FileExistsError(f"{option}: {file} already exists; use --force to replace it.")
    if chart is not None and chart.suffix.lower() != ".png":
        raise typer.BadParameter(f"--chart {chart}: expected a name that ends in .png.")
    from zoo_tools.benchmarking import benchmark as measure, draw

    found = measure(
        models,
        batches=batches,
        engines="all" if engine == "all" else [name.strip() for name in engine.split(",")],
        precisions=[name.strip() for name in dtype.split(",")],
        device=device,
        weights=None if weights == "none" else weights,
        threads=threads,
        seconds=seconds,
        cold=cold,
        told=lambda text: cli.say(cli.paint(text, dim=True, err=True), err=True),
        **cli.read_assignments(arguments or ()),
    )
    if output is not None:
        found.save(output, overwrite=force)
    if chart is not None:
        draw(found).save(chart)
    if as_json:
        cli.print_json(found.to_dict())
        return 0
    machine = found.machine
    rates = ", ".join(f"{value:g} {name}" for name, value in machine["gflops"].items())
    one = found.measurements[0]
    cli.say(f"{machine.get('card', machine['processor'])}, {one.threads} threads, torch {one.torch}")
    cli.say(f"GFLOP/s of large matrices: {rates}")
    x86 = machine["architecture"] in ("x86_64", "AMD64")
    if "bfloat16" in dtype and x86 and not {"avx512_bf16", "amx_bf16"} & set(machine["instructions"]):
        cli.say("This processor has neither AVX-512 BF16 nor AMX: bfloat16 is emulated.")
    for name in dict.fromkeys(row.model for row in found.measurements):
        rows = [row for row in found.measurements if row.model == name]
        print()
        cli.say(cli.paint(name, bold=True))
        _print(rows)
    return int(all(row.ms is None for row in found.measurements))


def _print(rows: Sequence[Measurement]) -> None:
    """At most 80 columns wide."""
    columns = [
        cli.Column("Engine"),
        cli.Column("Dtype"),
        *(cli.Column(title, number=True, fixed=False) for title in TITLES),
    ]
    table = []
    for row in (row for row in rows if row.ms is not None):
        numbers = (
            f"{row.batch}",
            _short(row.ms),
            _short(row.ms_p95),
            _short(row.per_second),
            cli.NONE if row.times_eager is None else f"{row.times_eager:.2f}",
            cli.NONE if row.off is None else f"{row.off:.0e}",
            cli.NONE if row.first_answer_s is None else f"{row.first_answer_s:.1f}",
            cli.NONE if row.memory_mb is None else f"{row.memory_mb:.0f}",
            cli.NONE if row.file_mb is None else f"{row.file_mb:.1f}",
        )
        table.append([row.engine, row.precision, *numbers])
    cli.print_table(columns, table)
    for row in rows:
        if row.note:
            cli.say(f"{row.engine} {row.precision}, batch {row.batch}: {row.note}")


TITLES = ("N", "ms", "p95", "/s", "times", "off", "cold s", "MB", "file")


def _short(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return cli.NONE
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
