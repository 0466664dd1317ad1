"""The capability matrix: cells in separate processes, resuming, and the users of the files."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo import registry
from zoo.contract import CAPABILITIES
from zoo.errors import InvalidArgument, UnknownModel
from zoo_tools import capabilities, cells

ROOT = Path(__file__).parents[2]
Run = Callable[..., SimpleNamespace]
NAME = "squeezenet1_1"


def test_every_capability_has_a_cell() -> None:
    assert list(CAPABILITIES)
    assert set(CAPABILITIES) == set(cells.FUNCTIONS)


def test_cells_are_measured_and_kept(run: Run, tmp_path: Path) -> None:
    done = run("matrix", NAME, "--output", tmp_path, "--cells", "eager,fx,train,dynamic-batch")
    assert done.status == 0, done.err
    entry = json.loads((tmp_path / "capabilities/classification.json").read_text())["models"][NAME]
    assert list(entry["cells"]) == ["eager", "fx", "train", "dynamic-batch"]
    assert all(result["works"] for result in entry["cells"].values()), entry["cells"]
    assert entry["cells"]["dynamic-batch"]["off"] < 1e-3
    assert entry["torch"]
    assert entry["machine"]["cores"] >= 1
    assert entry["inputs"] == ["float32 [2, 3, 64, 64]"]

    # Existing cells are kept, and only requested missing cells are measured.
    path = tmp_path / "capabilities/classification.json"
    content = json.loads(path.read_text())
    content["models"][NAME]["cells"]["fx"]["works"] = False
    content["models"][NAME]["cells"]["train"] = {"works": False, "note": "no answer in 8 s"}
    path.write_text(json.dumps(content))
    told: list[str] = []
    found = capabilities.matrix(
        [NAME],
        tmp_path,
        cells=["fx", "deepcopy", "train"],
        resume=True,
        told=lambda model, cell, result: told.append(cell),
    )
    assert told == ["deepcopy", "train"], "cells that timed out are measured again"
    assert found[NAME]["cells"]["train"]["works"] is True
    assert found[NAME]["cells"]["fx"]["works"] is False
    assert list(found[NAME]["cells"]) == ["eager", "fx", "deepcopy", "train", "dynamic-batch"], "in a fixed order"


CELLS = """
    import json, os, sys, time
    from zoo_tools import cells
    def hang(subject): time.sleep(60)
    def crash(subject): os.abort()
    cells.FUNCTIONS = {**cells.FUNCTIONS, "channels-last": crash, "pickle": hang}
    if __name__ == "__main__":
        sys.exit(cells.main(sys.argv[1:]))
"""


def test_a_crash_and_a_hang_are_answers_and_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "broken_cells.py"
    module.write_text(textwrap.dedent(CELLS))
    usual = capabilities.subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        return usual([sys.executable, str(module), *command[3:]], **options)

    monkeypatch.setattr(capabilities.subprocess, "Popen", start)
    found = capabilities.matrix(
        [NAME], tmp_path, cells=["eager", "channels-last", "fx", "pickle", "deepcopy"], timeout=8
    )[NAME]["cells"]
    assert [result["works"] for result in found.values()] == [True, False, True, True, False]
    assert found["channels-last"]["note"].startswith("the process ended with status")
    assert found["pickle"]["note"] == "no answer in 8 s"


def test_what_fails_says_why(tmp_path: Path) -> None:
    found = capabilities.matrix(["ssdlite320_mobilenet_v3_large"], tmp_path, cells=["fx", "dynamic-batch"])
    cells_ = found["ssdlite320_mobilenet_v3_large"]["cells"]
    assert cells_["fx"]["works"] is False
    assert "the images are a Proxy" in cells_["fx"]["note"]
    assert cells_["dynamic-batch"]["works"] is True, "its file takes batches, although the model takes a list"


class Sensitive(nn.Module):
    """Amplifies any rounding of its input."""

    def __init__(self, times: float = 200) -> None:
        super().__init__()
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        return (self.times * x).sin()


class Coarse(nn.Module):
    """Loses small numbers beside a large one in half precision, and only there."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1000) - 1000


