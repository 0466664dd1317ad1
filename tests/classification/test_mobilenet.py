"""MobileNet V2 and V3: widths, the tails for dense prediction, and bad arguments."""

from functools import partial

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.mobilenet_v2 import MobileNetV2
from zoo_classification.mobilenet_v3 import MobileNetV3


def stages(model: nn.Module) -> list[tuple[str, int, int]]:
    return [(stage.path, stage.channels, stage.stride) for stage in zoo.feature_info(model)]


def test_v2_width_mult_scales_all_but_a_narrow_networks_last_layer() -> None:
    narrow, wide = zoo.get_model("mobilenet_v2", width_mult=0.35), zoo.get_model("mobilenet_v2", width_mult=1.4)
    assert [channels for _, channels, _ in stages(narrow)] == [8, 8, 16, 32, 112]
    assert (narrow.last_channel, wide.last_channel) == (1280, 1792)


def test_v2_takes_a_table_of_ones_own() -> None:
    model = MobileNetV2(num_classes=3, inverted_residual_setting=[(1, 8, 1, 1), (4, 16, 2, 2)], round_nearest=4)
    assert stages(model) == [("features.1", 8, 2), ("features.3", 16, 4)]
    assert model(torch.randn(2, 3, 9, 7)).shape == (2, 3)


def test_v3_dilated_keeps_stride_16_and_every_parameter() -> None:
    plain, dilated = zoo.get_model("mobilenet_v3_large"), zoo.get_model("mobilenet_v3_large", dilated=True)
    assert stages(dilated)[-1] == ("features.16", 960, 16)
    assert [m.dilation for m in dilated.modules() if isinstance(m, nn.Conv2d)].count((2, 2)) == 3
    dilated.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("name", "widths"), [("mobilenet_v3_large", (672, 80, 480)), ("mobilenet_v3_small", (288, 48, 288))]
)
def test_v3_reduced_tail_halves_what_follows_the_last_halving(name: str, widths: tuple[int, int, int]) -> None:
    *_, first, _, block, last = zoo.get_model(name, reduced_tail=True).features
    assert (first.block[0].out_channels, first.out_channels, block.block[0].out_channels) == widths
    assert last.out_channels == 6 * first.out_channels


def test_v3_norm_is_the_papers_or_ones_own() -> None:
    norm = zoo.get_model("mobilenet_v3_small").features[0][1]
    assert (norm.eps, norm.momentum) == (0.001, 0.01)
    own = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    assert zoo.get_model("mobilenet_v3_small", norm_layer=own).features[12][1].momentum == 0.03


def test_v3_no_classes_give_the_last_hidden_layer() -> None:
    model = zoo.get_model("mobilenet_v3_small", num_classes=0).eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(x), model.classifier[:2](model.avgpool(model.features(x)).flatten(1)))


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small"])
@pytest.mark.parametrize("wrong", [{"dropout": 1.5}, {"width_mult": 0}, {"in_channels": -3}])
def test_arguments_out_of_range_are_named(name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        zoo.get_model(name, **wrong)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InvalidArgument, match="rows of"):
        MobileNetV2(inverted_residual_setting=[(1, 16, 1)])
    with pytest.raises(InvalidArgument, match="empty"):
        MobileNetV3([], last_channel=64)
