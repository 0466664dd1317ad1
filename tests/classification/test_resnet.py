"""ResNet: dilation instead of stride, zero initialisation of the residual branches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zoo.errors import InvalidArgument
from zoo_classification.resnet import BasicBlock, Bottleneck, ResNet, resnet50


def test_dilation_gives_the_same_features_on_a_denser_grid() -> None:
    strided = resnet50(num_classes=0).eval()
    dilated = resnet50(num_classes=0, replace_stride_with_dilation=[False, True, True]).eval()
    dilated.load_state_dict(strided.state_dict())
    assert [s.stride for s in dilated.feature_info] == [2, 4, 8, 8, 8]
    features: dict[str, torch.Tensor] = {}
    strided.layer4.register_forward_hook(lambda m, i, o: features.update(strided=o))
    dilated.layer4.register_forward_hook(lambda m, i, o: features.update(dilated=o))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        strided(x)
        dilated(x)
    assert features["dilated"].shape[2:] == (8, 8)
    torch.testing.assert_close(features["dilated"][..., ::4, ::4], features["strided"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block_type", [BasicBlock, Bottleneck])
def test_zero_init_residual_starts_every_block_as_the_identity(block_type: Any) -> None:
    block = ResNet(block_type, [2, 1, 1, 1], zero_init_residual=True).layer1[1]
    x = torch.rand(2, block.conv1.in_channels, 4, 4)
    assert torch.equal(block(x), x)
    assert not torch.equal(ResNet(block_type, [2, 1, 1, 1]).layer1[1](x), x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 32}, "Use Bottleneck"),
        ({"width_per_group": 128}, "Use Bottleneck"),
        ({"width_per_group": 0}, "width_per_group is 0"),
        ({"replace_stride_with_dilation": [True]}, "three booleans"),
        ({"replace_stride_with_dilation": [False, False, True]}, "Use Bottleneck"),
        ({"num_classes": -1}, "num_classes"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ResNet(BasicBlock, [1, 1, 1, 1], **arguments)
    with pytest.raises(InvalidArgument, match="four stages"):
        ResNet(BasicBlock, [1, 1, 1])
