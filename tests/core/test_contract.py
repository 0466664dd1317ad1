from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import pytest

import zoo
from zoo.contract import check_manifest, load_object
from zoo.errors import ContractError, UnknownWeights
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
    assert meta["license"] == "unknown"
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


def task(**kwargs) -> zoo.TaskSpec:
    return zoo.TaskSpec("t", **{"load": "m:f", "collate": "m:f", "decode": "m:f", **kwargs})


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ({"models": []}, r"returned dict; expected zoo\.Manifest"),
        (zoo.Manifest(api_version=2), "Install a newer zoo-core"),
        (zoo.Manifest(api_version=1, models=["resnet50"]), r"models holds 'resnet50'"),
        (zoo.Manifest(api_version=1, models=[spec("a/b")]), "'a/b' is not a model name"),
        (zoo.Manifest(api_version=1, models=[spec(), spec()]), "'a' is there twice"),
        (zoo.Manifest(api_version=1, models=[spec(builder="m.f")]), "not of the form"),
        (zoo.Manifest(api_version=1, tasks=[task(decode=None)]), "t: decode None is not of the form"),
        (zoo.Manifest(api_version=1, tasks=[task(sequence="m.f")]), r"t: sequence 'm\.f' is not of the form"),
        (zoo.Manifest(api_version=1, tasks=[task(gather=print)]), "t: gather <built-in function print> is not"),
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
