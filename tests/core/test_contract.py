from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

import zoo
from zoo.contract import check_manifest, load_object
from zoo.errors import ContractError, InvalidArgument, UnknownWeights
from zoo_classification import ResNet18_Weights, ResNet50_Weights


class Tiny_Weights(zoo.WeightsEnum):
    A = zoo.Weights(url="https://example.org/a-12345678.pth", categories=("cat", "dog"), num_params=3)
    B = zoo.Weights(url="https://example.org/b-12345678.pth", extra={"backend": "fbgemm"})
    DEFAULT = B


@pytest.mark.parametrize("member", [Tiny_Weights.A, Tiny_Weights.DEFAULT, ResNet50_Weights.IMAGENET1K_V1])
def test_members_compare_hash_pickle_and_copy_as_themselves(member):
    assert pickle.loads(pickle.dumps(member)) is member
    assert copy.deepcopy(member) is member
    assert copy.copy(member) is member
    assert {member: "found"}[member] == "found"
    assert member == member
    assert member != ResNet18_Weights.DEFAULT
    assert pickle.loads(pickle.dumps(member.value)) == member.value
    assert copy.deepcopy(member.value) == member.value


def test_repr_is_what_one_types():
    assert (
        repr(ResNet50_Weights.IMAGENET1K_V2) == str(ResNet50_Weights.IMAGENET1K_V2) == "ResNet50_Weights.IMAGENET1K_V2"
    )
    assert repr(ResNet50_Weights.DEFAULT) == "ResNet50_Weights.IMAGENET1K_V2"


def test_equal_members_are_an_error_unless_one_is_default():
    with pytest.raises(ContractError, match=r"Twice\.B and \.A have equal values"):

        class Twice(zoo.WeightsEnum):
            A = zoo.Weights(url="https://example.org/a.pth")
            B = zoo.Weights(url="https://example.org/a.pth")


def test_members_must_be_weights():
    with pytest.raises(ContractError, match=r"expected zoo\.Weights"):

        class Wrong(zoo.WeightsEnum):
            A = "https://example.org/a.pth"


def test_meta_has_torchvisions_keys():
    meta = ResNet50_Weights.IMAGENET1K_V2.meta
    assert meta["num_params"] == 25_557_032
    assert meta["min_size"] == (1, 1)
    assert meta["_metrics"] == {"ImageNet-1K": {"acc@1": 80.858, "acc@5": 95.434}}
    assert meta["_ops"] == 4.089
    assert meta["_file_size"] == 97.79
    assert meta["recipe"].startswith("https://")
    assert meta["license"] == "BSD-3-Clause"
    assert meta["_docs"]
    assert len(meta["categories"]) == 1000
    assert meta["categories"][:2] == ["tench", "goldfish"]
    assert Tiny_Weights.A.meta["categories"] == ["cat", "dog"]
    assert Tiny_Weights.B.meta["backend"] == "fbgemm"
    assert "categories" not in Tiny_Weights.B.meta


def test_replaced_weights_keep_the_rest_of_the_description():
    mine = dataclasses.replace(ResNet50_Weights.DEFAULT.value, url="file:///tmp/mine.pth")
    assert mine.url == "file:///tmp/mine.pth"
    assert mine.transforms == ResNet50_Weights.DEFAULT.transforms
    assert mine.meta["categories"] == ResNet50_Weights.DEFAULT.meta["categories"]


def test_verify_names_the_members():
    assert ResNet50_Weights.verify(None) is None
    assert ResNet50_Weights.verify("IMAGENET1K_V1") is ResNet50_Weights.IMAGENET1K_V1
    assert ResNet50_Weights.verify("ResNet50_Weights.DEFAULT") is ResNet50_Weights.IMAGENET1K_V2
    with pytest.raises(UnknownWeights, match=r"IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT.*Did you mean"):
        ResNet50_Weights.verify("IMAGENET1K_V3")
    with pytest.raises(UnknownWeights):
        ResNet50_Weights.verify(ResNet18_Weights.DEFAULT)


def test_a_preset_builds_what_it_describes():
    preset = zoo.Preset("fractions:Fraction", {"numerator": 3, "denominator": 4})
    assert preset() == 0.75
    assert preset(denominator=2) == 1.5
    with pytest.raises(ContractError, match="not an import string"):
        zoo.Preset("fractions.Fraction")()
    with pytest.raises(ContractError, match="cannot be resolved"):
        load_object("fractions:Fractoin")


def spec(name: str = "a", builder: str = "m:f", **kwargs) -> zoo.ModelSpec:
    return zoo.ModelSpec(name, builder, **{"task": "image-classification", **kwargs})


