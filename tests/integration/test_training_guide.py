"""docs/training.md: from two folders of pictures to an installed plugin by its five commands, and its other blocks."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loopback_hub import TOKEN, Hub, serving
from PIL import Image

import zoo

GUIDE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
SHELL = [code.splitlines() for kind, code in BLOCKS if kind == "sh"]
COLOURS = {"blue": (40, 60, 200), "red": (200, 50, 40)}
# pip without a network: build tools and dependencies are installed.
PIP = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``pictures`` and ``new``."""
    folder = tmp_path_factory.mktemp("guide")
    generator = np.random.default_rng(0)
    for part, n in (("pictures", 30), ("new", 3)):
        for name, base in COLOURS.items():
            (folder / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = np.array(base) + generator.normal(0, 40, (24, 32, 3)) + generator.normal(0, 25, 3)
                Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(folder / part / name / f"{i:03}.png")
    return folder


def execute(line: str, place: Path, **variables: str) -> str:
    """A line of the guide in a new process, as in a shell."""
    command, *words = shlex.split(line)
    site = str(place / "site")
    path = os.pathsep.join([site, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, **PIP, "PIP_TARGET": site, "PYTHONPATH": path, **variables}
    done = subprocess.run(
        [sys.executable, "-m", command, *words], cwd=place, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def road(place: Path) -> dict[str, str]:
    """The five commands, each with its output."""
    return {line: execute(line, place) for line in SHELL[0]}


def test_blocks_are_of_kinds_that_are_run_here() -> None:
    assert [kind for kind, _ in BLOCKS] == ["sh", "sh", "python", "text", "text", "sh"]
    assert len(SHELL[0]) == 5
    assert [line.split()[0] for line in SHELL[0]] == ["zoo", "zoo", "zoo", "zoo", "pip"]


def test_five_commands_lead_from_two_folders_to_a_plugin(road: dict[str, str], place: Path) -> None:
    shown, trained, measured, written, _ = road.values()
    assert "48 examples for training, 12 for validation" in shown
    assert Image.open(place / "sheet.png").width > 300
    assert "best.safetensors" in trained
    assert re.search(r"acc@1\s+100", measured)
    assert "'colours'" in written
    predicted = json.loads(execute("zoo predict new --model colours --json", place))
    assert {Path(one["input"]).parent.name: one["top"][0]["label"] for one in predicted} == {c: c for c in COLOURS}
    assert len(predicted) == 6


def test_the_plugin_is_installed_as_any_other_and_keeps_the_contract(road: dict[str, str], place: Path) -> None:
    said = [execute(line, place) for line in SHELL[1]]
    assert "red" in said[0]
    assert re.search(r"colours 0\.1\.0: ok, \d+ checks", said[1])
    listed = json.loads(execute("zoo list --plugin colours --json", place))
    assert [model["name"] for model in listed] == ["colours"]
    assert "MIT" in execute("zoo show colours", place)


@pytest.mark.slow
def test_the_python_block_does_the_same(road: dict[str, str], place: Path) -> None:
    (code,) = [code for kind, code in BLOCKS if kind == "python"]
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("['blue', 'red'] ")
    assert lines[1] in COLOURS
    assert (place / lines[2] / "pyproject.toml").is_file()


@pytest.mark.slow
def test_the_run_is_pushed_to_a_hub(road: dict[str, str], place: Path) -> None:
    dry, push = SHELL[2]
    assert "nothing was pushed" in execute(dry, place, ZOO_OFFLINE="1")
    assert zoo.model_info(place / "colours").weights["SAVED"].license == "mit"
    hubs = {"HF_HOME": str(place / "hf"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with Hub() as hub, serving(hub):
        hubs["HF_ENDPOINT"] = hub.url
        assert "org/colours" in execute(push, place, **hubs)
        predicted = json.loads(execute("zoo predict new --model hf://org/colours --json", place, **hubs))
    assert {Path(one["input"]).parent.name: one["top"][0]["label"] for one in predicted} == {c: c for c in COLOURS}
