"""Common parts of the benchmarks: turns, clocks, peak memory, separate processes, targets, and the output file.

A benchmark adds rows to tables of a :class:`Report`, which prints them immediately and writes them to
``measurements/benchmarks/NAME.json``, with the machine and its load. ``scripts/benchmark_tables.py`` writes the tables
to docs/benchmarks.md. Missed targets are printed at the end, and the exit status is then 1.

Calls are measured alternately in one process, so that other work on the machine affects all equally, and a ratio is the
median over the turns. Processor time includes all threads of the process.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "measurements" / "benchmarks"
FORMAT = 1
Call = Callable[[], Any]


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Times:
    """Wall and processor seconds of a call in each turn."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def median(self, clock: str = "wall") -> float:
        return statistics.median(getattr(self, clock))

    def p95(self, clock: str = "wall") -> float:
        taken = getattr(self, clock)
        return statistics.quantiles(taken, n=20)[-1] if len(taken) > 1 else taken[0]

    def over(self, other: Times, clock: str = "wall") -> float:
        """Ratio to the seconds of another call: the median over the turns."""
        return statistics.median(a / b for a, b in zip(getattr(self, clock), getattr(other, clock), strict=True))


def in_turns(
    calls: Mapping[str, Call],
    seconds: float = 5.0,
    *,
    least: int = 5,
    most: int = 100,
    wait: Call | None = None,
    pause: float = 0.0,
) -> dict[str, Times]:
    """Measure calls alternately for about ``seconds``, after one warm-up turn.

    Args:
        calls: functions by name.
        seconds: total time for all calls.
        least, most: minimum and maximum number of turns.
        wait: called before reading a clock, such as ``torch.cuda.synchronize``.
        pause: seconds to wait before each call, for calls that use threads of different engines: those of the one
            before spin for a while. A turn is then the median of a burst of calls, after some that are not measured.
    """
    wait = wait or (lambda: None)

    def measure(call: Call, times: Times) -> None:
        wait()
        start, used = time.perf_counter(), time.process_time()
        call()
        wait()
        times.wall.append(time.perf_counter() - start)
        times.processor.append(time.process_time() - used)

    def burst(call: Call, times: Times) -> None:
        time.sleep(pause)
        repeat(call, pause / 2)
        some = Times()
        repeat(lambda: measure(call, some), pause * 2)
        times.wall.append(some.median())
        times.processor.append(some.median("processor"))

    found = {name: Times() for name in calls}
    for call in calls.values():
        call()
    end, turn = time.perf_counter() + seconds, 0
    while turn < least or (time.perf_counter() < end and turn < most):
        for name in list(calls) if turn % 2 else reversed(list(calls)):  # alternate the order
            (burst if pause else measure)(calls[name], found[name])
        turn += 1
    return found


def repeat(call: Call, seconds: float) -> None:
    """Call at least once, and again for ``seconds``."""
    until = time.perf_counter() + seconds
    call()
    while time.perf_counter() < until:
        call()


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def resident(kind: str = "VmRSS") -> float:
    """Resident memory of this process in MB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(kind)).split()[1]) / 1024


def peak_of(call: Call) -> float:
    """Peak resident memory of a call above the memory before it, in MB."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # memory that earlier calls left free would be used again, and not be counted
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident()
    call()
    return resident("VmHWM") - before


# ── separate processes ───────────────────────────────────────────────────────────────────────────────────────────────


class Run(NamedTuple):
    """A process from start to end: wall and processor seconds, peak memory in MB, and output."""

    wall: float
    processor: float
    peak: float
    output: str


# Runs a process and reports its usage. It is small: the peak of a process starts at that of its parent.
LAUNCH = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
output = process.stdout.read()
_, status, used = os.wait4(process.pid, 0)
wall = time.perf_counter() - start
peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(json.dumps([os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, peak, output]))
"""


def fresh(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run Python in a new process, with byte code of all modules from the second time on, as pip installs them.

    Raises:
        RuntimeError: the process fails.
    """
    command = [sys.executable, "-S", "-c", LAUNCH, *arguments]
    given = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    said = subprocess.run(command, env={**given, **(environment or {})}, stdout=subprocess.PIPE, check=True).stdout
    status, *taken = json.loads(said)
    if status:
        raise RuntimeError(f"{' '.join(arguments)[:300]} ended with status {status}")
    return Run(*taken)


def alone(function: Callable[..., Any], *arguments: Any, environment: Mapping[str, str] | None = None) -> Any:
    """Call a function of the benchmark in a separate process. Arguments and result are JSON values."""
    script = str(sys.modules["__main__"].__file__)
    said = fresh([script, "--alone", function.__name__, json.dumps(arguments)], environment).output
    return json.loads(said.splitlines()[-1])


def start(main: Callable[[], int]) -> None:
    """Run a benchmark, or one of its functions for :func:`alone`."""
    if sys.argv[1:2] == ["--alone"]:
        print(json.dumps(getattr(sys.modules["__main__"], sys.argv[2])(*json.loads(sys.argv[3]))))
    else:
        sys.exit(main())


