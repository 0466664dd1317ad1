from __future__ import annotations

import pytest

import zoo
import zoo_classification
from zoo.errors import (
    AmbiguousModel,
    ContractError,
    InvalidArgument,
    PluginError,
    UnknownModel,
    UnknownTask,
    UnknownWeights,
)
from zoo_classification import ResNet50_Weights


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"include": "resnet1*"}, ["resnet101", "resnet152", "resnet18"]),
        ({"include": ["resnet5*", "squeeze*"]}, ["resnet50", "squeezenet1_0", "squeezenet1_1"]),
        ({"include": "*resnet*", "exclude": ["*_*", "resnet???"]}, ["resnet18", "resnet34", "resnet50"]),
        ({"include": "RESNET*"}, []),
        ({"include": "resn*", "max_params": 26e6}, ["resnet18", "resnet34", "resnet50", "resnext50_32x4d"]),
        ({"include": "resn*", "min_metrics": {"acc@1": 82.5}}, ["resnext101_32x8d", "resnext101_64x4d"]),
        ({"include": "resn*", "max_metrics": {"acc@1": 70}}, ["resnet18"]),
        ({"include": "resn*", "min_metrics": {"ImageNet-1K/acc@5": 96.3}}, ["resnext101_64x4d"]),
        ({"include": "alex*", "has_weights": True}, ["alexnet"]),
        ({"include": "alex*", "has_weights": False}, []),
        ({"include": "alex*", "plugin": "classification", "task": "image-classification"}, ["alexnet"]),
    ],
)
def test_filters(filters, expected):
    assert zoo.list_models(**filters) == expected


def test_modules(without_flow):
    everything = zoo.list_models(plugin="classification")
    assert len(everything) == 80
    assert zoo.list_models(zoo_classification) == zoo.list_models(module=zoo.models) == everything
    assert zoo.list_models(zoo.models.optical_flow) == []


def test_a_pattern_may_be_given_first():
    assert zoo.list_models("resnet*", exclude="*101*") == zoo.list_models(include="resnet*", exclude="*101*")
    assert "resnet18" in zoo.list_models("resnet*")
    with pytest.raises(InvalidArgument, match="module is 'a'; expected a module"):
        zoo.list_models("a", "resnet*")
    with pytest.raises(InvalidArgument, match="include="):
        zoo.list_models(["resnet*"])


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ({"task": "image-clasification"}, UnknownTask, "Did you mean 'image-classification'"),
        ({"plugin": "clasification"}, InvalidArgument, "Did you mean 'classification'"),
        ({"min_metrics": {"acc@2": 1}}, InvalidArgument, "Did you mean 'acc@"),
    ],
)
def test_a_filter_that_nothing_can_pass_is_an_error(filters, error, message):
    with pytest.raises(error, match=message):
        zoo.list_models(**filters)


