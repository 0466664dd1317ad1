"""Catalogues: models and weights from a table, enums made on access, names of models with weights."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import textwrap
import time

import pytest
import torch

import zoo
from zoo import registry
from zoo.contract import Catalogue, LazyEnum, enum_name, make_enum, stored_weights
from zoo.errors import ContractError, UnknownModel, UnknownWeights

TABLE = {
    "tinynet": {"num_params": 12, "weights": {"a1_in1k": "one", "v1.5-b": "two", "url": "three"}},
    "tiny-net.v2": {"weights": {"x": "four"}, "default": "x"},
    "resnet50": {"weights": {"a1_in1k": "five"}},
    "bare": {},
}

MODULE = """
    import json, pathlib
    from zoo.contract import Catalogue, Weights
    import zoo

    made = []

    def describe(model, row, tag, facts):
        made.append(f"{model}.{tag}")
        return Weights(
            url=f"hf://acme/{model}.{tag}/model.safetensors", num_params=row.get("num_params"), docs=facts,
            unknown=("metrics", "num_params"), config={"width": 3},
            transforms=zoo.Preset("acme_words:Squash", {"side": 9}),
        )

    CATALOGUE = Catalogue(__name__, json.loads(pathlib.Path(__file__).with_name("table.json").read_text()), describe)
    __getattr__ = CATALOGUE.named

    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(
            api_version=1,
            models=CATALOGUE.models("acme_models", task="image-classification", paper="A paper"),
            presets={"acme_words:Squash": "acme_words:in_words"},
            defaults={"image-classification": [zoo.Default("tinynet", "v1.5-b"), zoo.Default("resnet50")]},
        )
"""

BUILDERS = """
    import torch, zoo
    from zoo_acme_plugin import CATALOGUE

    class Tiny(torch.nn.Module):
        def __init__(self, width=3, num_classes=2):
            super().__init__()
            self.head = torch.nn.Linear(width, num_classes)

        def forward(self, x):
            return self.head(x)

    def __getattr__(name):
        model = CATALOGUE.built_by(name)

        def build(**kwargs):
            return Tiny(**kwargs)

        build.__name__ = name
        return zoo.builder(CATALOGUE.enum(model), head="head")(build)
