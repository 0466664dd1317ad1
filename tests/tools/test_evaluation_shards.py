"""``zoo evaluate --shard``: the metrics of all shards equal those of a single run exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from zoo.cli import main
from zoo.errors import InvalidArgument
from zoo_tools.evaluation import evaluate

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for i in range(10):
        for copy in range(3):
            folder = tmp_path / "data" / str((i + (copy == 2)) % 10)  # one third is wrong
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / f"examples/images/digits/digit_{i}.png", folder / f"{i}_{copy}.png")
    return tmp_path / "data"


def measure(data: Path, *more: object) -> int:
    command = ["evaluate", "--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--images", data, "--batch-size", 4]
    return main([str(word) for word in (*command, *more)])


def test_merged_figures_are_those_of_one_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(data, "--output", tmp_path / "whole") == 0
    for i in (2, 3, 1):
        assert measure(data, "--output", tmp_path / "parts", "--shard", f"{i}/3") == 0
    file = tmp_path / "parts/records-00002-of-00003.jsonl"
    before = file.read_bytes()
    assert measure(data, "--output", tmp_path / "parts") == 0
    figures = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "parts")]
    assert figures[0] == figures[1]
    assert figures[0]["measured"] == 30
    assert 0 < figures[0]["metrics"]["acc@1"] < 100
    assert (tmp_path / "parts/records.jsonl").read_bytes().count(b"\n") == 1  # no input was evaluated again
    file.write_bytes(before[:-30])  # a shard that was killed
    assert measure(data, "--output", tmp_path / "parts") == 0
    assert json.loads((tmp_path / "parts/metrics.json").read_text()) == figures[0]
    assert main(["merge", str(tmp_path / "parts"), "--output", str(tmp_path / "x.jsonl")]) == 1
    assert "without --shard" in capsys.readouterr().err


def test_shards_of_other_weights_or_none(data: Path, tmp_path: Path) -> None:
    assert measure(data, "--output", tmp_path / "out", "--shard", "1/99") == 0  # empty
    with pytest.raises(InvalidArgument, match="expected I/N"):
        evaluate("squeezenet1_1", data, weights="DIGITS_V1", output=tmp_path / "out", shard="17/16")
    with pytest.raises(InvalidArgument, match="needs output"):
        evaluate("squeezenet1_1", data, weights="DIGITS_V1", shard="1/2")
    with pytest.raises(InvalidArgument, match="other options"):
        evaluate("squeezenet1_1", data, weights="DIGITS_V1", output=tmp_path / "out", dropout=0.1)
