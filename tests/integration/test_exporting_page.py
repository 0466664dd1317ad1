"""docs/exporting.md, followed to the letter."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from zoo.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "exporting.md").read_text()


def test_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples/images", "examples/images")
    ran = []
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL):
        if kind == "sh":
            for line in block.splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
        else:
            exec(compile(block, "exporting.md", "exec"), {})
        ran.append(kind)
    assert ran == ["sh", "sh", "sh", "python"]
    out, _ = capsys.readouterr()
    assert re.search(r"espresso", out)
    assert "exported to" in out


def test_options_and_keys_that_are_named_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    import onnx

    main(["export", "--help"])
    usage = capsys.readouterr().out
    named = set(re.findall(r"`(--[a-z-]+)", PAGE)) - {"--task"}
    assert {"--dynamic", "--half", "--opset", "--with-preprocessing"} <= named
    assert [option for option in named if option not in usage] == []
    main(["export", "squeezenet1_1", str(tmp_path / "m.onnx"), "--weights", "DIGITS_V1"])
    (said,) = [p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props if p.key == "zoo"]
    table = PAGE.split("## What a file says of itself")[1]
    keys = {key for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", cell)}
    assert keys == set(json.loads(said)) - {"zoo"}
