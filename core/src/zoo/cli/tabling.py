"""``zoo table``: all weights of a task with their published numbers. torch is not imported."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from zoo import registry
from zoo.cli import output, views
from zoo.cli.tables import Column, print_markdown, print_table
from zoo.cli.views import WeightsTable
from zoo.contract import Weights, WeightsEnum
from zoo.registry.lookup import info_of


class Format(enum.StrEnum):
    text = "text"
    markdown = "markdown"
    json = "json"


def table(
    name: Annotated[
        str, typer.Argument(metavar="TASK", help="A task (image-classification), or a plugin (detection).")
    ],
    plugin: Annotated[str | None, typer.Option(metavar="PLUGIN", help="Show only this plugin's weights.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Sort by a metric (the best first), name, params, gflops or size; by default by the first metric, and "
            "in Markdown and JSON by name.",
        ),
    ] = None,
    recipes: Annotated[bool, typer.Option("--recipes", help="Also show the URL of each recipe.")] = False,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> int:
    """Show all weights of a task with their published numbers.

    A model with several tasks is in the table of its main task. The name of a plugin gives a table for each of its
    tasks. Published times and memory follow in a separate table. Markdown has the recipes as links, JSON has
    everything.

    Examples:
        zoo table image-classification
        zoo table detection --sort params
        zoo table optical-flow --format markdown
    """
    tables = views.weights_tables(name, plugin=plugin)
    if form is Format.json:
        output.print_json([_facts(one.task, member) for one in tables for member in _in_order(one, sort, form)])
        return 0
    for i, one in enumerate(tables):
        if len(tables) > 1:
            heading = (
                output.Painted(f"## {one.task}\n") if form is Format.markdown else output.paint(one.task, bold=True)
            )
            output.say(output.Painted("\n" * bool(i)), heading, sep="")
        markdown = form is Format.markdown
        links = [Column("Recipe", link=True, rank=5)] if markdown or recipes else []
        several = not markdown and len({next(iter(m.value.metrics), "") for m in one.members} - {""}) > 1
        columns = [
            Column("Weight", code=True),
            *(Column(metric.title, number=True, rank=0 if n == 0 else 2) for n, metric in enumerate(one.metrics)),
            Column("Params", number=True, rank=1),
            Column(views.ops_title(one.members), number=True, rank=3),
            *([Column("Data", rank=1)] if several else []),
            *links,
            Column("Licence", rank=4),
            *([] if markdown else [Column("")]),
        ]
        rows = []
        for member in _in_order(one, sort, form):
            w: Weights = member.value
            metrics = [
                " / ".join(map(output.number, registry.metric(w, m.key).values())) or output.NONE for m in one.metrics
            ]
            sizes = (output.count(w.num_params), output.gflops(w.gflops))
            recipe = [w.recipe or output.NONE] if links else []
            mark = [] if markdown else ["DEFAULT" if views.is_default(member) else ""]
            data = [" / ".join(w.metrics) or output.NONE] if several else []
            rows.append([repr(member), *metrics, *sizes, *data, *recipe, w.license, *mark])
        (print_markdown if markdown else print_table)(columns, rows)
        _print_runtimes(form, one)
    return 0


def _in_order(one: WeightsTable, sort: str | None, form: Format) -> list[WeightsEnum]:
    """Text is sorted by the metric, for readers; Markdown and JSON, for programs, by name."""
    key = sort or (one.metrics[0].key if form is Format.text and one.metrics else None)
    if key is None:
        return list(one.members)
    now = registry.registry()
    by_enum = {entry.spec.weights: entry for entry in now.entries.values()}
    rows = {repr(m): m for m in one.members}
    every = [views.Row(repr(m), one.task, info_of(now, by_enum[type(m)]), m.value) for m in one.members]
    if sort is None and not any(key in row.metrics for row in every):
        return list(one.members)
    return [rows[row.name] for row in views.in_order(every, key)]


def _print_runtimes(form: Format, one: WeightsTable) -> None:
    """A separate table of the published times and memory of a task's models, if there are any."""
    found = {repr(member): facts for member in one.members if (facts := views.runtime(member.value))}
    if not found:
        return
    keys = list(dict.fromkeys(key for facts in found.values() for key in facts))
    numbers = {key for key in keys if any(isinstance(facts.get(key), int | float) for facts in found.values())}
    ranked = [
        Column(key, number=key in numbers, rank=1 + (key not in numbers) * len(keys) + n) for n, key in enumerate(keys)
    ]
    columns = [Column("Published runtime", code=True), *ranked]
    rows = [[name, *(str(facts.get(key, output.NONE)) for key in keys)] for name, facts in found.items()]
    print()
    (print_markdown if form is Format.markdown else print_table)(columns, rows)


def _facts(task: str, member: WeightsEnum) -> dict[str, Any]:
    return {
        "weights": repr(member),
        "task": task,
        "metrics": member.value.metrics,
        "num_params": member.value.num_params,
        "gflops": member.value.gflops,
        "ops_unit": member.value.ops_unit,
        "recipe": member.value.recipe,
        "license": member.value.license,
        "runtime": views.runtime(member.value) or None,
    }
