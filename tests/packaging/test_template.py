"""The plugin template: built as a wheel, installed in a clean environment, and uninstalled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.testing import CHECKS

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples/zoo-plugin-template"
DIGITS = ROOT / "examples/images/digits"
Run = Callable[..., str]


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True)


def build(wheels: Path, *sources: Path) -> None:
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", wheels, *sources)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of core, classification and the template, built from copies of their sources."""
    folder = tmp_path_factory.mktemp("wheels")
    template = folder / "source" / TEMPLATE.name
    shutil.copytree(TEMPLATE, template)
    build(folder, ROOT / "core", ROOT / "plugins/classification", template)
    return folder


@pytest.fixture
def environment(wheels: Path, site_without_zoo: Path, tmp_path: Path) -> tuple[Path, Run]:
    """The Python of a new environment with core and classification, and a function that runs it in another folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    install(python, wheels, "zoo-core", "zoo-classification")
    variables = {**os.environ, "PYTHONPATH": str(site_without_zoo), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def run(*arguments: object, folder: Path = tmp_path) -> str:
        command = [python, "-W", "error::UserWarning", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return python, run


def install(python: Path, wheels: Path, *names: str) -> None:
    pip("--python", python, "install", "--no-deps", "--no-index", "--find-links", wheels, *names)


def listed(run: Run) -> list[str]:
    return run("-c", "import zoo; print(*zoo.list_models())").split()


def test_the_template_comes_works_and_goes(wheels, environment, tmp_path):
    python, run = environment
    ours = listed(run)
    assert "convmixer_64_8" not in ours

    install(python, wheels, "zoo-template-name")
    assert sorted([*ours, "convmixer_64_8"]) == listed(run)
    assert run("-m", "zoo", "list", "--plugin", "template_name").count("convmixer_64_8") == 1
    predicted = run("-m", "zoo", "predict", DIGITS, "--model", "convmixer_64_8", "--top", "1")
    found = dict(re.findall(r"digit_(\d).*\.png\s+[\d.]+%\s+(\d)$", predicted, re.MULTILINE))
    assert found == {str(digit): str(digit) for digit in range(10)}

    assert "(1 of 10)" in run("-m", "zoo", "vote", DIGITS)  # a custom command, and its function for zoo's task
    assert run("-m", "zoo", "template_name:vote", DIGITS, "--model", "convmixer_64_8").endswith("of 10)\n")

    shutil.copytree(TEMPLATE / "tests", tmp_path / "tests")
    tested = run("-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "tests")
    assert f"{len(CHECKS)} passed" in tested

    pip("--python", python, "uninstall", "--yes", "zoo-template-name")
    assert listed(run) == ours


def test_the_template_is_small(wheels):
    (wheel,) = wheels.glob("zoo_template_name-*.whl")
    assert wheel.stat().st_size < 300_000


def test_a_renamed_copy_is_a_plugin_of_its_own(environment, wheels, tmp_path):
    """The README's own commands rename it."""
    python, run = environment
    readme = (TEMPLATE / "README.md").read_text()
    commands = re.findall(r"^ +```\n(.*?)^ +```", readme, re.DOTALL | re.MULTILINE)[0]
    shutil.copytree(TEMPLATE, tmp_path / TEMPLATE.name)
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True)
    copy = tmp_path / "zoo-acme"
    sources = [p for p in copy.rglob("*") if p.suffix in (".py", ".toml", ".md")]
    assert len(sources) == 9
    assert not [p for p in sources if re.search("template.name", p.read_text())]

    build(tmp_path, copy)
    install(python, wheels, "zoo-template-name")
    install(python, tmp_path, "zoo-acme")
    names = listed(run)
    assert {"acme/convmixer_64_8", "template_name/convmixer_64_8"} < set(names)
    assert "convmixer_64_8" not in names
    pip("--python", python, "uninstall", "--yes", "zoo-template-name")
    assert "convmixer_64_8" in listed(run)
    assert "acme 0.1.0: ok" in run("-m", "zoo", "verify-plugin", "acme", "--tier", "model")
