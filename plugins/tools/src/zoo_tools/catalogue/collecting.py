"""The content of ``catalogue.json``, read from the manifests of installed plugins. No torch."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import zoo
from zoo import registry
from zoo.contract import CAPABILITIES, Metric, TaskSpec, Weights
from zoo.errors import harmless, told
from zoo.files import redacted
from zoo.registry import Entry, PluginRecord, Registry
from zoo_tools.catalogue.speeds import Speeds

FORMAT = 1
_SLUG = re.compile(r"[^A-Za-z0-9_.-]+")
Told = Callable[[str], None]


def collect(speeds: Speeds | None = None, told: Told = print) -> dict[str, Any]:
    """All facts of the catalogue as JSON values: plugins, tasks, models with their weights, capabilities, speeds.

    Args:
        speeds: measurements of ``zoo benchmark``.
        told: called with a message for each model that is left out because its facts cannot be read.

    >>> collect()["models"][0]["name"]
    """
    now = registry.registry()
    paths = Paths()
    models = []
    for entry in sorted(now.entries.values(), key=lambda e: (not e.plugin.first_party, e.plugin.name, e.spec.name)):
        try:
            facts = _model(now, entry, speeds or Speeds())
        except Exception as e:  # noqa: BLE001  errors of one plugin must not affect others
            told(f"{entry.full_name} is left out: {_reason(e)}")
            continue
        models.append({**facts, "page": paths.take("models", entry.plugin.name, entry.spec.name)})
    tasks = [_task(now, name, models, paths) for name in _tasks(now, models)]
    plugins = [_plugin(record, models, paths) for record in now.records]
    _one_spelling_of_licences(models)
    setups = speeds.setups if speeds else []
    found: dict[str, Any] = plain(
        {
            "format": FORMAT,
            "zoo_core": zoo.__version__,
            "capabilities": dict(CAPABILITIES),
            "setups": setups,
            "plugins": plugins,
            "tasks": tasks,
            "models": models,
        }
    )
    return found


def plain(value: Any) -> Any:
    """Convert to JSON values: NaN and infinity become null, control characters are removed, other types become text."""
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return harmless(value)


class Paths:
    """Paths of pages: unique file names for any plugin names, also on case-insensitive file systems."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, *parts: str) -> str:
        path = "/".join(_SLUG.sub("-", part).lstrip(".-") or "x" for part in parts)
        chosen, n = path, 1
        while chosen.lower() in self._taken:
            n += 1
            chosen = f"{path}-{n}"
        self._taken.add(chosen.lower())
        return f"{chosen}.html"


def _reason(e: BaseException) -> str:
    return harmless(told(e), line=True)


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _model(now: Registry, entry: Entry, speeds: Speeds) -> dict[str, Any]:
    spec = entry.spec
    members = spec.weights.__members__ if spec.weights else {}
    default = members.get("DEFAULT")
    name = now.short_name(entry)
    table = registry.capabilities(entry.full_name)
    weights = [
        _weights(f"{name}.{tag}", tag, member.value, member is default)
        for tag, member in members.items()
        if tag == member.name
    ]
    paper = spec.paper or next(
        (str(m.value.extra["paper"]) for m in members.values() if m.value.extra.get("paper")), ""
    )
    return {
        "name": name,
        "full_name": entry.full_name,
        "plugin": entry.plugin.name,
        "tasks": list(spec.tasks),
        "family": spec.family or spec.builder.partition(":")[0].rpartition(".")[2],
        "paper": _paper(paper),
        "num_params": spec.parameters,
        "builder": spec.builder,
        "input": dict(spec.input),
        "enum": spec.weights_name,
        "weights": weights,
        "capabilities": {key: table[key] for key in ("torch", "device", "date", "inputs", "cells") if key in table}
        or None,
        "speeds": speeds.of(name, entry.full_name),
        "stages": None,
        "pictures": [],
    }


def _paper(text: str) -> dict[str, str] | None:
    """Title and link of a paper, in any of the forms that plugins use."""
    found = re.search(r"https?://[^\s<>\"')\]]+", text)
    title = re.sub(r"\s*[<(\[]?\s*https?://[^\s<>\"')\]]+\s*[>)\]]?\s*_*", "", text).strip(" `_:,")
    if not (title or found):
        return None
    link = found.group(0) if found else ""
    return {"title": title or link, "url": link}