def test_names_to_models_builders_and_weights():
    assert zoo.get_model_builder("classification/resnet50") is zoo.get_model_builder("resnet50")
    assert zoo.get_model_weights("resnet50") is ResNet50_Weights
    assert zoo.get_model_weights(zoo_classification.resnet50) is ResNet50_Weights
    assert zoo.get_weight("ResNet50_Weights.IMAGENET1K_V2") is ResNet50_Weights.IMAGENET1K_V2
    assert zoo.get_weight("ResNet50_Weights.DEFAULT") is ResNet50_Weights.IMAGENET1K_V2
    assert zoo.get_model("resnet18", weights=None, num_classes=3).fc.out_features == 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: zoo.get_model("resnet5"), UnknownModel, "Did you mean 'resnet50'"),
        (lambda: zoo.get_model("fasterrcnn_resnet50_fpn_v9"), UnknownModel, "zoo-detection|Did you mean"),
        (lambda: zoo.get_model(50), UnknownModel, "not a model name"),
        (lambda: zoo.get_weight("ResNet50_Weight.DEFAULT"), UnknownWeights, "Did you mean 'ResNet50_Weights'"),
        (lambda: zoo.get_weight("ResNet50_Weights.V2"), UnknownWeights, "IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"),
        (lambda: zoo.get_weight("resnet50"), UnknownWeights, "not of the form"),
        (lambda: zoo.get_model_weights(print), UnknownWeights, "No weights are published for print"),
        (lambda: zoo.get_task("image-clasification"), UnknownTask, "Did you mean 'image-classification'"),
    ],
)
def test_unknown_names_get_the_closest(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_errors_are_what_one_would_have_caught_anyway():
    with pytest.raises(ValueError, match="resnet5"):
        zoo.get_model("resnet5")
    with pytest.raises(KeyError):
        zoo.get_model("resnet5")


def test_model_info():
    info = zoo.model_info("resnet50")
    assert (info.name, info.full_name, info.plugin) == ("resnet50", "classification/resnet50", "classification")
    assert (info.task, info.distribution, info.version) == ("image-classification", "zoo-classification", "0.1.0")
    assert info.num_params == 25_557_032
    assert "https://arxiv.org/abs/1512.03385" in info.paper
    assert list(info.weights) == ["IMAGENET1K_V1", "IMAGENET1K_V2", "DEFAULT"]
    assert info.default_weights == "IMAGENET1K_V2"


def test_a_name_that_one_of_ours_has_stays_ours(plugin_folder):
    plugin_folder.install_models("acme", "resnet50", "acme_net")
    zoo.refresh()
    names = zoo.list_models()
    assert {"resnet50", "acme/resnet50", "acme_net"} <= set(names)
    assert "classification/resnet50" not in names
    assert zoo.model_info("resnet50").plugin == "classification"
    assert zoo.model_info("acme/resnet50").plugin == "acme"


def test_patterns_beside_a_plugin_match_its_models_without_its_name(plugin_folder):
    plugin_folder.install_models("acme", "resnet50", "resnet18_acme")
    zoo.refresh()
    assert zoo.list_models("resnet50*") == ["resnet50"], "without a plugin, the name as it is listed"
    assert zoo.list_models("resnet*", plugin="acme") == ["acme/resnet50", "resnet18_acme"]
    assert zoo.list_models("acme/resnet*", plugin="acme") == ["acme/resnet50"]
    assert zoo.list_models(exclude="resnet50", plugin="acme") == ["resnet18_acme"]


def test_a_name_that_two_others_have_means_neither(plugin_folder):
    plugin_folder.install_models("acme", "shared_net")
    plugin_folder.install_models("zeta", "shared_net")
    zoo.refresh()
    assert {"acme/shared_net", "zeta/shared_net"} <= set(zoo.list_models())
    assert "shared_net" not in zoo.list_models()
    with pytest.raises(AmbiguousModel, match="'acme/shared_net' and 'zeta/shared_net'"):
        zoo.get_model("shared_net")


def test_an_old_name_works_with_a_warning(plugin_folder):
    plugin_folder.install(
        "acme",
        """
        @zoo.hookimpl
        def zoo_manifest():
            spec = zoo.ModelSpec("new_net", "acme:net", task="image-classification")
            return zoo.Manifest(api_version=1, models=[spec], renamed={"old_net": "new_net"})
        """,
    )
    zoo.refresh()
    for old in ("old_net", "acme/old_net"):
        with pytest.warns(
            DeprecationWarning, match="'old_net' is called 'new_net' now|'acme/old_net' is called 'new_net'"
        ):
            assert zoo.model_info(old).name == "new_net"
    assert "old_net" not in zoo.list_models()


def test_a_builder_that_is_not_there_names_plugin_and_reason(plugin_folder):
    plugin_folder.install_models("acme", "acme_net")
    zoo.refresh()
    with pytest.raises(PluginError, match="'acme/acme_net', 'nowhere:acme_net', cannot be loaded: ModuleNotFoundError"):
        zoo.get_model("acme_net")


@pytest.mark.usefixtures("local_names")
def test_a_notebooks_own_model():
    import torch

    @zoo.register_model(num_params=6)
    def my_net(num_classes=2, **_):
        return torch.nn.Linear(2, num_classes)

    assert "my_net" in zoo.list_models()
    assert zoo.list_models(plugin="local") == ["my_net"]
    assert zoo.model_info("local/my_net").num_params == 6
    assert zoo.get_model("my_net", num_classes=5).out_features == 5

    @zoo.register_model("resnet50")
    def another():
        return None

    assert zoo.model_info("resnet50").plugin == "classification"
    assert zoo.get_model_builder("local/resnet50") is another

    with pytest.raises(ContractError, match="used in this session"):
        zoo.register_model("my_net")(another)
    with pytest.raises(ContractError, match="with parentheses"):
        zoo.register_model(another)


@pytest.mark.usefixtures("local_names")
def test_defining_a_cell_again_replaces_its_model():
    for size in (1, 2):

        @zoo.register_model("cell")
        def cell(size=size):
            return size

    assert zoo.get_model("cell") == 2
