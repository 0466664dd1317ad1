"""docs/architecture.md describes the existing code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from layers import LAYERS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
NAMES = sorted(set(re.findall(r"`((?:zoo|zoo_\w+)(?:\.\w+)+|zoo_\w+)(?:\(.*?\))?`", TEXT)))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_it_exists(name: str) -> None:
    if name.startswith("zoo_open_"):
        name = f"zoo.contract.hooks.{name}"
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return
    sources = ROOT / "plugins" / name.removeprefix("zoo_") / "src" / name  # a plugin that is not installed
    assert sources.is_dir(), f"there is no {name}"


def test_the_layers_are_those_that_are_held() -> None:
    rows = re.findall(r"^\| (`zoo\.\w+`(?: `zoo\.\w+`)*) \|", TEXT, re.MULTILINE)
    named = [re.findall(r"zoo\.(\w+)", row) for row in rows]
    assert named == [names for names in LAYERS if not names[0].startswith("__")]
    assert len(NAMES) > 40
