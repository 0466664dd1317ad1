"""Training programs with zoo's models instead of torchvision's: the same losses for the same seed and data."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

FOLDER = Path(__file__).parent
GOLDEN: dict[str, list[float]] = json.loads((FOLDER / "driver_losses.json").read_text())

spec = importlib.util.spec_from_file_location("drivers", FOLDER / "drivers.py")
assert spec is not None
assert spec.loader is not None
drivers = importlib.util.module_from_spec(spec)
sys.modules["drivers"] = drivers
spec.loader.exec_module(drivers)

QUICK = """
    classification_resnet classification_mobilenet classification_efficientnet
    classification_auxiliary quantization_aware segmentation_deeplab segmentation_lraspp
    tutorial_mobilenet_v3 recipe_faster_rcnn recipe_ssdlite optical_flow_raft
""".split()


def test_every_driver_has_its_losses() -> None:
    assert GOLDEN.keys() == drivers.DRIVERS.keys() >= set(QUICK)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in drivers.DRIVERS]
)
def test_losses_are_torchvisions(name: str) -> None:
    """All losses of all steps in float64; models with fake quantization run in float32."""
    found = drivers.run("zoo", name)
    close = {"rel": 1e-2, "abs": 1e-3} if name in drivers.SINGLE else {"rel": 1e-6, "abs": 1e-8}
    assert found == pytest.approx(GOLDEN[name], **close)


def test_the_program_runs_by_itself() -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "drivers.py", "--library", "zoo", "classification_mobilenet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(json.loads(done.stdout)) == ["classification_mobilenet"]


@pytest.mark.slow
@pytest.mark.parametrize("name", drivers.DRIVERS)
def test_live_beside_torchvision(torchvision: ModuleType, name: str) -> None:
    """In float32, the usual precision: the losses of the first step, and those of all steps if the network does not
    amplify rounding a hundredfold per step, as randomly initialised detectors do."""
    found = {library: drivers.run(library, name, torch.float32) for library in ("zoo", "torchvision")}
    first = 3 if name.startswith(("tutorial", "recipe", "new")) else 1
    assert found["zoo"][:first] == pytest.approx(found["torchvision"][:first], rel=1e-4, abs=1e-6)
    if first == 1:
        assert found["zoo"] == pytest.approx(found["torchvision"], rel=1e-2)
