"""docs/timm.md and the plugin's README: their programs and each line of the table run, against a hub on loopback."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pages
import pytest
import torch
from loopback_hub import Repository, hub_in_use
from pages import ROOT
from safetensors.torch import save

import zoo
from zoo.cli import main

timm = pytest.importorskip("zoo_timm.models").timm
pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = "docs/timm.md"
LINES = re.findall(r"^\| (.*?) \| `(.*)` \|$", (ROOT / PAGE).read_text().split("## Predict")[0], re.MULTILINE)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A folder with the examples, and a hub that has weights for the pages' models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    torch.save(timm.create_model("resnet18", num_classes=3).state_dict(), "mine.pth")
    with hub_in_use(monkeypatch, tmp_path / "hub") as hub:
        for name in ("resnet18.a1_in1k", "resnet50.a1_in1k"):
            torch.manual_seed(0)
            state = save(timm.create_model(name).state_dict())
            repositories = [f"timm/{name}"] + ["org/name"] * name.startswith("resnet18")
            for repository in repositories:
                hub.repositories[repository] = Repository()
                hub.repositories[repository].commit("main", {"model.safetensors": state}, "weights")
        yield hub


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("theirs", "ours"), LINES)
def test_the_line(theirs: str, ours: str) -> None:
    made = eval(ours, {"zoo": zoo})
    assert made is not None
    assert made is not False
    if "list_models" in theirs and "pretrained" not in theirs:
        expected = eval(theirs.strip("`"), {"timm": timm})
        assert {name.removeprefix("timm/") for name in made} == set(expected)


def test_lines_cover_what_timms_users_type() -> None:
    theirs = " ".join(text for text, _ in LINES)
    for idiom in ("create_model", "list_models", "num_classes=0", "in_chans", "features_only", "checkpoint_path"):
        assert idiom in theirs
    assert "resolve_model_data_config" in theirs
    assert len(LINES) > 15


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("page", [PAGE, "plugins/timm/README.md"])
def test_the_page_runs(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    ran = 0
    for block in pages.blocks(page):
        assert not block.reason
        if block.kind == "python":
            exec(compile(block.text, str(block), "exec"), names)
            said = re.findall(r"^print\(.*\)  # (.*)$", block.text, re.MULTILINE)
            assert capsys.readouterr().out.splitlines() == said
        else:
            for line in block.text.splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
                assert capsys.readouterr().out
        ran += 1
    assert ran == {PAGE: 7, "plugins/timm/README.md": 1}[page]


@pytest.mark.usefixtures("desk")
def test_the_preprocessing_is_timms() -> None:
    from PIL import Image

    model = timm.create_model("resnet18.a1_in1k")
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    picture = Image.open(ROOT / "examples/images/photos/coffee.jpg").convert("RGB")
    torch.testing.assert_close(zoo.get_weight("timm/resnet18.a1_in1k").transforms()(picture), theirs(picture))
