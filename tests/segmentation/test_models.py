"""The six models, and the three families on any backbone, with non-default arguments."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import models_of
from reference.fill import fill_
from torch import Tensor, nn

import zoo
from zoo.errors import CheckpointError, InvalidArgument

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [(1, 1), (1, 7), (2, 3), (9, 33), (65, 17)]


@pytest.mark.parametrize("name", [n for n in models_of("segmentation") if "101" not in n])
def test_any_image_size_from_one_pixel_up(name: str) -> None:
    model = zoo.get_model(name, weights_backbone=None, num_classes=3).eval()
    with torch.no_grad():
        for height, width in SIZES:
            out = model(torch.rand(1, 3, height, width))["out"]
            assert out.shape == (1, 3, height, width)
            assert out.isfinite().all()


def test_input_that_is_no_batch_of_images_is_refused() -> None:
    model = zoo.get_model("lraspp_mobilenet_v3_large", weights_backbone=None, width_mult=0.25)
    with pytest.raises(InvalidArgument, match=r"4 channels .* takes 3"):
        model(torch.rand(1, 4, 8, 8))
    with pytest.raises(InvalidArgument, match="unsqueeze"):
        model(torch.rand(3, 8, 8))
    with pytest.raises(InvalidArgument, match="num_classes is 0"):
        zoo.get_model("lraspp_mobilenet_v3_large", weights_backbone=None, num_classes=0)


# ── weights ──────────────────────────────────────────────────────────────────────────────────────────────────────

LRASPP, FCN = "lraspp_mobilenet_v3_large", "fcn_resnet50"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files like the published ones: of the complete models, and of their backbones as classifiers."""
    folder = tmp_path_factory.mktemp("files")
    fcn = zoo.get_model(FCN, weights_backbone=None, aux_loss=True)
    models = {
        LRASPP: fill_(zoo.get_model(LRASPP, weights_backbone=None)),
        FCN: fill_(fcn),
        "mobilenet_v3_large": fill_(zoo.get_model("mobilenet_v3_large"), seed=1),
    }
    for name, model in models.items():
        torch.save(model.state_dict(), folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in models}


def entry_at(model: str, path: Path) -> zoo.Weights:
    return dataclasses.replace(zoo.get_model_weights(model).DEFAULT.value, url=path.as_uri())


def test_with_weights_the_auxiliary_classifier_is_on_unless_declined(files: dict[str, Path]) -> None:
    saved = torch.load(files[FCN])
    full = zoo.get_model(FCN, weights=entry_at(FCN, files[FCN]))
    plain = zoo.get_model(FCN, weights=entry_at(FCN, files[FCN]), aux_loss=False)
    assert torch.equal(full.aux_classifier[4].weight, saved["aux_classifier.4.weight"])
    assert plain.aux_classifier is None
    assert zoo.load_report(full).ignored == ()
    aux = {key for key in saved if key.startswith("aux_classifier.")}
    assert set(zoo.load_report(plain).ignored) == aux
    assert torch.equal(plain.backbone.layer4[2].conv3.weight, saved["backbone.layer4.2.conv3.weight"])


def test_other_number_of_classes_renews_both_heads_alone(files: dict[str, Path]) -> None:
    saved = torch.load(files[FCN])
    model = zoo.get_model(FCN, weights=entry_at(FCN, files[FCN]), num_classes=4)
    renewed = {f"{head}.4.{leaf}" for head in ("classifier", "aux_classifier") for leaf in ("weight", "bias")}
    assert set(zoo.load_report(model).reinitialised) == renewed
    for key, value in model.state_dict().items():
        assert value.shape[0] == 4 if key in renewed else torch.equal(value, saved[key]), key


def test_auxiliary_classifier_that_the_file_lacks_is_an_error(files: dict[str, Path], tmp_path: Path) -> None:
    state = {k: v for k, v in torch.load(files[FCN]).items() if not k.startswith("aux")}
    torch.save(state, tmp_path / "plain.pth")
    assert zoo.get_model(FCN, weights=str(tmp_path / "plain.pth")).aux_classifier is None
    with pytest.raises(CheckpointError, match=r"aux_classifier\.0\.weight"):
        zoo.get_model(FCN, weights=str(tmp_path / "plain.pth"), aux_loss=True)