def subject(model: nn.Module) -> cells.Subject:
    made = cells.Subject.__new__(cells.Subject)
    made.model, made.device = model.eval(), torch.device("cpu")
    made.inputs = (torch.rand(64, generator=torch.Generator().manual_seed(0)),)
    made.expected = made.comparable(model, made.inputs)
    return made


def test_half_precision_is_compared_with_what_rounding_the_input_does() -> None:
    assert cells.rounded(subject(nn.Identity()), torch.bfloat16) < 0.01
    assert cells.rounded(subject(Sensitive()), torch.bfloat16) > cells.NEAR / 2
    assert cells.bfloat16(subject(Sensitive()))["off"] > cells.NEAR / 2, "it does what its own input allows"
    with pytest.raises(cells.Failure, match=r"outputs differ by [\d.]+ of their spread; at most 0.2 is allowed"):
        cells.bfloat16(subject(Coarse()))


def test_a_cell_stays_empty_if_rounding_makes_the_outputs_unrelated() -> None:
    chaotic = subject(Sensitive(1e6))
    with pytest.raises(cells.Undecided, match=r"differ by 1\.\d+ of .* rounding alone may change them by 2\.\d+"):
        cells.bfloat16(chaotic)
    assert cells.measure(chaotic, "bfloat16") is None
    assert (cells.measure(chaotic, "deepcopy") or {})["works"] is True


def test_one_of_each_family_the_smallest() -> None:
    chosen = capabilities.choose(["classification"])
    assert "resnet18" in chosen
    assert "resnet50" not in chosen
    assert capabilities.choose(["resnet1*"]) == ["resnet101", "resnet152", "resnet18"]
    assert len(capabilities.choose(["quantized"], every=True)) == 12
    with pytest.raises(UnknownModel, match="neither a model nor a plugin"):
        capabilities.choose(["classificatoin"])
    with pytest.raises(InvalidArgument, match=r"Unknown cell 'onx'"):
        capabilities.matrix([NAME], cells=["onx"])


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "capabilities/classification.json"
    path.parent.mkdir()
    path.write_text("[1]")
    with pytest.raises(InvalidArgument, match="not a capability matrix"):
        capabilities.matrix([NAME], tmp_path, cells=["eager"])
    assert path.read_text() == "[1]"


# ── users of the files ───────────────────────────────────────────────────────────────────────────────────────────


def test_wheels_carry_what_was_measured() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import capabilities as script
    finally:
        sys.path.pop(0)
    places = script.places()
    assert {file.stem for file, _ in places} >= {"classification"}
    for file, target in places:
        assert target.read_text() == script.packed(json.loads(file.read_text())), f"python scripts/{script.__name__}.py"


def test_list_and_show_read_it(run: Run) -> None:
    able = run("list", "--can", "export", "--json")
    names = [row["name"] for row in json.loads(able.out)]
    assert "resnet18" in names
    assert "resnet50" not in names, "not measured, so not listed"
    assert set(zoo.list_models(can=["export", "ddp"])) <= set(names)
    shown = run("show", "resnet18")
    assert "eager, channels-last" in shown.out
    assert registry.capabilities("resnet50") == {}
    assert run("list", "--can", "onxx").status == 1
    facts = json.loads(run("show", "resnet18", "--json").out)
    assert facts["capabilities"]["cells"]["export"]["works"] is True


def test_a_damaged_table_is_no_table(plugin_folder: Any) -> None:
    plugin_folder.install(
        "acme",
        """
        @zoo.hookimpl
        def zoo_manifest():
            models = [zoo.ModelSpec("acme_net", "acme_models:net", task="image-classification")]
            return zoo.Manifest(api_version=1, models=models, capabilities="pkg://acme_data/capabilities.json")
        """,
    )
    zoo.refresh()
    assert registry.capabilities("acme_net") == {}
    record = next(r for r in zoo.plugins() if r.name == "acme")
    assert "its table of capabilities" in record.complaint
