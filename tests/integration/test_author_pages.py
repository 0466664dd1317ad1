"""The pages and examples for authors: a backbone under our detectors, a detector, a catalogue."""

from __future__ import annotations

import importlib
import inspect
import io
import re
import runpy
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pages
import pytest
import torch
from loopback_hub import Repository, hub_in_use
from safetensors.torch import save

import zoo

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["backbones", "detectors"])
def test_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": "page"}
    printed = io.StringIO()
    blocks = pages.to_run(f"docs/{page}.md", "python")
    assert len(blocks) >= 4
    with redirect_stdout(printed):
        for block in blocks:
            exec(compile(block, page, "exec"), names)
    assert (
        printed.getvalue().splitlines()
        == {
            "backbones": [
                "{'0': [1, 16, 16, 24], '1': [1, 32, 8, 12], '2': [1, 64, 4, 6]}",
                "[2, 3, 64, 96]",
            ],
            "detectors": [
                "('roi_heads.box_predictor.cls_score.weight', 'roi_heads.box_predictor.cls_score.bias', "
                "'roi_heads.box_predictor.bbox_pred.weight', 'roi_heads.box_predictor.bbox_pred.bias')",
                "['boxes', 'labels', 'scores'] 4",
            ],
        }[page]
    )


def test_what_the_page_lists_for_authors_of_detectors_is_there():
    table = (ROOT / "docs/detectors.md").read_text().split("## Names for authors")[1]
    names = [
        name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+\.\w+)`", row)
    ]
    assert len(names) > 15
    for name in names:
        module, _, attribute = name.partition(".")
        found = getattr(importlib.import_module(f"zoo_detection.{module}"), attribute)
        assert inspect.getdoc(found) or not (inspect.isclass(found) or inspect.isfunction(found)), name


def test_a_backbone_under_detectors_in_under_30_lines(capsys):
    example = ROOT / "examples/backbone_under_detectors.py"
    assert len(example.read_text().splitlines()) < 30
    runpy.run_path(str(example))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "fasterrcnn", "retinanet", "fcos", "fcn",
    ]  # fmt: skip


@pytest.fixture
def catalogue(plugin_folder):
    """The example, installed."""
    source = ROOT / "examples/catalogue_plugin/src/acme_catalogue"
    shutil.copytree(source, plugin_folder.path / "acme_catalogue", ignore=shutil.ignore_patterns("__pycache__"))
    info = plugin_folder.path / "acme_catalogue-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-catalogue\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo.plugins]\nacme_catalogue = acme_catalogue.plugin\n")
    zoo.refresh()
    yield source
    for name in [name for name in sys.modules if name.startswith("acme_catalogue")]:
        del sys.modules[name]


def test_a_catalogue_in_under_60_lines(catalogue, tmp_path, monkeypatch):
    assert sum(len(file.read_text().splitlines()) for file in catalogue.glob("*.py")) < 60
    assert zoo.list_models(plugin="acme_catalogue") == ["acme_net_16", "acme_net_32", "acme_net_8"]
    assert zoo.list_models(plugin="acme_catalogue", has_weights=False) == ["acme_net_32"]
    report = zoo.testing.verify("acme_catalogue", tier="model")
    assert report.ok, str(report)
    trained = zoo.get_model("acme_net_8")
    with hub_in_use(monkeypatch, tmp_path) as hub:
        repository = hub.repositories["acme/acme_net_8.v1.5_digits"] = Repository()
        commit = repository.commit("main", {"model.safetensors": save(trained.state_dict())}, "weights")
        model = zoo.get_model("acme_net_8.v1.5_digits")
    assert torch.equal(model[0].weight, trained[0].weight)
    source = f"hf://acme/acme_net_8.v1.5_digits/model.safetensors@{commit}"
    assert zoo.load_report(model).source == zoo.loading.loaded_weights(model).url == source
    zoo.save(model, tmp_path / "mine.safetensors")
    assert zoo.model_info(tmp_path / "mine.safetensors").weights["SAVED"].categories is None
    assert torch.equal(zoo.load(tmp_path / "mine.safetensors")[0].weight, trained[0].weight)