def test_backbone_weights_are_loaded_where_the_whole_model_has_none(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    enum = zoo.get_model_weights("mobilenet_v3_large")
    there = dataclasses.replace(enum.IMAGENET1K_V1.value, url=files["mobilenet_v3_large"].as_uri())
    monkeypatch.setattr(enum.IMAGENET1K_V1, "_value_", there)
    of_backbone, whole = torch.load(files["mobilenet_v3_large"]), torch.load(files[LRASPP])

    by_default = zoo.get_model(LRASPP)
    assert torch.equal(by_default.backbone["16"][0].weight, of_backbone["features.16.0.weight"])
    filled = zoo.get_model(LRASPP, weights=entry_at(LRASPP, files[LRASPP]))
    assert torch.equal(filled.backbone["16"][0].weight, whole["backbone.16.0.weight"])

    nowhere = dataclasses.replace(enum.IMAGENET1K_V1.value, url="file:///nowhere/gone.pth")
    monkeypatch.setattr(enum.IMAGENET1K_V1, "_value_", nowhere)
    zoo.get_model(LRASPP, weights=entry_at(LRASPP, files[LRASPP]))  # the backbone's weights are not requested
    with pytest.warns(DeprecationWarning, match="weights_backbone=None"):
        zoo.models.segmentation.lraspp_mobilenet_v3_large(pretrained_backbone=False)


def test_other_channels_adapt_the_first_convolution(files: dict[str, Path]) -> None:
    saved = torch.load(files[LRASPP])["backbone.0.0.weight"]
    with pytest.warns(zoo.errors.WeightsWarning, match="from 3 to 1 channels"):
        grey = zoo.get_model(LRASPP, weights=entry_at(LRASPP, files[LRASPP]), in_channels=1).eval()
    assert torch.equal(grey.backbone["0"][0].weight, saved.sum(1, keepdim=True))
    assert grey(torch.rand(1, 1, 40, 30))["out"].shape == (1, 21, 40, 30)


# ── any backbone ─────────────────────────────────────────────────────────────────────────────────────────────────


def features_used(model: nn.Module, images: Tensor) -> dict[str, list[int]]:
    found: dict[str, Tensor] = {}
    handle = model.backbone.register_forward_hook(lambda module, given, output: found.update(output))
    model(images)
    handle.remove()
    return {name: list(feature.shape) for name, feature in found.items()}


@pytest.mark.parametrize(
    ("family", "backbone", "options", "features"),
    [
        # NCHW, NHWC and a sequence of patches; a dilated backbone; stages before the last for aux and low.
        ("deeplabv3", "convnext_tiny", {"aux_loss": True}, {"aux": [1, 384, 6, 4], "out": [1, 768, 3, 2]}),
        ("fcn", "swin_t", {"aux_loss": True}, {"aux": [1, 384, 6, 4], "out": [1, 768, 3, 2]}),
        ("deeplabv3", "vit_b_16", {"image_size": 96}, {"out": [1, 768, 6, 6]}),
        ("fcn", "resnet50", {"replace_stride_with_dilation": (0, 1, 1)}, {"out": [1, 2048, 12, 8]}),
        ("lraspp", "resnet18", {}, {"low": [1, 128, 12, 8], "high": [1, 512, 3, 2]}),
        ("lraspp", "efficientnet_b0", {}, {"low": [1, 40, 12, 8], "high": [1, 320, 3, 2]}),
    ],
)
def test_a_family_on_any_backbone(family: str, backbone: str, options: Any, features: dict[str, list[int]]) -> None:
    with torch.device("meta"):
        model = zoo.get_model(family, backbone=backbone, num_classes=5, **options).eval()
        images = torch.empty(1, 3, 96, 96 if "vit" in backbone else 64)
        outputs = model(images)
        assert features_used(model, images) == features
    assert {name: list(x.shape) for name, x in outputs.items()} == {
        name: [1, 5, *images.shape[-2:]] for name in (["out", "aux"] if "aux" in features else ["out"])
    }


def test_atrous_rates_follow_the_stride() -> None:
    def rates(**options: Any) -> list[int]:
        with torch.device("meta"):
            model = zoo.get_model("deeplabv3", backbone="resnet50", **options)
        return [conv[0].dilation[0] for conv in model.classifier[0].convs[1:-1]]

    assert rates(replace_stride_with_dilation=(0, 1, 1)) == [12, 24, 36]
    assert rates(replace_stride_with_dilation=(0, 0, 1)) == [6, 12, 18]
    assert rates() == [3, 6, 9]
    assert rates(atrous_rates=(2, 5)) == [2, 5]
    for wrong in ((), (0, 6)):
        with pytest.raises(InvalidArgument, match="atrous_rates"):
            rates(atrous_rates=wrong)


class Strides(nn.Module):
    """A third party's classifier with stages of its own."""

    def __init__(self, stages: int = 3) -> None:
        super().__init__()
        widths = [3, 4, 6, 8][: stages + 1]
        self.body = nn.Sequential(*(nn.Conv2d(a, b, 3, 4, padding=1) for a, b in itertools.pairwise(widths)))
        self.fc = nn.Linear(widths[-1], 10)
        self.feature_info = [zoo.Stage(f"body.{i}", widths[i + 1], 4 ** (i + 1)) for i in range(stages)]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3)))


@pytest.mark.parametrize("family", ["fcn", "deeplabv3", "lraspp"])
def test_a_third_partys_backbone_is_trained_and_its_classifier_is_not(family: str) -> None:
    model = zoo.get_model(family, backbone=Strides(), num_classes=2)
    out = model(torch.rand(2, 3, 70, 130))["out"]
    assert out.shape == (2, 2, 70, 130)
    out.square().mean().backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert without == frozen == {"backbone.body.model.fc.weight", "backbone.body.model.fc.bias"}


def test_backbones_that_will_not_do_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="feature_info"):
        zoo.get_model("fcn", backbone=nn.Conv2d(3, 4, 1))
    with pytest.raises(InvalidArgument, match="one stage"):
        zoo.get_model("lraspp", backbone=Strides(stages=1))
    with pytest.raises(InvalidArgument, match="one stage"):
        zoo.get_model("deeplabv3", backbone=Strides(stages=1), aux_loss=True)
    with pytest.raises(InvalidArgument, match="dropout"):
        zoo.get_model("fcn", backbone=Strides(), dropout=0.1)
    with pytest.raises(zoo.errors.UnknownModel, match="resnet50"):
        zoo.get_model("fcn", backbone="resnet51")


def test_outputs_of_a_model_do_not_depend_on_its_neighbours() -> None:
    model = fill_(zoo.get_model("lraspp_mobilenet_v3_large", weights_backbone=None, width_mult=0.25)).eval()
    images = torch.rand(3, 3, 33, 50)
    with torch.no_grad():
        together = model(images)["out"]
        apart = torch.cat([model(image[None])["out"] for image in images])
        again = copy.deepcopy(model)(images)["out"]
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)
    assert torch.equal(together, again)
