"""docs/predicting.md: its programs run and print what it states."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from zoo.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "predicting.md").read_text()


def test_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples/images/digits", "examples/images/digits")
    ran = 0
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL):
        if kind == "sh":
            for line in block.splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
                ran += 1
        elif kind == "python":
            exec(compile(block, "predicting.md", "exec"), {})
            ran += 1
        else:
            example = json.loads(block)
            written = json.loads(Path("out/predictions.jsonl").read_text().splitlines()[1])
            assert example.keys() == written.keys()
    assert ran == 3
    out, err = capsys.readouterr()
    assert "digit_9.png 9" in out
    assert "10 of 10 inputs have results already." in err
    assert len(list(Path("out").glob("*.jpg"))) == 10


def test_options_that_are_named_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--model", "raft_small"]):  # with the options of a task
        main(["predict", *arguments, "--help"])
    usage = capsys.readouterr().out
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert len(named) > 8
    assert [option for option in named if option not in usage] == []
