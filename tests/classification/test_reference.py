"""Every classification model equals the published one in layout, initialisation and outputs, and can be adapted as
documented."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from helpers import flatten, output_problems, read_reference
from published import PublishedBends, PublishedModels, PublishedSettings
from reference.fill import fill_, images

import zoo

# More than 100 million parameters each; the two smallest VGG models are kept.
BIG = [
    *("convnext_large", "efficientnet_v2_l", "regnet_x_32gf", "regnet_y_32gf", "regnet_y_128gf", "wide_resnet101_2"),
    *("vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vit_l_16", "vit_l_32", "vit_h_14"),
]
BUILDS = read_reference("weights_builds_classification")
DIFFERENT = [name for name, build in BUILDS.items() if build["attrs"] != build["plain_attrs"]]


class TestModels(PublishedModels, PublishedSettings, PublishedBends):
    family = "classification"
    num_classes = 1000
    slow = {"test_model_is_the_published_one": BIG}  # noqa: RUF012

    def smallest(self, name: str) -> tuple[int, ...]:
        size = max(224, min(entry.value.min_size[0] for entry in zoo.get_model_weights(name)))
        return size, size

    def check_stage(self, stage: zoo.Stage, sizes: Mapping[str, int], side: int) -> None:
        cells = side / stage.stride
        if stage.layout == "NLC":
            assert sizes["L"] in (cells**2, cells**2 + 1), "patches, optionally after a class token"
        else:
            assert 0.7 * cells < sizes["H"] == sizes["W"] < cells + 1, "convolutions without padding lose some"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * n.startswith(("ViT_L", "ViT_H"))) for n in DIFFERENT]
)
def test_settings_that_weights_imply_give_the_published_outputs(name: str) -> None:
    entry, build = zoo.get_weight(name), BUILDS[name]
    model = fill_(zoo.get_model(read_reference("weights")[name]["model"], **entry.value.config)).eval()
    with torch.no_grad():
        got = flatten(model((images(tuple(build["input"])) - 0.45) / 0.225))
    assert output_problems(got, build["eval"]) == []