def torchvision() -> Any:
    """torchvision, or None if it cannot be imported."""
    try:
        import torchvision as found
        import torchvision.models
    except (ImportError, RuntimeError):
        return None
    return found


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def options(doc: str | None, models: Sequence[str] = (), *, seconds: float = 5.0) -> argparse.ArgumentParser:
    """A parser with the common options; ``models`` are the default models."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if models:
        parser.add_argument("models", nargs="*", metavar="MODEL", default=list(models), help="models to measure")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=seconds, help="time for each row of a table")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="DIR", help="folder of NAME.json")
    return parser


class Report:
    """Tables of measurements, and targets.

    An existing file keeps its other tables and targets, and the rows of a table that were measured on the same machine,
    with the same torch and under the same conditions: a benchmark can be run in parts.

    Args:
        given: parsed :func:`options`.
        conditions: other conditions of the measurements, such as batch size and memory layout.
    """

    def __init__(self, given: argparse.Namespace, **conditions: Any) -> None:
        import torch

        from zoo_tools.machine import describe_machine, describe_software

        torch.set_num_threads(given.threads)
        name = Path(str(sys.modules["__main__"].__file__)).stem
        self.path = given.output / f"{name}{'' if given.device == 'cpu' else '-' + given.device}.json"
        software = describe_software()
        if (theirs := torchvision()) is not None:
            software["torchvision"] = theirs.__version__
        policy = os.environ.get("OMP_WAIT_POLICY", "")
        conditions = {"threads": given.threads, **({"wait_policy": policy} if policy else {}), **conditions}
        self.about = {"machine": describe_machine(given.device), "software": software, "conditions": conditions}
        old = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.content: dict[str, Any] = {"format": FORMAT, "benchmark": name, "tables": {}, "targets": [], **old}
        self.missed: list[str] = []

    def table(self, name: str, /, *, cold: bool = False, **columns: str) -> Table:
        """Begin a table.

        Args:
            name: name of the table.
            cold: whether it was measured in new processes.
            **columns: key → ``"heading|format"``; the first column names the row. Formats are Python's (``.2f``).
        """
        old = self.content["tables"].get(name)
        rows = old["rows"] if old is not None and _alike(old, self.about) else []
        new = {**self.about, "cold": cold, "columns": {key: text.split("|") for key, text in columns.items()}}
        self.content["tables"][name] = {**new, "rows": rows}
        print("\n" + "  ".join(f"{heading:>{_wide(i)}}" for i, (heading, *_) in enumerate(new["columns"].values())))
        return Table(self.content["tables"][name], self.write)

    def target(self, what: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
        """Compare a value with its target: at least ``least``, or at most ``most``."""
        met = (least is None or value >= least) and (most is None or value <= most)
        goal = {key: bound for key, bound in (("least", least), ("most", most)) if bound is not None}
        kept = [t for t in self.content["targets"] if t["what"] != what]
        self.content["targets"] = [*kept, {"what": what, "value": float(f"{value:.4g}"), **goal, "met": met}]
        if not met:
            self.missed.append(f"{what}: {value:.3g}, target {said(goal)}")

    def write(self) -> None:
        """Write the file atomically after each row, so that an interrupted run loses none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n")
        part.replace(self.path)

    def finish(self) -> int:
        """Write the file and print missed targets; return the exit status."""
        self.write()
        for missed in self.missed:
            print(f"TARGET MISSED  {missed}")
        return 1 if self.missed else 0


class Table:
    """Rows of a :class:`Report`'s table."""

    def __init__(self, content: dict[str, Any], write: Call) -> None:
        self._content, self._write = content, write

    def row(self, **values: Any) -> None:
        """Add a row, or replace the row of the same name."""
        from zoo_tools.machine import load_of_machine, today

        columns = self._content["columns"]
        values = {key: float(f"{v:.5g}") if isinstance(v, float) else v for key, v in values.items()}
        first = next(iter(columns))
        new = {**values, "date": today(), "load": load_of_machine()}
        rows = self._content["rows"]
        at = next((i for i, row in enumerate(rows) if row[first] == new[first]), len(rows))
        rows[at : at + 1] = [new]
        self._write()
        cells = (shown(new.get(key), *rest[:1]) for key, (_, *rest) in columns.items())
        print("  ".join(f"{cell:>{_wide(i)}}" for i, cell in enumerate(cells)), flush=True)


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    same = [a[key] == b[key] for key in ("machine", "conditions")]
    return all(same) and a["software"]["torch"] == b["software"]["torch"]


def _wide(i: int) -> int:
    return 16 if i else 44


def shown(value: Any, form: str = "") -> str:
    """Format a value for a table; None becomes an empty string."""
    return "" if value is None else format(value, form) if form and not isinstance(value, str) else str(value)


def said(goal: Mapping[str, Any]) -> str:
    """Format a target."""
    words = {"least": "at least", "most": "at most"}
    return " and ".join(f"{words[key]} {goal[key]:g}" for key in words if key in goal)
