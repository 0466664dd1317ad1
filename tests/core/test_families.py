"""Manifests made of tables, and packages whose names are imported when they are used."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from zoo.contract.families import Family, model_specs, offered_names, weights_of
from zoo.errors import ContractError

FAMILIES = (
    Family("net", "Net", "A Net", "1234.5678", "net net_large", "net_of", input={"train_size": 99}),
    Family("other", "", "Others", "9876.5432", "other", task=("depth-estimation", "toy")),
)
FILES = {
    "plugin.py": "from zoo.contract.families import offered_names\nfrom {test} import FAMILIES\n"
    "def public_names(): return offered_names('{package}', FAMILIES)\n",
    "net.py": "class Net: pass\ndef net(): pass\ndef net_large(): pass\ndef net_of(): pass\n",
    "other.py": "LOADED = True\ndef other(): pass\n",
    "weights/__init__.py": "",
    "weights/net.py": "from zoo import Weights, WeightsEnum\n"
    "class Net_Weights(WeightsEnum, builder='net'):\n    V1 = Weights(url='https://x.org/net-1.pth')\n"
    "class Net_Large_Weights(WeightsEnum, builder='net_large'):\n    V1 = Weights(url='https://x.org/large-1.pth')\n",
    "weights/other.py": "from zoo import Weights, WeightsEnum\n"
    "class Other_Weights(WeightsEnum, builder='other'):\n    V1 = Weights(url='https://x.org/other-1.pth')\n",
    "__init__.py": "from zoo.contract.families import lazy_package\n"
    "__getattr__, __dir__ = lazy_package(__name__, ['other'])\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    name = f"acme_{tmp_path.name.replace('-', '_')}"
    # The table is this file's; a copy beside the package can be imported under a name of its own.
    (tmp_path / f"{name}_table.py").write_text(f"from zoo.contract.families import Family\nFAMILIES = {FAMILIES!r}\n")
    for path, text in FILES.items():
        file = tmp_path / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("{package}", name).replace("{test}", f"{name}_table"))
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__(name)
    return sys.modules[name]


def test_specs_follow_from_the_table(package):
    name = package.__name__
    specs = {spec.name: spec for spec in model_specs(name, FAMILIES, "image-classification", prefix="acme_")}
    assert list(specs) == ["acme_net", "acme_net_large", "acme_net_of", "acme_other"]
    large, generic, other = specs["acme_net_large"], specs["acme_net_of"], specs["acme_other"]
    assert large.builder == f"{name}.net:net_large"
    assert large.weights.__name__ == "Net_Large_Weights"
    assert large.paper == "A Net, https://arxiv.org/abs/1234.5678"
    assert (large.tasks, dict(large.input)) == (("image-classification",), {"train_size": 99})
    assert generic.weights is None
    assert other.tasks == ("depth-estimation", "toy")


def test_names_are_imported_when_they_are_used(package):
    name = package.__name__
    assert f"{name}.net" not in sys.modules
    assert package.Net.__module__ == f"{name}.net"
    assert package.Net_Weights.V1.url == "https://x.org/net-1.pth"
    assert {"Net", "net_large", "Other_Weights", "other"} <= set(dir(package))
    assert "net_of" not in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'nett'"):
        _ = package.nett


def test_a_builder_named_as_its_module_stays_the_builder(package):
    __import__(f"{package.__name__}.net")
    assert callable(package.net)
    assert package.other.LOADED, "a module that was asked for as one"


def test_offered_names_say_where_they_come_from(package):
    name = package.__name__
    names = offered_names(name, FAMILIES)
    assert names["net_large"] == f"{name}.net"
    assert names["Net_Large_Weights"] == f"{name}.weights.net"


def test_an_enum_belongs_to_the_builder_that_it_names(package):
    weights = importlib.import_module(f"{package.__name__}.weights.net")
    assert weights.Net_Large_Weights.builder == weights.Net_Large_Weights.V1.builder == "net_large"
    weights.Alias = weights.Net_Weights
    misspelt = Family("net", "Net", "A Net", "1234.5678", "net Net_Large")
    with pytest.raises(ContractError, match=r"weights\.net has no weights of Net_Large; .*builder=\"Net_Large\""):
        weights_of(package.__name__, misspelt)
