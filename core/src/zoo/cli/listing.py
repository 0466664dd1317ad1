"""``zoo list``: models, or their weights, filtered and sorted. torch is not imported."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from zoo import registry
from zoo.cli import output, views
from zoo.cli.tables import Column, print_table
from zoo.cli.views import Row
from zoo.contract import Weights
from zoo.registry.first_party import FIRST_PARTY
from zoo.registry.listing import matches, meets


def parse_count(text: str) -> float:
    """``30M``, ``1.5B``, ``500k`` or a plain number."""
    match = re.fullmatch(r"\s*([\d_.]+(?:e\d+)?)\s*([kmbg]?)\s*", text, re.IGNORECASE)
    if match:
        with contextlib.suppress(ValueError):  # 1_ or 1.2.3
            return float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}[match[2].lower()]
    raise typer.BadParameter(f"{text!r} is not a number of parameters; expected e.g. 30M, 1.5B or 500000.")


def parse_metrics(bounds: list[str]) -> dict[str, float]:
    """``["acc@1=80"]`` → ``{"acc@1": 80.0}``."""
    parsed = {}
    for bound in bounds:
        name, equals, value = bound.rpartition("=")
        try:
            parsed[name] = float(value)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise typer.BadParameter(f"{bound!r} is not a bound of a metric; expected METRIC=NUMBER, e.g. acc@1=80.")
    return parsed


def list_models(
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="PATTERN", help="Shell wildcards of names, quoted: 'resnet*'.")
    ] = None,
    weights: Annotated[bool, typer.Option("--weights", help="List all weights of the models, one per line.")] = False,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Sort by a metric, such as acc@1 (the best first), or by name, task, params, gflops or size (of the "
            "file).",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Show only the first N.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Only models of this task, such as object-detection; `zoo tasks` lists them.",
            rich_help_panel="Filters",
        ),
    ] = None,
    license: Annotated[  # noqa: A002  the field's name
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Only models with weights of this licence: 'bsd-*', unknown.",
            rich_help_panel="Filters",
        ),
    ] = None,
    can: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only models that were measured to work with it: onnx, compile, int8.",
            rich_help_panel="Filters",
        ),
    ] = None,
    plugin: Annotated[
        str | None,
        typer.Option(metavar="PLUGIN", help="Only this plugin's models, such as detection.", rich_help_panel="Filters"),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave out names that match.", rich_help_panel="Filters"),
    ] = None,
    max_params: Annotated[
        str | None,
        typer.Option(metavar="N", help="Only models of at most N parameters: 30M, 1.5B.", rich_help_panel="Filters"),
    ] = None,
    min_metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=N",
            help="Only models with weights of at least this metric: acc@1=80.",
            rich_help_panel="Filters",
        ),
    ] = None,
    max_metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=N", help="The same for metrics where lower is better: epe=2.", rich_help_panel="Filters"
        ),
    ] = None,
    has_weights: Annotated[
        bool | None,
        typer.Option(
            "--has-weights/--no-weights", help="Only models with, or without, weights.", rich_help_panel="Filters"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> int:
    """List models that match patterns and filters.

    The GFLOPs and the metric (the first of the model's task) are those of its DEFAULT weights. The exit status is 0 if
    a model matches, 1 if none does, as for grep.

    Examples:
        zoo list 'resnet*'
        zoo list --task object-detection --sort box_map
        zoo list --weights --sort acc@1 --limit 20
        zoo list --can onnx --license 'bsd-*' --max-params 10M
    """
    lowest, highest = parse_metrics(min_metric or []), parse_metrics(max_metric or [])
    names = registry.list_models(
        include=None if weights else patterns or None,
        exclude=None if weights else exclude or None,
        task=task,
        plugin=plugin,
        max_params=parse_count(max_params) if max_params is not None else None,
        min_metrics=lowest,
        max_metrics=highest,
        has_weights=has_weights,
        license=license or None,
        can=can or None,
    )
    gc.freeze()  # the process ends soon; collecting garbage among thousands of models would take longer
    if weights:
        every = _weights(views.weights_rows(names), patterns, exclude, license, lowest, highest)
    else:
        every = [views.model_row(name) for name in names]
    shown_tasks = {row.task for row in every}
    if sort is None and weights:
        first = views.main_metric(next(iter(shown_tasks))) if len(shown_tasks) == 1 else None
        sort = first.key if first and any(first.key in row.metrics for row in every) else "name"
    rows = (views.in_order(every, sort) if sort is not None else every)[:limit]
    if as_json:
        own = [_weights_facts(row, row.weights) for row in rows if row.weights is not None] if weights else []
        output.print_json(own if weights else [_row_facts(row) for row in rows])
    elif rows:
        _print_rows(rows, weights, sort)
    if not rows:
        _say_none(patterns or [])
    elif output.on_terminal() and not as_json:
        noun = "set of weights" if weights else "model"
        of = f" of {output.counted(len(every), noun)}" if len(rows) < len(every) else f" {noun}"
        said = f"{len(rows)}{of}" if len(rows) < len(every) else output.counted(len(rows), noun)
        output.say(output.paint(said, dim=True, err=True), err=True)
    return 0 if rows else 1


def _weights(
    rows: Sequence[Row],
    patterns: Sequence[str] | None,
    exclude: Sequence[str] | None,
    license: Sequence[str] | None,  # noqa: A002
    lowest: Mapping[str, float],
    highest: Mapping[str, float],
) -> list[Row]:
    """The rows whose own weights pass the filters, independent of the model's other weights."""
    found = []
    for row in rows:
        w, names = row.weights, (row.name, row.info.name)
        if w is None or (patterns and not any(matches(name, patterns) for name in names)):
            continue
        if exclude and any(matches(name, exclude) for name in names):
            continue
        if license and not matches(w.license.lower(), [glob.lower() for glob in license]):
            continue
        if meets(w, lowest, highest):
            found.append(row)
    return found


def _print_rows(rows: Sequence[Row], weights: bool, sort: str | None) -> None:
    tasks = {row.task for row in rows}
    measured = [_shown(row, sort) for row in rows]
    titles = {title for title, _, _ in measured if title != output.NONE}
    # One metric is named in the heading; several are named beside each number.
    one = len(titles) == 1
    several = weights and len({data for _, _, data in measured if data}) > 1
    columns = [
        Column("Weights" if weights else "Name", code=True),
        *([] if weights and len(tasks) == 1 else [Column("Task", rank=2)]),
        Column("Params", number=True, rank=1),
        Column("GFLOPs", number=True, rank=3),
        Column(next(iter(titles)), number=True) if one else Column("Value", number=True),
        *([] if one else [Column("Metric")]),
        *([Column("Data", rank=1)] if several else []),
        *([Column("Licence", rank=4), Column("")] if weights else []),
    ]
    table = []
    for row, (title, value, data) in zip(rows, measured, strict=True):
        cells = [row.name]
        if not (weights and len(tasks) == 1):
            cells.append(row.task)
        cells += [output.count(row.num_params), output.gflops(row.weights.gflops if row.weights else None)]
        cells += [output.number(value)] if one else [output.number(value), title]
        if several:
            cells.append(data or output.NONE)
        if weights:
            cells += [row.weights.license if row.weights else output.NONE, "DEFAULT" if row.default else ""]
        table.append(cells)
    print_table(columns, table)


def _shown(row: Row, sort: str | None) -> tuple[str, float | None, str]:
    """The metric of a row, its value and data set: the metric that rows are sorted by, else the first of its task."""
    metric = views.main_metric(row.task)
    if sort is not None and sort not in views.PLAIN:
        known = [m for claims in registry.registry().tasks.values() for spec, _ in claims for m in spec.metrics]
        title = next((m.title for m in known if m.key == sort), sort)
        return title, row.value_of(sort), row.data_of(sort)
    key = metric.key if metric else ""
    value = row.value_of(key)
    return (metric.title if metric and value is not None else output.NONE), value, row.data_of(key)


def _row_facts(row: Row) -> dict[str, Any]:
    info = row.info
    metric = views.main_metric(row.task)
    value = row.value_of(metric.key) if metric else None
    return {
        "name": info.name,
        "task": info.task,
        "tasks": list(info.tasks),
        "plugin": info.plugin,
        "num_params": info.num_params,
        "gflops": row.weights.gflops if row.weights else None,
        "metric": metric.key if metric and value is not None else None,
        "value": value,
        "weights": views.members(info),
        "default_weights": info.default_weights,
    }


def _weights_facts(row: Row, w: Weights) -> dict[str, Any]:
    return {
        "weights": row.name,
        "model": row.info.name,
        "task": row.task,
        "plugin": row.info.plugin,
        "metrics": w.metrics,
        "num_params": row.num_params,
        "gflops": w.gflops,
        "ops_unit": w.ops_unit,
        "file_size": w.file_size,
        "license": w.license,
        "recipe": w.recipe,
        "default": row.default,
    }


def _say_none(patterns: list[str]) -> None:
    if not registry.registry().entries:
        failed = [record.name for record in registry.registry().records if record.state == "failed"]
        why = f" Plugins that failed: {', '.join(failed)}; `zoo doctor` says why." if failed else ""
        kinds = " ".join(p.distribution for p in FIRST_PARTY if p.models and p.namespace is not None)
        output.say(f"No model is installed. Models come in packages.{why}", err=True)
        output.say(f"  pip install zoo-classification   or others of: {kinds}", err=True)
        return
    plain = next((p for p in patterns if not any(c in p for c in "*?[")), None)
    hint = f" Patterns match whole names: try '{plain}*'." if plain else ""
    output.say(f"No model matches.{hint}", err=True)
