"""``zoo list``, ``zoo table`` and ``zoo show``: what there is, without building any of it. torch is not imported."""

from __future__ import annotations

import contextlib
import enum
import gc
import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from zoo import files, registry
from zoo.cli import output, views
from zoo.cli.output import Column
from zoo.cli.views import ModelRow, WeightsTable
from zoo.contract import Weights
from zoo.contract.preprocessing import listed
from zoo.errors import DownloadError, UnknownWeights
from zoo.registry import ModelInfo


class Format(enum.StrEnum):
    text = "text"
    markdown = "markdown"
    json = "json"


def parse_count(text: str) -> float:
    """``30M``, ``1.5B``, ``500k`` or a plain number."""
    match = re.fullmatch(r"\s*([\d_.]+(?:e\d+)?)\s*([kmbg]?)\s*", text, re.IGNORECASE)
    if match:
        with contextlib.suppress(ValueError):  # 1_ or 1.2.3
            return float(match[1]) * {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9}[match[2].lower()]
    raise typer.BadParameter(f"{text!r} is no number of parameters; expected e.g. 30M, 1.5B or 500000.")


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
            raise typer.BadParameter(f"{bound!r} is no bound of a metric; expected METRIC=NUMBER, e.g. acc@1=80.")
    return parsed


# ── zoo list ─────────────────────────────────────────────────────────────────────────────────────────────────────


def list_models(
    patterns: Annotated[
        list[str] | None, typer.Argument(metavar="PATTERN", help="Shell wildcards, quoted: 'resnet*'.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Such as object-detection.")] = None,
    license: Annotated[  # noqa: A002  the field's name
        list[str] | None,
        typer.Option(metavar="GLOB", help="One entry has such a licence: 'bsd-*', unknown; repeatable."),
    ] = None,
    plugin: Annotated[str | None, typer.Option(help="Such as detection.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Wildcards of names to leave out; repeatable.")] = None,
    max_params: Annotated[str | None, typer.Option(metavar="N", help="At most so many parameters: 30M, 1.5B.")] = None,
    min_metric: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=N", help="One entry reaches it: acc@1=80; repeatable.")
    ] = None,
    max_metric: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=N", help="The same, where less is better: epe=2.")
    ] = None,
    has_weights: Annotated[
        bool | None, typer.Option("--has-weights/--no-weights", help="Whether any weights are published.")
    ] = None,
    can: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Was measured and works: onnx, compile, int8; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> int:
    """Models that match patterns and filters.

    The GFLOPs and the metric (the first of the model's task) are those of its DEFAULT weights. Exit status, as grep's:
    0 if there are any, 1 if no model matches.
    """
    names = registry.list_models(
        include=patterns or None,
        exclude=exclude or None,
        task=task,
        plugin=plugin,
        max_params=parse_count(max_params) if max_params is not None else None,
        min_metrics=parse_metrics(min_metric or []),
        max_metrics=parse_metrics(max_metric or []),
        has_weights=has_weights,
        license=license or None,
        can=can or None,
    )
    gc.freeze()  # the process ends soon: walking through thousands of models to free nothing would take longer
    rows = [views.model_row(name) for name in names]
    if as_json:
        output.print_json([_row_facts(row) for row in rows])
    elif rows:
        _print_rows(rows)
    if not rows:
        _say_none(patterns or [])
    elif output.on_terminal() and not as_json:
        output.say(output.paint(f"{len(rows)} model{'s' if len(rows) > 1 else ''}", dim=True, err=True), err=True)
    return 0 if rows else 1


def _print_rows(rows: list[ModelRow]) -> None:
    titles = {row.metric.title for row in rows if row.metric}
    one = len({row.info.task for row in rows}) == 1 and len(titles) == 1
    columns = [
        Column("Name", code=True),
        Column("Task"),
        Column("Params", number=True),
        Column("GFLOPs", number=True),
        # Numbers of one kind are told apart by the heading; of several, by the word beside each.
        Column(next(iter(titles)), number=True) if one else Column("Metric"),
    ]
    table = []
    for row in rows:
        value = output.number(row.value)
        cell = value if one or row.metric is None else f"{value} {row.metric.title}"
        table.append([row.info.name, row.info.task, output.count(row.info.num_params), output.gflops(row.gflops), cell])
    output.print_table(columns, table)


