"""Models, data and losses of zoo in third-party trainers, with the scripts in ``examples/``."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from colours import pictures

import zoo


@pytest.mark.parametrize("trainer", ["lightning", "accelerate"])
def test_a_model_is_tuned_by_another_trainer_and_saved(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str
) -> None:
    pytest.importorskip(trainer)
    monkeypatch.chdir(tmp_path)
    data = pictures(tmp_path / "data", 60)
    script = importlib.import_module(f"with_{trainer}")
    assert script.main(str(data), str(tmp_path / "tuned.safetensors"), epochs=6) == 100
    tuned = zoo.pipeline(tmp_path / "tuned.safetensors", device="cpu")
    assert tuned(data / "red" / "003.png").label == "red"
