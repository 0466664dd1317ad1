"""docs/exporting.md: its programs run and print what it states."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from pages import ROOT, put_in_place_of_downloads, to_run

from zoo.cli import main

PAGE = (ROOT / "docs" / "exporting.md").read_text()


def test_every_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples/images", "examples/images")
    programs = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(programs) == 2
    names: dict[str, object] = {}
    for program in programs:
        exec(compile(program, "exporting.md", "exec"), names)
    said = re.findall(r"^print\(.*\)  # (\{.*\}|[^,\n]+)", "\n".join(programs), re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said


def test_shell_lines_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        _, command, *rest = shlex.split(line)
        main([command, "--help"])
        usage = capsys.readouterr().out
        assert [word for word in rest if word.startswith("--") and word not in usage] == [], line


@pytest.mark.slow
def test_shell_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With random numbers in place of the published weights, and one class of ImageNet."""
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    put_in_place_of_downloads("resnet50")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    (tmp_path / "imagenet/val/espresso").mkdir(parents=True)
    for copy in ("dog.jpg", "imagenet/val/espresso/1.jpg"):
        shutil.copy(ROOT / "examples/images/photos/coffee.jpg", copy)
    for block in to_run("docs/exporting.md", "sh"):
        for line in block.splitlines():
            if "theirs.onnx" in line:  # one that does not say what it is
                model = onnx_without_facts(tmp_path / "resnet50.onnx")
                (tmp_path / "theirs.onnx").write_bytes(model)
            assert main(shlex.split(line)[1:]) == 0, line + capsys.readouterr().err
            assert capsys.readouterr().out, line


def onnx_without_facts(path: Path) -> bytes:
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    return model.SerializeToString()


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
    table = PAGE.split("## The file's description")[1].split("\n## ")[0]
    keys = {key for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", cell)}
    assert set(json.loads(said)) - {"zoo"} <= keys
