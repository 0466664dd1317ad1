"""The training examples: each defines its data; the loop is zoo.train's."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo_training.checking import check_readers

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("examples/train_*.py"), ROOT / "examples/zoo-plugin-template/train.py"])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_example_has_a_loop_of_its_own(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    called = [ast.unparse(function) for function in calls]
    assert called.count("zoo.train") == 1
    own = [name for name in called if name.rpartition(".")[2] in ("backward", "zero_grad", "clip_grad_norm_", "AdamW")]
    assert own == []


@pytest.mark.parametrize(
    ("name", "more", "written"),
    [
        ("train_video", {"Clips": 64}, "mc3_tiny"),
        ("train_flow", {"Scenes": 4}, "raft_small"),
        ("train_segmentation", {}, "lraspp"),
    ],
)
@pytest.mark.slow
def test_examples_train_and_write_a_file_that_loads(
    examples: Path, name: str, more: dict[str, int], written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    script: Any = importlib.import_module(name)
    monkeypatch.setattr(
        script, "HELD_OUT", 128 if name == "train_video" else 8 if more else range(1_000_001, 1_000_005)
    )
    counts = {"train_video": ["--clips", "64"], "train_flow": ["--scenes", "4", "--batch-size", "2", "--updates", "2"]}
    if not more:
        monkeypatch.setattr(script, "VALIDATED", range(900_001, 900_005))
    own = counts.get(name, ["--pictures", "16", "--epochs", "1"])
    monkeypatch.setattr(sys, "argv", [name, *own, "--output", str(tmp_path)])
    script.main()
    (path,) = tmp_path.glob(f"{written}*.safetensors")
    assert str(path) in capsys.readouterr().out
    saved = zoo.load(tmp_path / "run/last.safetensors")
    halves = {k: v.half() if v.is_floating_point() else v for k, v in saved.state_dict().items()}
    loaded = zoo.get_model(zoo.model_info(tmp_path / "run/last.safetensors").full_name, weights=str(path),
                           **dict(saved._built_with.arguments)).state_dict()  # fmt: skip
    assert all(
        torch.equal(value.half() if value.is_floating_point() else value, halves[k]) for k, value in loaded.items()
    )


@pytest.mark.parametrize(("name", "reader"), [("train_video", "Clips"), ("train_flow", "Scenes")])
def test_generated_readers_are_the_same_each_time_and_held_out_of_training(
    examples: Path, name: str, reader: str
) -> None:
    make = getattr(importlib.import_module(name), reader)
    one, same, other = make(3, 5), make(3, 5), make(3, 10**9)
    check_readers((one, other))
    first, again, different = (torch.stack(list(torch.atleast_3d(r[1][0][0]))) for r in (one, same, other))
    assert torch.equal(first, again)
    assert not torch.equal(first, different)
