"""docs/gallery.md: every installed task has a picture, and the pictures are those of the script."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gallery.md").read_text()


@pytest.fixture(scope="module")
def gallery() -> Any:
    pytest.importorskip("zoo_transformers")
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "scripts/gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module
    spec.loader.exec_module(module)
    return module


def test_every_task_has_a_picture(gallery: Any) -> None:
    of_ours = {zoo.model_info(name).task for name in zoo.list_models() if "/" not in name}
    assert of_ours <= {shown.task for shown in gallery.SHOWN}
    assert "".join(gallery.page()) == PAGE


def test_the_pictures_are_there_and_small() -> None:
    named = set(re.findall(r"\(images/gallery/([\w.]+)\)", PAGE))
    files = {path.name: path.stat().st_size for path in (ROOT / "docs/images/gallery").iterdir()}
    assert set(files) == named
    assert max(files.values()) < 200_000
    assert sum(files.values()) < 2_000_000


@pytest.mark.parametrize("name", ["boxes", "instances", "keypoints", "regions", "panoptic", "depth", "shape_classes"])
def test_pictures_are_what_the_script_draws(gallery: Any, name: str) -> None:
    (shown,) = (shown for shown in gallery.SHOWN if shown.name == name)
    drawn = np.asarray(shown.draw().convert("RGB")).astype(int)
    with Image.open(ROOT / f"docs/images/gallery/{name}.jpg") as kept:
        assert kept.size == (drawn.shape[1], drawn.shape[0])
        assert np.abs(np.asarray(kept.convert("RGB")).astype(int) - drawn).mean() < 6