"""


@pytest.fixture
def acme(plugin_folder):
    (plugin_folder.path / "table.json").write_text(json.dumps(TABLE))
    (plugin_folder.path / "acme_models.py").write_text(textwrap.dedent(BUILDERS))
    (plugin_folder.path / "acme_words.py").write_text(
        "def in_words(arguments):\n    return f'squash to {arguments[\"side\"]} pixels'\n"
    )
    plugin_folder.install("acme", MODULE)
    zoo.refresh()
    import zoo_acme_plugin

    yield zoo_acme_plugin
    for name in ("acme_models", "acme_words"):
        sys.modules.pop(name, None)


def test_names_are_listed_and_no_enum_is_made(acme):
    assert {"tinynet", "tiny-net.v2", "acme/resnet50", "bare"} <= set(zoo.list_models())
    assert zoo.list_models(plugin="acme", has_weights=True) == ["acme/resnet50", "tiny-net.v2", "tinynet"]
    entry = registry.registry().entries["acme/tinynet"]
    assert isinstance(stored_weights(entry.spec), LazyEnum)
    assert entry.spec.weights_name == "tinynet_Weights"
    assert acme.made == []


def test_members_are_those_of_any_enum(acme):
    enum = zoo.get_model_weights("tinynet")
    assert issubclass(enum, zoo.WeightsEnum)
    assert list(enum.__members__) == ["a1_in1k", "v1.5-b", "url", "DEFAULT"]
    assert enum["v1.5-b"].value.docs == "two"
    assert enum.DEFAULT is enum.a1_in1k is enum["a1_in1k"]
    assert enum["a1_in1k"].url == "hf://acme/tinynet.a1_in1k/model.safetensors"  # the attribute stays the property
    assert enum is zoo.get_model_weights("acme/tinynet") is acme.tinynet_Weights
    for member in enum:
        assert pickle.loads(pickle.dumps(member)) is copy.deepcopy(member) is copy.copy(member) is member
        assert zoo.get_weight(f"tinynet_Weights.{member.name}") is member
        assert zoo.get_weight(f"acme/tinynet_Weights.{member.name}") is member
    assert zoo.get_model_weights("tiny-net.v2").__name__ == "tiny_net_v2_Weights" == enum_name("tiny-net.v2")
    assert pickle.loads(pickle.dumps(acme.tiny_net_v2_Weights.x)) is acme.tiny_net_v2_Weights.x
    assert enum.verify("tinynet_Weights.v1.5-b") is enum["v1.5-b"]
    with pytest.raises(AttributeError, match="no attribute 'nothing_Weights'"):
        acme.nothing_Weights  # noqa: B018


def test_a_name_can_say_which_weights(acme):
    assert zoo.model_info("tinynet.v1.5-b").default_weights == "v1.5-b"
    assert list(zoo.model_info("tinynet.v1.5-b").weights) == ["v1.5-b", "DEFAULT"]
    assert zoo.model_info("tiny-net.v2").full_name == "acme/tiny-net.v2"  # a model whose name has a point
    assert zoo.model_info("tiny-net.v2.x").default_weights == "x"
    assert zoo.get_weight("acme/resnet50.a1_in1k") is acme.resnet50_Weights.a1_in1k
    assert zoo.model_info("resnet50").plugin == "classification"
    assert zoo.model_info("resnet50.IMAGENET1K_V1").default_weights == "IMAGENET1K_V1"
    with pytest.raises(UnknownWeights, match=r"'resnet50' has no weights 'a1_in1k'. There is acme/resnet50.a1_in1k"):
        zoo.get_model("resnet50.a1_in1k")
    with pytest.raises(UnknownWeights, match=r"has no weights 'a2_in1k'. Did you mean 'a1_in1k'"):
        zoo.model_info("acme/tinynet.a2_in1k")
    for near, meant in (("tinynett.v1.5-b", "tinynet.v1.5-b"), ("acme/resnet51.a1_in1k", "acme/resnet50.a1_in1k")):
        with pytest.raises(UnknownModel, match=rf"Did you mean '{meant}'\?"):
            zoo.model_info(near)
    with pytest.raises(UnknownModel, match="no model 'nonet"):
        zoo.model_info("nonet.a1")


def test_the_model_is_built_with_the_weights_of_its_name(acme, tmp_path, monkeypatch):
    tried = []

    def fetch(url, **options):
        tried.append(url)
        path = tmp_path / "model.pth"
        torch.save({"head.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}, path)
        return path

    monkeypatch.setattr("zoo.loading.builders.fetch", fetch)
    assert zoo.get_model("tinynet.v1.5-b").head.weight.sum() == 6
    assert zoo.get_model_builder("acme/tinynet.url")(num_classes=2).head.weight.sum() == 6
    assert zoo.load_report(zoo.get_model("acme/tinynet.url", weights="DEFAULT")).source.endswith("@main")
    assert [url.split("/")[3] for url in tried] == ["tinynet.v1.5-b", "tinynet.url", "tinynet.url"]
    assert zoo.load_report(zoo.get_model("acme/tinynet.url", weights=None)) is None


def test_preprocessing_is_told_in_words_without_torch(acme, run):
    assert registry.in_words(acme.tinynet_Weights.DEFAULT.transforms) == "squash to 9 pixels"
    out = run("show", "acme/tinynet.v1.5-b").out
    assert "tinynet_Weights.v1.5-b" in out
    assert "squash to 9 pixels" in out
    assert "a1_in1k" not in out


def test_what_is_unknown_is_no_fault(acme):
    report = zoo.testing.verify("acme", tier="contract")
    assert [result for result in report.failed if result.check in ("metadata", "pickling", "names")] == []


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a b": zoo.Weights(url="x")}, "'a b' is not a name of weights"),
        ({"a": 3}, "a is 3; expected zoo.Weights"),
        ({"a": zoo.Weights(url="x"), "b": zoo.Weights(url="x")}, "b and .a have equal values"),
    ],
)
def test_what_cannot_be_an_enum_is_an_error(members, why):
    with pytest.raises(ContractError, match=why):
        make_enum("Net_Weights", members, __name__)


def test_two_models_whose_enums_would_have_one_name_are_an_error():
    catalogue = Catalogue(__name__, {"a-b": {"weights": {"x": 1}}, "a_b": {"weights": {"x": 1}}}, lambda *a: None)
    with pytest.raises(ContractError, match="'a-b' and 'a_b' would both be a_b"):
        catalogue.models("nowhere", task="t")


def test_facts_of_another_type_are_told_when_the_enum_is_made():
    catalogue = Catalogue(__name__, {"a": {"weights": {"x": 1}}}, lambda *a: zoo.Weights(url="x", num_params="many"))
    (spec,) = catalogue.models("nowhere", task="t")
    with pytest.raises(ContractError, match="an int as num_params"):
        spec.weights  # noqa: B018


def test_ten_thousand_entries_cost_less_than_enums_do():
    """Alternately, in one process: the table's way to all names against class statements of the same entries."""
    rows = {f"net{i}": {"num_params": i + 1, "weights": {f"t{k}": k for k in range(10)}} for i in range(1000)}

    def describe(model, row, tag, facts):
        return zoo.Weights(url=f"https://example.org/{model}.{tag}", num_params=row["num_params"])

    def by_table():
        return Catalogue(__name__, rows, describe).models("nowhere", task="t")

    def by_classes():
        specs = []
        for model, row in rows.items():
            members = {tag: describe(model, row, tag, None) for tag in row["weights"]}
            enum = zoo.WeightsEnum(f"{model}_Weights", members)
            specs.append(zoo.ModelSpec(model, f"nowhere:{model}", task="t", weights=enum))
        return specs

    def seconds(function):
        start = time.process_time()
        function()
        return time.process_time() - start

    lazy, eager = (min(seconds(f) for _ in range(3)) for f in (by_table, by_classes))
    assert lazy < eager / 3
    assert [spec.name for spec in by_table()] == [spec.name for spec in by_classes()]
    assert len(by_table()[7].weights) == 10


def test_plugins_of_ours_over_other_libraries_are_named_by_what_installs_them():
    known = {record.name for record in zoo.plugins()}
    if "timm" not in known:
        with pytest.raises(UnknownModel, match="pip install zoo-timm"):
            zoo.model_info("timm/resnet50.a1_in1k")
    assert zoo.model_info("resnet50").plugin == "classification"


def test_listing_a_catalogue_does_not_import_torch(acme, plugin_folder):
    program = "import sys, zoo; assert 'tinynet' in zoo.list_models(); zoo.get_model_weights('tinynet').DEFAULT; "
    program += "zoo.model_info('tinynet.v1.5-b'); print('torch' in sys.modules)"
    path = ":".join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": path, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
