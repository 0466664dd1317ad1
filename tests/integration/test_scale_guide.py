"""docs/scale.md: its programs run and print what it states."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from pages import ROOT, blocks

from zoo.cli import main


def lacks(block: str) -> bool:
    """Whether a block needs an engine that is not installed: `make test-serving` installs all."""
    wanted = set(re.findall(r"^import (\w+)", block, re.MULTILINE)) - {"zoo"} | (
        {"ray"} if "zoo batch" in block else set()
    )
    return any(importlib.util.find_spec(name) is None for name in wanted)


def test_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples/images/digits", "examples/images/digits")
    ran = passed = 0
    for kind, block in [(block.kind, block.text) for block in blocks("docs/scale.md") if not block.reason]:
        if kind in ("sh", "python") and lacks(block):
            passed += 1
        elif kind == "sh":
            for line in block.splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
                ran += 1
        elif kind == "python":
            exec(compile(block, "scale.md", "exec"), {})
            ran += 1
    assert ran >= 6
    assert ran == 10 or passed > 0
    rows = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert [row["top"][0]["label"] for row in rows] == [*"0123456789"]
