"""Names that were shipped once stay: docs/ledger.txt lists them all, `make ledger` enters new ones."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import pytest

import zoo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ledger() -> ModuleType:
    found = importlib.util.spec_from_file_location("ledger", ROOT / "scripts" / "ledger.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def lost(lines: list[str]) -> list[str]:
    """The names of the ledger that mean nothing any more, or not what they meant."""
    gone = []
    for line in lines:
        kind, name = line.split()
        try:
            if kind == "weights":
                zoo.get_weight(name)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    plugin, _, bare = name.partition("/")
                    if zoo.model_info(name) != zoo.model_info(bare) or zoo.model_info(name).plugin != plugin:
                        gone.append(line)
        except zoo.ZooError:
            gone.append(line)
    return gone


def test_every_name_ever_shipped_can_still_be_had(ledger):
    lines = ledger.LEDGER.read_text().splitlines()
    assert "model classification/resnet50" in lines
    assert "weights ResNet50_Weights.DEFAULT" in lines
    assert lost(lines) == []


def test_every_name_is_in_the_ledger(ledger):
    missing = sorted(ledger.shipped() - set(ledger.LEDGER.read_text().splitlines()))
    assert not missing, f"Run `make ledger` to enter {missing}."


def test_a_name_that_disappears_is_noticed_and_stays_in_the_ledger(ledger, tmp_path):
    book = tmp_path / "ledger.txt"
    book.write_text("model classification/resnet49\nweights ResNet49_Weights.V1\n")
    added = ledger.enter(book, {"model classification/resnet50", "model classification/resnet49"})
    assert added == ["model classification/resnet50"]
    lines = book.read_text().splitlines()
    assert lines == ["model classification/resnet49", "model classification/resnet50", "weights ResNet49_Weights.V1"]
    assert lost(lines) == ["model classification/resnet49", "weights ResNet49_Weights.V1"]
