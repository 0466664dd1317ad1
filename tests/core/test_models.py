"""``zoo.models``: torchvision's names, found where torchvision has them."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import zoo
import zoo_classification
from zoo.errors import MissingPlugin

ROOT = Path(__file__).parents[2]


def test_builders_weights_and_classes():
    from zoo.models import ResNet, ResNet50_Weights, resnet50

    assert resnet50 is zoo_classification.resnet50
    assert ResNet50_Weights is zoo_classification.ResNet50_Weights
    assert ResNet is zoo_classification.ResNet
    assert {"resnet50", "ResNet50_Weights", "get_model", "detection"} <= set(dir(zoo.models))


def test_modules_are_the_plugins_own():
    module = importlib.import_module("zoo.models.resnet")
    assert module is sys.modules["zoo_classification.resnet"]
    assert module.__spec__.name == module.__name__ == "zoo_classification.resnet"
    from zoo.models.resnet import Bottleneck

    assert pickle.loads(pickle.dumps(Bottleneck)) is Bottleneck


def test_threads_that_import_at_once_leave_each_module_its_own(monkeypatch):
    both_begun = threading.Barrier(2, timeout=20)

    class Slow(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "__spec__" and value.name.startswith("zoo.models."):  # the import system is about to execute it
                both_begun.wait()

    names = ("slow_net", "slower_net")
    importlib.import_module("zoo.models")
    for name in names:
        module = Slow(f"zoo_classification.{name}")
        module.__spec__ = ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.delitem(sys.modules, f"zoo.models.{name}", raising=False)
        monkeypatch.setattr(zoo.models, name, None, raising=False)
    with ThreadPoolExecutor(2) as pool:
        modules = list(pool.map(importlib.import_module, [f"zoo.models.{name}" for name in names]))
    assert [module.__spec__.name for module in modules] == [f"zoo_classification.{name}" for name in names]


def test_what_is_missing_says_so(without_flow):
    with pytest.raises(MissingPlugin, match=r"zoo\.models\.optical_flow\.raft_large.*pip install zoo-optical-flow"):
        zoo.models.optical_flow.raft_large  # noqa: B018
    with pytest.raises(AttributeError, match="resnet51"):
        zoo.models.resnet51  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("zoo.models.nonsense")
    assert not hasattr(zoo.models, "resnet51")


HUB = """
import sys, torch
model = torch.hub.load(sys.argv[1], "resnet18", source="local", weights=None)
entry = torch.hub.load(sys.argv[1], "get_weight", source="local", name="ResNet18_Weights.IMAGENET1K_V1")
enum = torch.hub.load(sys.argv[1], "get_model_weights", source="local", name="resnet18")
assert list(enum) == [entry], list(enum)
assert "resnet18" in dir(torch.hub._import_module("hubconf", sys.argv[1] + "/hubconf.py"))
import zoo
print(type(model).__name__, zoo.__file__)
"""


def test_torch_hub_serves_a_checkout_that_is_not_installed(tmp_path, site_without_zoo):
    environment = {**os.environ, "PYTHONPATH": str(site_without_zoo)}
    command = [sys.executable, "-S", "-c", HUB, str(ROOT)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert out.split() == ["ResNet", str(ROOT / "core/src/zoo/__init__.py")]
