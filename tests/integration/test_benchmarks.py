"""docs/benchmarks.md contains the figures of measurements/benchmarks, which the benchmarks' harness writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
import harness

def sums(n):
    return sum(range(n))

def main():
    given = harness.options("", ["one"]).parse_args()
    report = harness.Report(given, batch=2)
    calls = {{"fast": lambda: time.sleep(0.001), "slow": lambda: time.sleep(0.004)}}
    times = harness.in_turns(calls, 0, least=5)
    table = report.table("speeds", cold=True, way="way", ms="ms|.1f", times="times|.2f")
    for way, taken in times.items():
        table.row(way=way, ms=taken.median() * 1e3, times=taken.over(times["fast"]))
    for name in given.models:
        report.target(f"{{name}}: slow over fast", times["slow"].over(times["fast"]), least={least})
    report.target("memory, MB", harness.peak_of(lambda: bytearray(64 * 2**20)), least=60, most=90)
    report.target("sum", harness.alone(sums, 10), least=45, most=45)
    return report.finish()

if __name__ == "__main__":
    harness.start(main)
"""


def tables() -> object:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import benchmark_tables
    finally:
        sys.path.pop(0)
    return benchmark_tables


def run(tmp_path: Path, least: float, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT.format(folder=str(BENCHMARKS), least=least))
    command = [sys.executable, str(script), "--output", str(tmp_path / "out"), "--threads", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_document_has_the_figures_of_the_files() -> None:
    made = tables()
    text = made.DOCS.read_text()
    assert made.filled(text) == text, "run scripts/benchmark_tables.py"
    told = {(name, table) for _, name, table in (m.groups()[:3] for m in made.MARK.finditer(text))}
    there = {
        (file.stem, table) for file in made.MEASURED.glob("*.json") for table in json.loads(file.read_text())["tables"]
    }
    assert there - told == set(), "tables that docs/benchmarks.md does not show"
    assert len(there) > 20


def test_every_benchmark_uses_the_harness_and_has_its_file() -> None:
    for script in sorted(BENCHMARKS.glob("*.py")):
        text = script.read_text()
        if script.stem == "harness":
            continue
        assert "harness.start(main)" in text, script
        named = f"benchmarks/{script.name}"
        assert named in (ROOT / "docs" / "benchmarks.md").read_text(), f"{named} is not in docs/benchmarks.md"


def test_a_benchmark_writes_tables_and_says_what_missed_its_target(tmp_path: Path) -> None:
    done = run(tmp_path, 1.5)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "out" / "mine.json").read_text())
    table = content["tables"]["speeds"]
    assert [row["way"] for row in table["rows"]] == ["fast", "slow"]
    assert table["rows"][0]["ms"] >= 1
    assert table["rows"][1]["times"] > 1.5
    assert table["machine"]["cores"] >= 1
    assert table["conditions"]["batch"] == 2
    assert table["software"]["torch"]
    assert all({"date", "load"} <= row.keys() for row in table["rows"])
    assert [t["met"] for t in content["targets"]] == [True] * 3

    missed = run(tmp_path, 1000, "two")  # the other rows and targets are kept
    assert missed.returncode == 1
    assert "TARGET MISSED  two: slow over fast" in missed.stdout
    assert "target at least 1000" in missed.stdout
    content = json.loads((tmp_path / "out" / "mine.json").read_text())
    assert {t["what"]: t["met"] for t in content["targets"]} == {
        "one: slow over fast": True, "two: slow over fast": False, "memory, MB": True, "sum": True,
    }  # fmt: skip
    shown = tables().table_of(content, "speeds")
    assert shown.startswith("*Cold, in fresh processes; ")
    assert "| slow | " in shown
    assert "| two: slow over fast | at least 1000 | " in tables().targets_of(content)
    assert "**missed**" in tables().targets_of(content)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_processes_are_measured_from_outside() -> None:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import harness
    finally:
        sys.path.pop(0)
    code = "x = bytearray(100 * 2**20); print('said')"
    bare, taken = harness.fresh(["-S", "-c", "pass"]), harness.fresh(["-S", "-c", code])
    assert taken.output == "said\n"
    assert 95 < taken.peak - bare.peak < 120
    assert taken.wall > 0
    with pytest.raises(RuntimeError, match="status 3"):
        harness.fresh(["-c", "raise SystemExit(3)"])
