"""EfficientNet: the ramp of stochastic depth, overriding a variant's arguments, bad arguments."""

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import InvalidArgument
from zoo.nn import StochasticDepth
from zoo_classification.efficientnet import EfficientNet, FusedMBConv, MBConv, MBConvConfig, StageSetting, scaled

TINY = [StageSetting(FusedMBConv, 1, 3, 1, 8, 8, 2), StageSetting(MBConv, 4, 3, 2, 8, 16, 2)]


def test_stochastic_depth_grows_linearly_from_nothing() -> None:
    model = EfficientNet(TINY, dropout=0.0, stochastic_depth_prob=0.4)
    assert [m.p for m in model.modules() if isinstance(m, StochasticDepth)] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_dropped_branch_leaves_the_identity() -> None:
    block = MBConv(MBConvConfig(4, 3, 1, 8, 8, 1), stochastic_depth_prob=1.0, norm_layer=nn.BatchNorm2d)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block.train()(x), x)
    assert not torch.equal(block.eval()(x), x)


def test_compound_scaling_rounds_widths_and_rounds_depths_up() -> None:
    assert [(s.out_channels, s.num_layers) for s in scaled(1.2, 1.4)] == [
        (24, 2), (32, 3), (48, 3), (96, 5), (136, 5), (232, 6), (384, 2)
    ]  # fmt: skip


def test_arguments_that_a_variant_sets_can_be_changed() -> None:
    model = zoo.get_model("efficientnet_v2_s", dropout=0.1, norm_layer=nn.InstanceNorm2d, last_channel=64)
    assert model.classifier[0].p == 0.1
    assert model.classifier[1].in_features == 64
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_tiny_network_learns_one_step() -> None:
    torch.manual_seed(0)
    model = EfficientNet(TINY, dropout=0.2, num_classes=5)
    model(torch.randn(4, 3, 16, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("wrong", [{"dropout": -0.1}, {"stochastic_depth_prob": 1.1}, {"in_channels": 0}])
def test_arguments_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        zoo.get_model("efficientnet_b0", **wrong)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InvalidArgument, match="at least one StageSetting"):
        EfficientNet([], dropout=0.2)
