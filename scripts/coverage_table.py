"""Test coverage: one line per package, and every uncovered line and branch, from coverage's data.

    coverage combine; python scripts/coverage_table.py

Prints the table; ``out/coverage.txt`` lists what is not covered, file by file, and ``out/coverage/`` shows it.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from coverage import Coverage

OUT = Path(__file__).parents[1] / "out"


def package_of(file: str) -> str:
    """The package of a file: ``zoo_detection`` of ``plugins/detection/src/zoo_detection/ssd.py``."""
    parts = Path(file).parts
    return parts[parts.index("src") + 1] if "src" in parts else parts[0]


def table(report: dict[str, Any]) -> str:
    """The text of coverage's JSON report: one row per package, least covered first."""
    sums: dict[str, Counter[str]] = {}
    for file, entry in report["files"].items():
        sums.setdefault(package_of(file), Counter()).update(
            {
                key: entry["summary"][key]
                for key in ("covered_lines", "num_statements", "covered_branches", "num_branches")
            }
        )
    sums["all"] = sum(sums.values(), Counter())
    rows = [f"{'package':24}{'lines':>8}{'missed':>10}{'branches':>10}{'missed':>10}{'covered':>9}"]
    for package, n in sorted(sums.items(), key=lambda item: item[1]["covered_lines"] - item[1]["num_statements"]):
        lines, branches = n["num_statements"] - n["covered_lines"], n["num_branches"] - n["covered_branches"]
        every = n["num_statements"] + n["num_branches"]
        share = 100 * (1 - (lines + branches) / every) if every else 100.0
        rows.append(f"{package:24}{n['num_statements']:8}{lines:10}{n['num_branches']:10}{branches:10}{share:8.1f}%")
    return "\n".join(rows)


def main() -> None:
    """The command."""
    coverage = Coverage()
    coverage.load()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        coverage.json_report(outfile=f"{folder}/report.json")
        report = json.loads(Path(folder, "report.json").read_text())
        coverage.html_report(directory=str(OUT / "coverage"))
        with (OUT / "coverage.txt").open("w") as file:
            coverage.report(show_missing=True, skip_covered=True, file=file)
    print(table(report))
    print("\nout/coverage.txt lists the uncovered lines and branches; out/coverage/index.html shows them.")


if __name__ == "__main__":
    main()
