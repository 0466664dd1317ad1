"""``zoo tasks`` and ``zoo plugins``: what is installed, and what else can be installed. torch is not imported."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zoo import registry
from zoo.cli import output
from zoo.cli.tables import Column, print_table
from zoo.errors import NoDefault, UnknownTask
from zoo.registry.first_party import CATALOGUES, FIRST_PARTY, TASKS_OF_CATALOGUES

Json = Annotated[bool, typer.Option("--json", help="Print one JSON array.")]


def tasks(as_json: Json = False) -> int:
    """List the tasks: what models do, how they are measured, and the default model.

    Examples:
        zoo tasks
        zoo list --task semantic-segmentation
        zoo predict street.jpg --task object-detection
    """
    facts = task_facts()
    if as_json:
        output.print_json(facts)
        return 0
    columns = [
        Column("Task", code=True),
        Column("Models", number=True),
        Column("Default", rank=1),
        Column("Metrics", rank=2),
        Column("Options", rank=3),
    ]
    rows = [
        [
            fact["name"],
            str(fact["models"]),
            fact["default"] or output.NONE,
            ", ".join(fact["metrics"]) or output.NONE,
            " ".join(f"--{option.replace('_', '-')}" for option in fact["options"]) or output.NONE,
        ]
        for fact in facts
        if fact["install"] is None
    ]
    if rows:
        print_table(columns, rows)
    _print_missing([(fact["name"], fact["install"]) for fact in facts if fact["install"]], bool(rows))
    return 0


def task_facts() -> list[dict[str, Any]]:
    """Every installed task, and the other tasks of this repository's packages with what to install."""
    now = registry.registry()
    names = dict.fromkeys([*now.tasks, *(task for entry in now.entries.values() for task in entry.spec.tasks)])
    there = {record.name for record in now.records}
    others = {task: p.distribution for p in FIRST_PARTY for task in p.tasks if p.plugin not in there}
    others |= {task: CATALOGUES[plugin] for task, plugin in TASKS_OF_CATALOGUES.items() if plugin not in there}
    facts = []
    for name in sorted(names):
        models = sum(name in entry.spec.tasks for entry in now.entries.values())
        specs = [spec for spec, _ in now.tasks.get(name, ())]
        facts.append(
            {
                "name": name,
                "models": models,
                "default": _default(name),
                "metrics": [metric.title for metric in specs[0].metrics] if specs else [],
                "options": list(specs[0].options_of("predict")) if specs else [],
                "verbs": sorted({verb for spec in specs for verb in spec.provides}),
                "plugins": [record.name for _, record in now.tasks.get(name, ())],
                "install": None if models else others.get(name),  # a task may come without a model
            }
        )
    for name, distribution in sorted(others.items()):
        if name not in names:
            empty: dict[str, Any] = {"metrics": [], "options": [], "verbs": [], "plugins": []}
            facts.append({"name": name, "models": 0, "default": None, **empty, "install": distribution})
    return facts


def _default(task: str) -> str | None:
    try:
        return registry.default_model(task).name
    except (NoDefault, UnknownTask):
        return None


def plugins(as_json: Json = False) -> int:
    """List the installed plugins and their contents, and what else can be installed.

    `zoo doctor` explains those that failed.

    Examples:
        zoo plugins
        zoo list --plugin detection
    """
    facts = plugin_facts()
    if as_json:
        output.print_json(facts)
        return 0
    columns = [
        Column("Plugin", code=True),
        Column("State"),
        Column("Models", number=True),
        Column("Package", rank=1),
        Column("Commands", rank=2),
        Column("Engines", rank=3),
    ]
    rows = [
        [
            fact["name"],
            fact["state"],
            str(fact["models"]),
            " ".join(filter(None, (fact["distribution"], fact["version"]))) or output.NONE,
            " ".join(fact["commands"]) or output.NONE,
            " ".join(fact["engines"]) or output.NONE,
        ]
        for fact in facts
        if fact["state"] != "not installed"
    ]
    if rows:
        print_table(columns, rows)
    missing = [(fact["name"], fact["distribution"]) for fact in facts if fact["state"] == "not installed"]
    _print_missing(missing, bool(rows))
    return 0


def plugin_facts() -> list[dict[str, Any]]:
    """Every installed plugin, and the other plugins of this repository."""
    facts: list[dict[str, Any]] = []
    for record in registry.plugins():
        manifest = record.manifest
        facts.append(
            {
                "name": record.name,
                "state": record.state,
                "distribution": record.distribution,
                "version": record.version,
                "models": len(manifest.models) if manifest else 0,
                "tasks": [task.name for task in manifest.tasks] if manifest else [],
                "commands": [command.name for command in manifest.commands] if manifest else [],
                "engines": [engine.name for engine in manifest.engines] if manifest else [],
            }
        )
    there = {fact["name"] for fact in facts}
    ours = {p.plugin: p.distribution for p in FIRST_PARTY} | CATALOGUES
    nothing: dict[str, Any] = {"version": None, "models": 0, "tasks": [], "commands": [], "engines": []}
    facts += [
        {"name": name, "state": "not installed", "distribution": distribution, **nothing}
        for name, distribution in ours.items()
        if name not in there
    ]
    return facts


def _print_missing(missing: list[tuple[str, str]], after: bool) -> None:
    if not missing:
        return
    if after:
        print()
    print("Not installed:")
    output.print_facts([(name, f"pip install {distribution}") for name, distribution in missing])
