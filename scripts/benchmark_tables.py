"""Write the tables of measurements/benchmarks to docs/benchmarks.md, between their marks; other text is not changed.

    python scripts/benchmark_tables.py [--check]

A table is between ``<!-- table NAME/TABLE -->`` and ``<!-- end -->``; ``NAME/targets`` is the table of targets: all of
them if there are few, otherwise only the missed ones.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS, MEASURED = ROOT / "docs" / "benchmarks.md", ROOT / "measurements" / "benchmarks"
MARK = re.compile(r"(<!-- table (\S+)/(\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MANY = 10  # number of targets from which only missed ones are listed
CHARTS = {  # file in docs/images → title, benchmark, table, column of labels, column of values, unit
    "driver_memory.png": ("Peak memory of the driver", "cluster", "driver", "pictures", "peak", "MB"),
}


def said(table: dict[str, Any]) -> str:
    """The conditions of a table's measurements."""
    machine, software, conditions = table["machine"], table["software"], table["conditions"]
    rows = table["rows"]
    loads = sorted(row["load"] for row in rows if row.get("load") is not None)
    dates = sorted({row["date"] for row in rows if row.get("date")})
    parts = [
        "Cold, in fresh processes" if table.get("cold") else "Warm",
        machine.get("card") or f"{machine['cores']} cores of {machine['processor']}",
        *(f"{name} {software[name].partition('+')[0]}" for name in ("torch", "torchvision") if name in software),
        *(f"{key.replace('_', ' ')} {value}" for key, value in conditions.items() if key != "note"),
        f"load of the machine {loads[0]:g} to {loads[-1]:g}" if loads else "",
        " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "",
        table.get("note", ""),
    ]
    return f"*{'; '.join(part for part in parts if part)}.*\n"


def shown(value: Any, form: str = "") -> str:
    return "" if value is None else format(value, form) if form and not isinstance(value, str) else str(value)


def table_of(content: dict[str, Any], name: str) -> str:
    """A table in Markdown."""
    table = content["tables"][name]
    columns = {  # without empty columns
        key: value for key, value in table["columns"].items() if any(row.get(key) is not None for row in table["rows"])
    }
    texts = [heading.strip() for heading, *_ in columns.values()]
    sides = ["---" if _is_text(table["rows"], key) else "---:" for key in columns]
    lines = [texts, sides]
    lines += [[shown(row.get(key), *rest[:1]) for key, (_, *rest) in columns.items()] for row in table["rows"]]
    return said(table) + "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _is_text(rows: list[dict[str, Any]], key: str) -> bool:
    return all(isinstance(row.get(key), str | None) for row in rows)


def targets_of(content: dict[str, Any]) -> str:
    """The targets and the measured values."""
    targets = content["targets"]
    if not targets:
        return "There are no targets.\n"
    missed = [t for t in targets if not t["met"]]
    chosen = targets if len(targets) <= MANY else missed
    words = {"least": "at least", "most": "at most"}
    met = f"{len(targets) - len(missed)} of {len(targets)} targets are met"
    lines = [f"{met}; missed:\n" if chosen is missed and missed else f"{met}.\n"]
    if chosen:
        lines.append("| target | is | measured | |\n| --- | ---: | ---: | --- |")
    for t in chosen:
        goal = " and ".join(f"{words[key]} {t[key]:g}" for key in words if key in t)
        lines.append(f"| {t['what']} | {goal} | {t['value']:g} | {'met' if t['met'] else '**missed**'} |")
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """The document with the tables from the files."""

    def replace(found: re.Match[str]) -> str:
        begin, name, table, end = found.groups()
        content = json.loads((MEASURED / f"{name}.json").read_text())
        return begin + (targets_of(content) if table == "targets" else table_of(content, table)) + end

    return MARK.sub(replace, text)


def chart(title: str, name: str, table: str, label: str, value: str, unit: str) -> Any:
    """A bar chart of a table's column, a PIL image."""
    from zoo.draw import bar_chart

    rows = json.loads((MEASURED / f"{name}.json").read_text())["tables"][table]["rows"]
    return bar_chart(title, [("", [(f"{row[label]:,} {label}", row[value]) for row in rows])], unit, width=700)


def main(arguments: list[str]) -> int:
    old = DOCS.read_text()
    new = filled(old)
    if arguments == ["--check"]:
        return int(old != new)
    DOCS.write_text(new)
    for image, of in CHARTS.items():
        chart(*of).save(DOCS.parent / "images" / image, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
