"""``zoo doctor``: what is installed, what is wrong, and where files are. torch is not imported."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

import zoo
from zoo import compat, files, registry
from zoo.cli import output
from zoo.registry import PluginRecord, discovery

_VARIABLES = re.compile(r"ZOO_\w+|HF_\w+|HUGGINGFACE_\w+|TORCH_HOME|TORCH_MODEL_ZOO|XDG_CACHE_HOME|HTTPS?_PROXY", re.I)
TOLD = 8  # shared names of the same plugins that are listed one by one
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD", re.IGNORECASE)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")] = False,
) -> int:
    """Report what is installed, and what is wrong with it.

    The report lists versions, plugins and their errors, engines, the cache, and the environment variables that are set.
    The exit status is 1 if a plugin failed.

    Examples:
        zoo doctor
        zoo doctor --verbose
    """
    # Discovered again: this report replaces the warnings, and the error that ZOO_STRICT=1 turns them into.
    records = discovery.Plugins().records
    for record in records:
        discovery.check_builders(record)
    found = registry.Registry(records, {})
    conflicts = registry.name_conflicts(found)
    facts = {
        "versions": versions(),
        "torchvision": compat.misfit(),
        "plugins": [_plugin_facts(record) for record in records],
        "engines": engine_facts(found),
        "conflicts": [asdict(conflict) for conflict in conflicts],
        "cache": cache_facts(),
        "environment": environment(os.environ),
    }
    if as_json:
        output.print_json(facts)
    else:
        _print(facts, verbose)
    return int(any(record.state == "failed" for record in records))


def versions() -> dict[str, str]:
    """The versions of zoo, Python, the system and zoo's dependencies, from package metadata; nothing is imported."""
    found = {"zoo": zoo.__version__, "python": f"{platform.python_version()} ({sys.executable})"}
    found["system"] = f"{platform.system()} {platform.release()}, {platform.machine()}"
    for name in ("torch", "torchvision", "pillow", "numpy", "huggingface-hub", "safetensors"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def engine_facts(found: registry.Registry) -> list[dict[str, Any]]:
    """The engines, and the modules that each one lacks."""
    return [
        {
            "name": name,
            "summary": engine.summary,
            "plugin": record.name if record is not None else None,
            "missing": missing,
            "install": (engine.install or " ".join(missing)) if missing else None,
        }
        for name, engine, record in registry.engines(found)
        for missing in [registry.missing_for(engine)]
    ]


def cache_facts() -> dict[str, Any]:
    """The cache: where it is, whether it is writable, its contents, and the space that is left."""
    folder = files.cache_dir()
    facts: dict[str, Any] = {"path": str(folder), "exists": False, "writable": False, "offline": files.offline()}
    try:
        facts["exists"] = folder.is_dir()
        there = next(p for p in (folder, *folder.parents) if p.exists())
        found = [p for p in folder.rglob("*") if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
        found = [p for p in found if p.is_file()]
        return facts | {
            "writable": there.is_dir() and os.access(there, os.W_OK | os.X_OK),
            "free": shutil.disk_usage(there).free,
            "files": sum(p.suffix != ".part" for p in found),
            "size": sum(p.stat().st_size for p in found),
            "unfinished": [files.redacted(p) for p in found if p.suffix == ".part"],
        }
    except OSError as e:  # the report also describes a folder that cannot be read
        return facts | {"problem": str(e)}


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that zoo reads and that are set, without the secrets in them."""
    return {
        name: "(set)" if _SECRET.search(name) else files.redacted(value)
        for name, value in sorted(variables.items())
        if _VARIABLES.fullmatch(name)
    }


def _plugin_facts(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "state": record.state,
        "stage": record.stage,
        "distribution": record.distribution,
        "version": record.version,
        "module": record.target,
        "models": len(record.manifest.models) if record.manifest else 0,
        "tasks": [task.name for task in record.manifest.tasks] if record.manifest else [],
        "seconds": round(record.seconds, 4),
        "complaint": files.redacted(record.complaint),
        "notes": list(record.manifest.notes) if record.manifest else [],
        "error": files.redacted(record.reason) or None,
        "traceback": files.redacted(record.traceback) or None,
    }


def _print(facts: dict[str, Any], verbose: bool) -> None:
    _heading("Versions")
    torch = facts["versions"]["torch"]
    unsure = " (not imported, so a GPU was not looked for)" if torch != "not installed" else ""
    output.print_facts(list({**facts["versions"], "torch": torch + unsure}.items()))

    if facts["torchvision"]:
        output.say(
            "  ",
            output.paint("torchvision", "red"),
            f": {facts['torchvision']}. Programs that import it fail; "
            "`zoo run PROGRAM` and zoo.compat.torchvision_operators() use zoo's operators instead.",
            sep="",
        )

    _heading("Plugins", "\n")
    if not facts["plugins"]:
        output.say("  none is installed: pip install zoo-classification")
    for plugin in facts["plugins"]:
        _print_plugin(plugin, verbose)
    _print_conflicts(facts["conflicts"])

    _heading("Engines", "\n")
    output.print_facts(
        [
            (
                engine["name"],
                f"needs {' and '.join(engine['missing'])}: pip install '{engine['install']}'"
                if engine["missing"]
                else engine["summary"] or "ready",
            )
            for engine in facts["engines"]
        ]
    )
    _heading("Cache", "\n")
    about = facts["cache"]
    offline = ", offline: nothing is fetched" if about["offline"] else ""
    state = f"writable{offline}" if about["writable"] else output.paint(f"not writable{offline}", "red")
    output.print_facts(
        [
            ("folder", about["path"] + ("" if about["exists"] else " (does not exist yet)")),
            ("state", state),
            ("problem", about.get("problem", "")),
            ("files", f"{about['files']}, {output.megabytes(about['size'])}" if "files" in about else ""),
            ("unfinished", "\n".join(about.get("unfinished", []))),
            ("free", output.megabytes(about["free"]) if "free" in about else ""),
        ]
    )
    if facts["environment"]:
        _heading("Environment", "\n")
        output.print_facts(list(facts["environment"].items()))

    failed = [plugin["name"] for plugin in facts["plugins"] if plugin["state"] == "failed"]
    if failed:
        more = "" if verbose else " `zoo doctor --verbose` shows tracebacks."
        print()
        output.say(output.paint("Failed", "red", bold=True), f": {', '.join(failed)}.{more}", sep="")


def _print_conflicts(conflicts: list[dict[str, Any]]) -> None:
    """Names that several plugins have. Where the same plugins share many, their number and the first ones."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for one in conflicts:
        plugins = tuple(sorted(_plugin(claim) for claim in one["claims"]))
        groups.setdefault((one["alike"], plugins, _plugin(one["owner"]) if one["owner"] else None), []).append(one)
    for (alike, plugins, owner), alikes in groups.items():
        what = output.paint("look alike" if alike else "shared name", "yellow")
        if len(alikes) > TOLD:
            names = ", ".join(one["name"] for one in alikes[:3])
            means = f"they mean {owner}'s" if owner else "they mean none of them"
            who = " and ".join(dict.fromkeys(plugins))
            of = f"of {who}: {names} and {len(alikes) - 3} more"
            what = output.paint(f"{len(alikes)} {'names that look alike' if alike else 'shared names'}", "yellow")
            other = next(claim for claim in alikes[0]["claims"] if claim != alikes[0]["owner"])
            output.say(" ", what, f"{of}; {means}, and {other} is available by its full name")
            continue
        for one in alikes:
            means = f"means {one['owner']}" if one["owner"] else "means none of them: use the full names"
            output.say(" ", what, f"{one['name']}: {', '.join(one['claims'])}; {means}")


def _plugin(claim: str) -> str:
    return re.split("[/:]", claim, maxsplit=1)[0]


def _print_plugin(plugin: dict[str, Any], verbose: bool) -> None:
    colour = {"ready": "green", "failed": "red"}.get(plugin["state"], "yellow")
    source = f"{plugin['distribution']} {plugin['version']}" if plugin["distribution"] else ""
    found = (
        f"{output.counted(plugin['models'], 'model')}, {plugin['seconds'] * 1000:.0f} ms"
        if plugin["state"] == "ready"
        else ""
    )
    facts = "  ".join(x for x in (source, found) if x)
    output.say("", output.paint(plugin["state"], colour), output.paint(plugin["name"]), facts, sep="  ")
    output.print_facts(
        [
            ("complaint", plugin["complaint"]),
            ("note", "\n".join(plugin["notes"])),
            ("stage", plugin["stage"] if plugin["error"] else ""),
            ("module", plugin["module"] if plugin["error"] else ""),
            ("error", plugin["error"] or ""),
            ("traceback", (plugin["traceback"] or "") if verbose else ""),
        ],
        indent="    ",
    )


def _heading(text: str, before: str = "") -> None:
    output.say(output.Painted(before), output.paint(text, bold=True), sep="")
