"""docs/tasks.md and its example, a task that core does not know."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples/task_plugin/src/acme_colours"


@pytest.fixture
def installed(plugin_folder: Any) -> Iterator[None]:
    shutil.copytree(SOURCE, plugin_folder.path / "acme_colours", ignore=shutil.ignore_patterns("__pycache__"))
    info = plugin_folder.path / "acme_colours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-colours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo.plugins]\nacme_colours = acme_colours.plugin\n")
    zoo.refresh()
    yield
    for name in [name for name in sys.modules if name.startswith("acme_colours")]:
        del sys.modules[name]


def test_a_new_task_in_under_80_lines(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any], capsys: Any
) -> None:
    assert sum(len(file.read_text().splitlines()) for file in SOURCE.glob("*.py")) < 80
    (tmp_path / "examples/images").mkdir(parents=True)
    shutil.copytree(ROOT / "examples/images/photos", tmp_path / "examples/images/photos")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs/tasks.md").read_text(), re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "sh"]
    exec(compile(blocks[0][1], "tasks.md", "exec"), {})
    assert list(eval(capsys.readouterr().out)) == ["brown"]
    for line in blocks[1][1].splitlines():
        done = run(*shlex.split(line)[1:])
        assert done.status == 0, done.err
    assert done.out.split()[0] in ("palette", "NAME") or "palette" in done.out
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    done = run("predict", "examples/images/photos/coffee.jpg", "--model", "palette.safetensors", "--json")
    assert '"brown"' in done.out


def test_the_example_passes_the_kit(installed: None) -> None:
    report = zoo.testing.verify("acme_colours", tier="model")
    assert report.ok, str(report)
