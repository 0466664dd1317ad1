"""RegNet: group widths, and squeeze-excitation sized by a block's input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.regnet import AnyStage, BlockParams, RegNet, ResBottleneckBlock, stages


def test_a_stage_narrower_than_the_group_width_is_one_group() -> None:
    model = RegNet(stages((1, 1), (16, 64), group_width=32, se_ratio=0.25))
    blocks = [stage[0].f for stage in model.trunk_output]
    assert [f.b[0].groups for f in blocks] == [1, 2]
    assert [f.se.fc1.out_channels for f in blocks] == [8, 4]  # a quarter of the input channels: 32 of the stem, then 16


@pytest.mark.parametrize("params", [stages((1,), (16, 32), 8), stages((1, 1), (16, 36), 8)])
def test_widths_that_do_not_fit_are_refused(params: BlockParams) -> None:
    with pytest.raises(InvalidArgument, match="block_params"):
        RegNet(params)


# The paper's four numbers and group width of each published network (its tables 8 and 9).
PUBLISHED = {
    "regnet_x_400mf": (22, 24, 24.48, 2.54, 16),
    "regnet_x_800mf": (16, 56, 35.73, 2.28, 16),
    "regnet_x_1_6gf": (18, 80, 34.01, 2.25, 24),
    "regnet_x_3_2gf": (25, 88, 26.31, 2.25, 48),
    "regnet_x_8gf": (23, 80, 49.56, 2.88, 120),
    "regnet_x_16gf": (22, 216, 55.59, 2.1, 128),
    "regnet_x_32gf": (23, 320, 69.86, 2.0, 168),
    "regnet_y_400mf": (16, 48, 27.89, 2.09, 8),
    "regnet_y_800mf": (14, 56, 38.84, 2.4, 16),
    "regnet_y_1_6gf": (27, 48, 20.71, 2.65, 24),
    "regnet_y_3_2gf": (21, 80, 42.63, 2.66, 24),
    "regnet_y_8gf": (17, 192, 76.82, 2.19, 56),
    "regnet_y_16gf": (18, 200, 106.23, 2.48, 112),
    "regnet_y_32gf": (20, 232, 115.89, 2.53, 232),
    "regnet_y_128gf": (27, 456, 160.83, 2.52, 264),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_rule_gives_the_published_stages(name: str) -> None:
    params = BlockParams.from_init_params(*PUBLISHED[name], se_ratio=0.25 if "_y_" in name else None)
    with torch.device("meta"):
        model = zoo.get_model(name)
        found = RegNet(params)
    assert [s.channels for s in found.feature_info[1:]] == list(params.widths)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in found.state_dict().items()} == shapes


def test_bottlenecks_narrower_than_their_stage() -> None:
    params = BlockParams.from_init_params(6, 16, 12.0, 2.0, 8, bottleneck_multiplier=0.5, unknown=3)
    assert params.bottleneck_multipliers == [0.5] * len(params.widths)
    model = RegNet(params, num_classes=3)
    for stage, width in zip(model.trunk_output, params.widths, strict=True):
        convs = stage[0].f.a[0], stage[0].f.b[0], stage[0].f.c[0]
        assert [c.out_channels for c in convs] == [width // 2, width // 2, width]
        assert convs[1].groups == max(1, width // 2 // 8)
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 3)
    with pytest.raises(InvalidArgument, match="w_0 is 20"):
        BlockParams.from_init_params(6, 20, 12.0, 2.0, 8)


def test_own_stems_blocks_and_strides() -> None:
    class Plain(nn.Conv2d):
        def __init__(
            self, width_in, width_out, stride, norm_layer, activation_layer, group_width, multiplier, se_ratio
        ):
            assert (norm_layer, activation_layer, group_width, multiplier) == (nn.BatchNorm2d, nn.ReLU, 8, 1.0)
            super().__init__(width_in, width_out, 3, stride, 1)

    model = RegNet(
        BlockParams([1, 2], [16, 24], [8, 8], [1.0, 1.0], [1, 2]),
        num_classes=0,
        stem_width=8,
        stem_type=lambda width_in, width_out, norm_layer, activation_layer: nn.Conv2d(width_in, width_out, 1),
        block_type=Plain,
    )
    x = torch.rand(1, 3, 32, 32)
    assert model.trunk_output(model.stem(x)).shape == (1, 24, 16, 16)
    assert [s.stride for s in model.feature_info] == [2, 2, 4]
    stage = AnyStage(8, 16, 2, 2, ResBottleneckBlock, nn.BatchNorm2d, nn.ReLU, 4, 1.0, stage_index=3)
    assert [name for name, _ in stage.named_children()] == ["block3-0", "block3-1"]
    assert stage(torch.rand(1, 8, 16, 16)).shape == (1, 16, 8, 8)