def task(implementation: object = "m:C", **kwargs) -> zoo.TaskSpec:
    return zoo.TaskSpec("t", implementation, **kwargs)


def option(name: object = "clips", kind: object = int, words: object = "How many.") -> zoo.Option:
    return zoo.Option(name, kind, 1, words)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ({"models": []}, r"returned dict; expected zoo\.Manifest"),
        (zoo.Manifest(api_version=2), "Install a newer zoo-core"),
        (zoo.Manifest(api_version=1, models=["resnet50"]), r"models contains 'resnet50'"),
        (zoo.Manifest(api_version=1, models=[spec("a/b")]), "'a/b' is not a model name"),
        (zoo.Manifest(api_version=1, models=[spec(), spec()]), "'a' is defined twice"),
        (zoo.Manifest(api_version=1, models=[spec(builder="m.f")]), "not of the form"),
        (zoo.Manifest(api_version=1, tasks=[task(None)]), "t: implementation None is not of the form"),
        (zoo.Manifest(api_version=1, tasks=[task("m.C")]), r"t: implementation 'm\.C' is not of the form"),
        (zoo.Manifest(api_version=1, tasks=[task(print)]), "t: implementation <built-in function print> is not"),
        (zoo.Manifest(api_version=1, tasks=[task(provides={"export": "m.f"})]), r"t: export 'm\.f' is not of the form"),
        (zoo.Manifest(api_version=1, tasks=[task(), task()]), "'t' is defined twice among its tasks"),
        (zoo.Manifest(api_version=1, tasks=[spec()]), r"tasks contains ModelSpec.*expected zoo\.TaskSpec"),
        (zoo.Manifest(api_version=1, tasks=[task(options=["clips"])]), r"options is \['clips'\]; .*tuple of zoo\.Opt"),
        (
            zoo.Manifest(api_version=1, tasks=[task(metrics=(option(),))]),
            r"metrics is .*expected a tuple of zoo\.Metric",
        ),
        (
            zoo.Manifest(api_version=1, tasks=[task(options=(option("a-b"),))]),
            "t: Option.*'a-b'.*: expected a name, int",
        ),
        (
            zoo.Manifest(api_version=1, tasks=[task(options=(option(kind=list),))]),
            "expected a name, int, float, bool or",
        ),
        (zoo.Manifest(api_version=1, tasks=[task(options=(option(words=""),))]), "expected .* and one line of help"),
        (zoo.Manifest(api_version=1, tasks=[task(suffixes=".png")]), r"suffixes is '\.png'; expected a tuple such as"),
        (zoo.Manifest(api_version=1, commands=["label"]), r"commands contains 'label'; expected zoo\.Command"),
        (zoo.Manifest(api_version=1, commands=[zoo.Command("a:b", "m:f", "Do.")]), "'a:b' is not a command name"),
        (zoo.Manifest(api_version=1, commands=[zoo.Command("do", "m.f", "Do.")]), r"do: 'm\.f' is not of the form"),
        (
            zoo.Manifest(api_version=1, commands=[zoo.Command("do", print, "Do.")]),
            "do: <built-in function print> is not",
        ),
        (
            zoo.Manifest(api_version=1, commands=[zoo.Command("do", "m:f", " ")]),
            "do: its summary is ' '; expected a sen",
        ),
        (
            zoo.Manifest(api_version=1, commands=2 * [zoo.Command("do", "m:f", "Do.")]),
            "'do' is defined twice among its com",
        ),
        (zoo.Manifest(api_version=1, engines=["fast"]), r"engines contains 'fast'; expected zoo\.Engine"),
        (zoo.Manifest(api_version=1, engines=[zoo.Engine("a b", "m:f")]), "'a b' is not an? engine name"),
        (zoo.Manifest(api_version=1, engines=[zoo.Engine("fast", "m.f")]), r"fast: 'm\.f' is not of the form"),
        (zoo.Manifest(api_version=1, engines=[zoo.Engine("fast", "m:f", ".onnx")]), r"fast: suffixes is '\.onnx'"),
        (
            zoo.Manifest(api_version=1, engines=2 * [zoo.Engine("fast", "m:f")]),
            "'fast' is defined twice among its engines",
        ),
        (zoo.Manifest(api_version=1, provides={"t": "m:f"}), r"provides has 't': 'm:f'; expected \(task, verb\)"),
        (zoo.Manifest(api_version=1, provides={("t", 1): "m:f"}), r"provides has \('t', 1\): 'm:f'; expected \(task,"),
        (zoo.Manifest(api_version=1, provides={("t", "distil"): "m.f"}), r"'m\.f'; expected .*'package\.module:name'"),
        (zoo.Manifest(api_version=1, models=[spec(weights=dict)]), r"subclass of zoo\.WeightsEnum"),
        (zoo.Manifest(api_version=1, models=[spec(task=())]), "no task"),
        (zoo.Manifest(api_version=1, models=[spec()], renamed={"old": "b"}), "the new name must be a model"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_reason(manifest, complaint):
    with pytest.raises(ContractError, match=complaint):
        check_manifest(manifest)


def test_every_problem_of_a_manifest_is_named_at_once():
    with pytest.raises(ContractError) as caught:
        check_manifest(zoo.Manifest(api_version=1, models=[spec("a b"), spec(builder="nonsense")]))
    assert "'a b'" in str(caught.value)
    assert "nonsense" in str(caught.value)


def test_a_good_manifest_is_given_back_with_all_that_is_in_it():
    command, engine = zoo.Command("do", "m:f", "Do."), zoo.Engine("fast", "m:f", (".onnx",))
    good = task(options=(option(),), metrics=(zoo.Metric("hits", "Hits"),), provides={"evaluate": "m:f"})
    read = check_manifest(
        zoo.Manifest(
            api_version=1,
            models=(s for s in [spec()]),
            tasks=[good],
            commands=[command],
            engines=iter([engine]),
            provides={("t", "distil"): "m:f"},
            renamed={"old": "a"},
        )
    )
    assert (read.models, read.tasks, read.commands, read.engines) == ((spec(),), (good,), (command,), (engine,))
    assert (read.provides, read.renamed) == ({("t", "distil"): "m:f"}, {"old": "a"})


# ── options of tasks ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "default", "text", "value"),
    [
        (int, 1, "4", 4),
        (int, 1, "-3", -3),
        (int, None, "none", None),
        (int, None, "NULL", None),
        (float, 0.5, "0.25", 0.25),
        (float, 0.5, "1e-3", 0.001),
        (float, 0.5, "2", 2.0),
        (bool, False, "true", True),
        (bool, False, "Yes", True),
        (bool, True, "off", False),
        (bool, True, "0", False),
        (str, "full", "roi", "roi"),
        (str, "full", "none", "none"),  # None is not a value if there is a default
        (str, None, "None", None),
        (str, "full", "", ""),
    ],
)
def test_an_option_is_read_as_it_is_typed(kind, default, text, value):
    found = zoo.Option("clips", kind, default, "How many.").read(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (int, "4.5", "a whole number"),
        (int, "", "a whole number"),
        (int, "none", "a whole number"),
        (float, "much", "a number"),
        (bool, "perhaps", "true or false"),
        (bool, "2", "true or false"),
    ],
)
def test_what_an_option_cannot_be_is_told_with_its_help(kind, text, expected):
    with pytest.raises(InvalidArgument, match=f"^clips is '{text}'; expected {expected}. How many.$"):
        zoo.Option("clips", kind, kind(0), "How many.").read(text)


