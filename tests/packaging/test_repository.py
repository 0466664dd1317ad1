"""Consistency of the repository: one version, complete stubs, workflows that run existing targets."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import zoo
from zoo.registry.first_party import FIRST_PARTY

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copies of the files that contain the version."""
    for file in script("versions").files(ROOT):
        (tmp_path / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    return tmp_path


class TestVersions:
    def test_one_is_said_everywhere(self, capsys):
        assert script("versions").main([]) == 0
        assert capsys.readouterr().out.strip() == zoo.__version__

    def test_another_is_written_everywhere(self, copy: Path, capsys):
        versions = script("versions")
        assert versions.main(["0.2.0rc1"], copy) == 0
        assert versions.main(["--check", "0.2.0rc1"], copy) == 0
        assert versions.main(["--check", zoo.__version__], copy) == 1
        assert '"zoo-classification==0.2.0rc1"' in (copy / "plugins/detection/pyproject.toml").read_text()
        left = [p for p in copy.rglob("*.*") if p.is_file() and f'"{zoo.__version__}"' in p.read_text()]
        assert left == []

    def test_one_that_is_left_behind_is_named(self, copy: Path, capsys):
        file = copy / "plugins/video/pyproject.toml"
        file.write_text(file.read_text().replace(f"zoo-core=={zoo.__version__}", "zoo-core==0.0.9"))
        assert script("versions").main([], copy) == 1
        assert re.search(r"^0\.0\.9: plugins/video/pyproject\.toml:\d+$", capsys.readouterr().err, re.MULTILINE)

    def test_what_is_no_version_is_refused(self, copy: Path, capsys):
        with pytest.raises(SystemExit):
            script("versions").main(["next"], copy)
        assert "'next' is not a version" in capsys.readouterr().err
        assert script("versions").main([], copy) == 0


def test_the_stub_of_zoo_names_what_zoo_gives():
    stub = ast.parse((ROOT / "core/src/zoo/__init__.pyi").read_text())
    said = {
        alias.asname: (node.module or "", alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    said |= {node.name: ("zoo.running.pipelines", node.name) for node in stub.body if isinstance(node, ast.FunctionDef)}
    verbs = {name for ours in FIRST_PARTY for name in ours.names}
    assert set(said) == {*zoo.__all__, *verbs}
    for name, (module, original) in said.items():
        assert name == original, "a stub exports a name by importing it as itself"
        given = getattr(zoo, name)  # first: a submodule is an attribute of its package once it has been imported
        assert getattr(importlib.import_module(module), original) is given, name


def test_the_workflows_run_what_is_there():
    texts = [file.read_text() for file in sorted((ROOT / ".github/workflows").glob("*.yml"))]
    assert len(texts) == 2
    commands = [line.partition("run:")[2].strip() for text in texts for line in text.splitlines() if "run:" in line]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert commands
    for command in commands:
        program, *arguments = command.split()
        if program == "make":
            assert set(arguments) <= targets
        else:
            assert (ROOT / arguments[0]).is_file(), command
    assert any(command == "bash .ci/run" for command in commands)


def test_decisions_are_numbered_records():
    text = (ROOT / "docs/decisions.md").read_text()
    records = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(records) > 160
    for number, record in enumerate(records, 1):
        title, _, facts, *_ = record.splitlines()
        assert title.startswith(f"{number}. "), title
        read = re.fullmatch(r"(\d{4}-\d\d-\d\d) · (accepted|superseded by \d+) · `(\S+)`", facts)
        assert read is not None, f"{title}: {facts}"
        assert (ROOT / read[3]).exists(), f"{title}: {read[3]}"
        parts = re.findall(r"^\*\*(\w+)\.\*\* \S", record, re.MULTILINE)
        assert parts == ["Context", "Decision", "Alternative"], title