def _row_facts(row: ModelRow) -> dict[str, Any]:
    info = row.info
    return {
        "name": info.name,
        "task": info.task,
        "tasks": list(info.tasks),
        "plugin": info.plugin,
        "num_params": info.num_params,
        "gflops": row.gflops,
        "metric": row.metric.key if row.metric else None,
        "value": row.value,
        "weights": _members(info),
        "default_weights": info.default_weights,
    }


def _members(info: ModelInfo) -> list[str]:
    return [name for name in info.weights if name != "DEFAULT"]


def _say_none(patterns: list[str]) -> None:
    plain = next((p for p in patterns if not any(c in p for c in "*?[")), None)
    hint = f" Patterns match whole names: try '{plain}*'." if plain else ""
    output.say(f"No model matches.{hint}", err=True)


# ── zoo table ────────────────────────────────────────────────────────────────────────────────────────────────────


def table(
    name: Annotated[str, typer.Argument(metavar="TASK", help="A task (image-classification) or a plugin's name.")],
    plugin: Annotated[str | None, typer.Option(help="Only this plugin's weights.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> int:
    """All weights of a task, with their published numbers.

    A model of several tasks is in the table of its main one. The name of a plugin gives a table for each of its tasks.
    Published times and memory follow in a table of their own.
    On a terminal that is too narrow for URLs, "link" is to be clicked on.
    """
    tables = views.weights_tables(name, plugin=plugin)
    if form is Format.json:
        output.print_json([entry for table in tables for entry in _table_facts(table)])
        return 0
    for i, one in enumerate(tables):
        if len(tables) > 1:
            heading = (
                output.Painted(f"## {one.task}\n") if form is Format.markdown else output.paint(one.task, bold=True)
            )
            output.say(output.Painted("\n" * bool(i)), heading, sep="")
        columns = [
            Column("Weight", code=True),
            *(Column(metric.title, number=True) for metric in one.metrics),
            Column("Params", number=True),
            Column(" / ".join(dict.fromkeys(e.value.ops_unit for e in one.entries)) or "GFLOPS", number=True),
            Column("Recipe", link=True),
            Column("Licence"),
        ]
        rows = []
        for member in one.entries:
            w: Weights = member.value
            metrics = [" / ".join(map(output.number, registry.metric(w, m.key))) or output.NONE for m in one.metrics]
            sizes = (output.count(w.num_params), output.gflops(w.gflops))
            rows.append([repr(member), *metrics, *sizes, w.recipe or output.NONE, w.license])
        _print_as(form, columns, rows)
        _print_runtimes(form, one)
    return 0


def _print_as(form: Format, columns: list[Column], rows: list[list[str]]) -> None:
    if form is Format.markdown:
        output.print_markdown(columns, rows)
    else:
        output.print_table(columns, rows)


def _print_runtimes(form: Format, one: WeightsTable) -> None:
    """The published times and memory of a task's models, where there are any: a table of its own."""
    found = {repr(member): facts for member in one.entries if (facts := _runtime(member.value))}
    if not found:
        return
    keys = list(dict.fromkeys(key for facts in found.values() for key in facts))
    numbers = {key for key in keys if any(isinstance(facts.get(key), int | float) for facts in found.values())}
    columns = [Column("Published runtime", code=True), *(Column(key, number=key in numbers) for key in keys)]
    rows = [[name, *(str(facts.get(key, output.NONE)) for key in keys)] for name, facts in found.items()]
    print()
    _print_as(form, columns, rows)


def _runtime(w: Weights) -> Mapping[str, Any]:
    facts = w.extra.get("runtime")
    return facts if isinstance(facts, Mapping) else {}


def _table_facts(one: WeightsTable) -> list[dict[str, Any]]:
    return [
        {
            "weights": repr(member),
            "task": one.task,
            "metrics": member.value.metrics,
            "num_params": member.value.num_params,
            "gflops": member.value.gflops,
            "ops_unit": member.value.ops_unit,
            "recipe": member.value.recipe,
            "license": member.value.license,
            "runtime": _runtime(member.value) or None,
        }
        for member in one.entries
    ]


# ── zoo show ─────────────────────────────────────────────────────────────────────────────────────────────────────


def show(
    model: Annotated[str, typer.Argument(help="Such as resnet50; or a saved model's file, folder or repository.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> int:
    """A model and its weights in every detail.

    Of each entry the numbers, preprocessing, recipe and licence, and where it is in the cache.
    """
    info = registry.model_info(model)
    try:
        enum_name = registry.get_model_weights(info.full_name).__name__ if info.source is None else ""
    except UnknownWeights:
        enum_name = ""
    if as_json:
        output.print_json(_model_facts(info, enum_name))
        return 0
    output.say(output.paint(info.name, bold=True))
    where = f" ({info.distribution} {info.version})" if info.distribution else ""
    output.print_facts(
        [
            ("task", ", ".join(info.tasks)),
            ("plugin", f"{info.plugin}{where}"),
            ("full name", info.full_name if info.full_name != f"{info.plugin}/{info.name}" else ""),
            ("parameters", f"{info.num_params:,}" if info.num_params is not None else ""),
            ("paper", info.paper or ""),
            ("input", listed(info.input)),
            ("builder" if info.exported is None else "opened by", info.builder),
            ("saved in" if info.exported is None else "exported to", info.source or ""),
            *views.export_lines(info.exported or {}),
            *_capability_lines(info),
        ]
    )
    if not _members(info):
        print("\nNo weights are published for it.")
    for name in _members(info):
        default = "  DEFAULT" if name == info.default_weights else ""
        title = output.paint(f"{enum_name}.{name}".lstrip("."), "cyan", bold=True)
        print()
        output.say(title, output.paint(default, "green"), sep="")
        output.print_facts(_weights_lines(info.weights[name], info))
    return 0


def _capability_lines(info: ModelInfo) -> list[tuple[str, str]]:
    """What was measured to work, what not, and with which torch."""
    table = registry.capabilities(info.full_name) if info.source is None else {}
    cells: Mapping[str, Any] = table.get("cells", {})
    return [
        ("works", ", ".join(cell for cell, result in cells.items() if result["works"])),
        (
            "does not",
            "\n".join(f"{cell}: {r.get('note', 'no reason given')}" for cell, r in cells.items() if not r["works"]),
        ),
        ("measured", f"torch {table['torch']}, {table['device']}, {table['date']}" if cells else ""),
    ]


def _weights_lines(w: Weights, info: ModelInfo) -> list[tuple[str, str]]:
    metrics = [
        f"{data}: {', '.join(f'{name} {output.number(value)}' for name, value in values.items())}"
        for data, values in w.metrics.items()
    ]
    labels = w.read_categories()
    # What the number of labels says already is left out.
    config = {k: v for k, v in w.config.items() if (k, v) != ("num_classes", len(labels))}
    few = ", ".join(labels[:3]) + (", …" if len(labels) > 3 else "")
    return [
        ("about", w.docs),
        ("metrics", "\n".join(metrics)),
        ("parameters", f"{w.num_params:,}" if w.num_params not in (None, info.num_params) else ""),
        ("GFLOPs" if w.ops_unit == "GFLOPS" else w.ops_unit, output.gflops(w.gflops) if w.gflops is not None else ""),
        ("labels", f"{len(labels)} ({few})" if labels else ""),
        ("preprocessing", registry.in_words(w.transforms) if w.transforms else ""),
        ("smallest input", f"{w.min_size[0]} × {w.min_size[1]}" if w.min_size and w.min_size != (1, 1) else ""),
        ("built with", listed(config)),
        ("recipe", w.recipe or ""),
        ("published runtime", listed(_runtime(w))),
        ("licence", "\n".join(x for x in (w.license, w.extra.get("license_source")) if x)),
        ("file", files.redacted(w.url)),
        ("size", f"{w.file_size:.1f} MB" if w.file_size is not None else ""),
        ("in the cache", _cached(w.url) or "no"),
    ]


def _model_facts(info: ModelInfo, enum_name: str) -> dict[str, Any]:
    facts = {field: getattr(info, field) for field in info.__dataclass_fields__}
    facts["capabilities"] = dict(registry.capabilities(info.full_name)) if info.source is None else {}
    facts["weights"] = {name: _weights_facts(f"{enum_name}.{name}", info.weights[name]) for name in _members(info)}
    return facts


def _weights_facts(name: str, w: Weights) -> dict[str, Any]:
    facts: dict[str, Any] = {field: getattr(w, field) for field in w.__dataclass_fields__}
    preset = w.transforms
    facts["transforms"] = preset and {
        "target": preset.target,
        "arguments": preset.arguments,
        "description": registry.in_words(preset),
    }
    return {
        "name": name,
        **facts,
        "url": files.redacted(w.url),
        "categories": w.read_categories(),
        "cached": _cached(w.url),
    }


def _cached(url: str) -> str | None:
    try:
        path = files.cached_path(url)
    except DownloadError as e:
        return f"cannot be: {e}"
    return str(path) if path else None