def test_options_are_of_verbs():
    clips, limit, worst = (
        option(),
        zoo.Option("limit", int, 5, "Few."),
        zoo.Option("worst", bool, False, "All.", "evaluate"),
    )
    spec_ = task(options=(clips, worst, limit))
    assert spec_.options_of("predict") == {"clips": clips, "limit": limit}
    assert spec_.options_of("evaluate") == {"worst": worst}
    assert list(spec_.options_of("evaluate", "predict")) == ["worst", "clips", "limit"]
    assert spec_.options_of("export") == {}
    config = {"num_classes": 3, "worst": True, "clips": 2}
    assert spec_.take_options(config, "predict") == {"clips": 2}
    assert config == {"num_classes": 3, "worst": True}


TORCH_FREE = """
import sys
class Block:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("torch", "numpy", "PIL", "safetensors", "huggingface_hub"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
import zoo, zoo.contract, zoo.errors, zoo.files, zoo.models, zoo.registry
assert len(zoo.list_models()) >= 80
assert zoo.model_info("resnet50").num_params == 25_557_032
assert repr(zoo.get_weight("ResNet50_Weights.DEFAULT")) == "ResNet50_Weights.IMAGENET1K_V2"
assert zoo.get_model_weights("resnet18").DEFAULT.meta["categories"][0] == "tench"
assert zoo.models.ResNet18_Weights is zoo.get_model_weights("resnet18")
"""


def test_listing_works_with_torch_blocked():
    subprocess.run([sys.executable, "-c", TORCH_FREE], check=True)


def test_every_public_name_of_zoo_exists():
    for name in zoo.__all__:
        if name not in ("ops", "testing", "draw", "utils"):
            assert getattr(zoo, name) is not None, name
    assert set(dir(zoo)) >= set(zoo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        zoo.nonsense  # noqa: B018
