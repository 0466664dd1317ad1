"""The rows and filters of the table of all weights, and the points of the plots. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from zoo_tools.catalogue import words

METRICS = 3  # number of metric columns in the table


def table_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each weights entry, grouped by main task, best first."""
    rows = []
    for task in facts["tasks"]:
        own = [(m, w) for m in facts["models"] if m["tasks"][0] == task["name"] for w in m["weights"]]
        metrics = task["metrics"][:METRICS]
        values = [[words.value_of(w, metric) for metric in metrics] for _, w in own]
        shared = [[v[0] for row in values if (v := row[i]) and v[1] == metrics[i]["data"]] for i in range(len(metrics))]
        places = [words.places(column) for column in shared]
        of_task = [_row(m, w, task, found, places) for (m, w), found in zip(own, values, strict=True)]
        more = not metrics or metrics[0]["higher_is_better"]
        of_task.sort(key=lambda row: _rank(row, more))
        rows += of_task
    return rows


def _rank(row: Mapping[str, Any], more: bool) -> tuple[Any, ...]:
    first = row["metrics"][0] if row["metrics"] else None
    if first is None or not first["compares"]:
        return first is None or first["value"] is None, 1, 0.0, row["model"]["name"]
    return False, 0, -first["value"] if more else first["value"], row["model"]["name"]


def _row(
    model: Mapping[str, Any],
    weights: Mapping[str, Any],
    task: Mapping[str, Any],
    found: list[tuple[float, str] | None],
    places: list[int],
) -> dict[str, Any]:
    metrics = [
        {
            "value": value[0] if value else None,
            "data": value[1] if value else "",
            "compares": value is not None and value[1] == metric["data"],
            "text": words.fixed(value[0] if value else None, n),
            "title": metric["title"],
        }
        for value, metric, n in zip(found, task["metrics"], places, strict=False)
    ]
    cells = (model["capabilities"] or {}).get("cells", {})
    parameters = weights["num_params"] if weights["num_params"] is not None else model["num_params"]
    speed = next((s for s in model["speeds"] if s["setup"] == 0 and s["weights"] in (None, weights["tag"])), None)
    return {
        "model": model,
        "weights": weights,
        "task": task,
        "metrics": metrics,
        "num_params": parameters,
        "ms": speed["ms"] if speed else None,
        "works": [name for name, cell in cells.items() if cell["works"]],
        "fails": [name for name, cell in cells.items() if not cell["works"]],
    }


def facets(rows: Iterable[Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """The values of each filter with the number of rows; most frequent first, capabilities in their own order."""
    rows = list(rows)
    works = Counter(name for row in rows for name in row["works"])
    order = [*facts["capabilities"], *sorted(works.keys() - facts["capabilities"].keys())]
    return {
        "task": [(t["name"], n) for t in facts["tasks"] if (n := sum(t["name"] in r["model"]["tasks"] for r in rows))],
        "plugin": _counted(row["model"]["plugin"] for row in rows),
        "license": _counted(row["weights"]["license"] for row in rows),
        "can": [(name, works[name]) for name in order if works[name]],
    }


def _counted(values: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(values).items(), key=lambda item: (-item[1], item[0].lower()))


def plot_points(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Data of the plots: tasks with their metrics, setups of measured times, and weights that have a metric."""
    points = []
    for model in facts["models"]:
        for w in model["weights"]:
            values: dict[str, dict[str, float]] = {}
            for data, found in w["metrics"].items():
                for key, value in found.items():
                    if value is not None:
                        values.setdefault(key, {})[data] = value
            if not values:
                continue
            times = {str(s["setup"]): s["ms"] for s in model["speeds"] if s["weights"] in (None, w["tag"])}
            points.append(
                {
                    "name": w["name"],
                    "page": model["page"],
                    "tasks": model["tasks"],
                    "plugin": model["plugin"],
                    "family": model["family"],
                    "params": w["num_params"] if w["num_params"] is not None else model["num_params"],
                    "gflops": w["gflops"] if w["ops_unit"] == "GFLOPs" else None,
                    "size": w["file_size"],
                    "metrics": values,
                    "ms": times,
                }
            )
    used = {name for point in points for name in point["tasks"]}
    tasks = [{**t, "title": words.title(t["name"])} for t in facts["tasks"] if t["name"] in used and t["metrics"]]
    keep = ("name", "title", "metrics")
    return {
        "tasks": [{key: task[key] for key in keep} for task in tasks],
        "setups": facts["setups"],
        "points": points,
    }