def _weights(name: str, tag: str, w: Weights, default: bool) -> dict[str, Any]:
    labels = w.read_categories() if w.categories is not None else []
    return {
        "name": name,
        "tag": tag,
        "default": default,
        "url": redacted(w.url),
        "num_params": w.num_params,
        "gflops": w.gflops,
        "ops_unit": "GFLOPs" if w.ops_unit == "GFLOPS" else w.ops_unit,
        "file_size": w.file_size,
        "metrics": {data: dict(values) for data, values in w.metrics.items()},
        "license": w.license,
        "license_source": w.extra.get("license_source"),
        "recipe": w.recipe,
        "docs": w.docs,
        "min_size": list(w.min_size) if w.min_size else None,
        "categories": {"count": len(labels), "first": labels[:5]} if labels else None,
        "preprocessing": registry.in_words(w.transforms) if w.transforms else None,
        "config": {k: v for k, v in w.config.items() if (k, v) != ("num_classes", len(labels))},
        "runtime": w.extra.get("runtime") if isinstance(w.extra.get("runtime"), Mapping) else None,
        "sha256": w.sha256,
    }


def _one_spelling_of_licences(models: Iterable[Mapping[str, Any]]) -> None:
    """Unify spellings such as ``apache-2.0`` and ``Apache-2.0``; the most frequent one is used."""
    every = [w for model in models for w in model["weights"]]
    counts = Counter(str(w["license"]) for w in every)
    chosen: dict[str, str] = {}
    for text, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        chosen.setdefault(text.lower(), text)
    for w in every:
        w["license"] = chosen[str(w["license"]).lower()]


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tasks(now: Registry, models: list[dict[str, Any]]) -> list[str]:
    """All tasks that have a model or a description; those that are the main task of most weights come first."""
    counts: Counter[str] = Counter()
    for model in models:
        counts[model["tasks"][0]] += len(model["weights"]) + 1
        counts.update(dict.fromkeys(model["tasks"][1:], 0))
    counts.update(dict.fromkeys(now.tasks, 0))
    return sorted(counts, key=lambda name: (-counts[name], name))


def _task(now: Registry, name: str, models: list[dict[str, Any]], paths: Paths) -> dict[str, Any]:
    described = now.tasks.get(name, ())
    spec: TaskSpec | None = described[0][0] if described else None
    metrics = spec.metrics if spec else ()
    if not metrics:  # use the metrics that its weights have
        own = (w for m in models if m["tasks"][0] == name for w in m["weights"])
        keys = dict.fromkeys(key for w in own for values in w["metrics"].values() for key in values)
        metrics = tuple(Metric(key, key) for key in keys)
    added = [verb for (task, verb) in now.provides if task == name]
    return {
        "name": name,
        "page": paths.take("tasks", name),
        "plugins": [record.name for _, record in described],
        "metrics": [
            {
                "key": m.key,
                "title": m.title,
                "higher_is_better": m.higher_is_better,
                "data": _main_data(models, name, m),
            }
            for m in metrics
        ],
        "options": [
            {"name": o.name, "type": o.type.__name__, "default": o.default, "help": o.help, "verb": o.verb}
            for o in (spec.options if spec else ())
        ],
        "verbs": sorted({*(spec.provides if spec else ()), *added}),
        "suffixes": list(spec.suffixes) if spec else [],
        "inputs_per_sample": spec.inputs_per_sample if spec else 1,
        "models": sum(name in m["tasks"] for m in models),
        "weights": sum(len(m["weights"]) for m in models if name in m["tasks"]),
    }


def _main_data(models: list[dict[str, Any]], task: str, metric: Metric) -> str | None:
    """The data set on which most of a task's weights were measured; metrics on other data sets are not comparable."""
    own = (w for model in models if model["tasks"][0] == task for w in model["weights"])
    counts = Counter(data for w in own for data, values in w["metrics"].items() if values.get(metric.key) is not None)
    return min(counts, key=lambda data: (-counts[data], data)) if counts else None


# ── plugins ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _plugin(record: PluginRecord, models: list[dict[str, Any]], paths: Paths) -> dict[str, Any]:
    own = [model for model in models if model["plugin"] == record.name]
    manifest = record.manifest
    return {
        "name": record.name,
        "page": paths.take("plugins", record.name),
        "distribution": record.distribution,
        "version": record.version,
        "state": record.state,
        "first_party": record.first_party,
        "models": len(own),
        "weights": sum(len(model["weights"]) for model in own),
        "tasks": sorted({task for model in own for task in model["tasks"]}),
        "brings_tasks": [task.name for task in manifest.tasks] if manifest else [],
        "commands": [{"name": c.name, "summary": c.summary} for c in (manifest.commands if manifest else ())],
        "engines": [
            {"name": e.name, "summary": e.summary, "install": e.install} for e in (manifest.engines if manifest else ())
        ],
        "formats": [
            {"name": f.name, "suffixes": list(f.suffixes), "summary": f.summary}
            for f in (manifest.formats if manifest else ())
        ],
        "notes": list(manifest.notes) if manifest else [],
    }
