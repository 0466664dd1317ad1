"""zoo benchmark: its measurements, the comparison with the unchanged model, and its output file."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import zoo
from zoo.draw import bar_chart
from zoo.errors import InvalidArgument, UnknownModel
from zoo_tools import benchmarking
from zoo_tools.ways import Way, ways_of

Run = Callable[..., SimpleNamespace]
QUICK = ("--weights", "DIGITS_V1", "--seconds", "0.1")


def test_the_command_measures_prints_and_writes(run: Run, tmp_path: Path) -> None:
    output, chart = tmp_path / "speed.json", tmp_path / "speed.png"
    done = run("benchmark", "squeezenet1_1", *QUICK, "--batch", "2", "--output", output, "--chart", chart)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[:3] for line in lines[-2:]] == [["eager", "float32", "2"], ["torch", "float32", "2"]]
    found = json.loads(output.read_text())
    assert found["format"] == 1
    assert found["machine"]["gflops"]["float32"] > 0
    eager, fast = found["measurements"]
    assert (eager["engine"], eager["times_eager"], eager["off"], eager["same"]) == ("eager", 1.0, 0.0, 1.0)
    assert (fast["model"], fast["weights"], fast["device"]) == ("squeezenet1_1", "DIGITS_V1", "cpu")
    assert fast["torch"] == torch.__version__
    assert fast["off"] < 1e-4
    for row in (eager, fast):
        assert 0 < row["ms"] <= row["ms_p95"]
        assert row["per_second"] == pytest.approx(2000 / row["ms"], rel=0.01)
        assert row["first_answer_s"] > 0.3, "a new process, which imports torch"
        assert 100 < row["memory_mb"] < 2000
        assert row["file_mb"] == pytest.approx(2.78, abs=0.1)
    with Image.open(chart) as picture:
        assert picture.width == 900
    assert "use --force to replace it" in run("benchmark", "squeezenet1_1", "--output", output).err


def test_what_cannot_run_is_told_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = benchmarking.make

    def make(way: Way, model: object, example: object) -> object:
        if way.precision == "bfloat16":
            raise RuntimeError("no kernel\nand more")
        return usual(way, model, example)

    monkeypatch.setattr(benchmarking, "make", make)
    found = zoo.benchmark(
        "squeezenet1_1", weights="DIGITS_V1", batches=[1], precisions=["float32", "bfloat16"], seconds=0.05, cold=False
    )
    notes = {f"{row.engine} {row.precision}": row.note for row in found.measurements}
    assert notes == {"eager float32": "", "torch float32": "", "torch bfloat16": "RuntimeError: no kernel"}
    assert [row.ms is None for row in found.measurements] == [False, False, True]


def test_engines_wait_for_the_threads_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, runs = benchmarking.make, []

    def make(way: Way, model: object, example: object) -> object:
        made = usual(way, model, example)

        def logged(*inputs: object) -> object:
            begun = time.monotonic()
            found = made(*inputs)
            runs.append((way.engine, begun, time.monotonic()))
            return found

        return logged

    monkeypatch.setattr(benchmarking, "make", make)
    found = zoo.benchmark(
        "squeezenet1_1", weights="DIGITS_V1", batches=[1], precisions=["float32"], seconds=0.05, cold=False
    )
    changes = [(a[2], b[1]) for a, b in itertools.pairwise(runs) if a[0] != b[0]]
    assert len(changes) >= 5, "eager and torch, three times each"
    assert min(begun - ended for ended, begun in changes[1:]) >= 0.1, "threads of an engine spin after its last run"
    assert len(runs) > sum(row.runs for row in found.measurements) + 6, "the first runs of a turn are not counted"


def test_ways_are_combined_where_there_are_any() -> None:
    ways = ways_of(["eager", "torch", "openvino"], ["float32", "bfloat16", "int8"])
    assert list(map(str, ways)) == [
        "eager float32",
        "torch float32",
        "torch bfloat16",
        "openvino float32",
        "openvino bfloat16",
        "openvino int8",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"precisions": ["fp8"]}, "precision is 'fp8'"),
        ({"engines": ["tensorrt"]}, "no engine 'tensorrt'"),
        ({"batches": [0]}, "batch"),
    ],
)
def test_what_cannot_be_asked(arguments: dict[str, list[object]], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        zoo.benchmark("squeezenet1_1", **arguments)  # type: ignore[arg-type]
    with pytest.raises(UnknownModel):
        zoo.benchmark("squeezenet9")


def test_bars_are_as_long_as_their_numbers() -> None:
    picture = bar_chart("Speed", [("a", [("plain", 50.0), ("fast", 100.0)])], "/s")
    pale = sum(pixel == (140, 149, 159) for pixel in picture.get_flattened_data())
    blue = sum(pixel == (31, 111, 235) for pixel in picture.get_flattened_data())
    assert blue / pale == pytest.approx(2, rel=0.02)
    with pytest.raises(InvalidArgument, match="no bars"):
        bar_chart("Speed", [], "/s")
    with pytest.raises(InvalidArgument, match="'x' is nan"):
        bar_chart("Speed", [("a", [("x", float("nan"))])], "/s")
