"""Convolution blocks: what they are made of, and hand-worked values."""

import pytest
import torch
from torch import nn

from zoo.nn import Conv2dNormActivation, Conv3dNormActivation, SqueezeExcitation, make_divisible


@pytest.mark.parametrize(
    ("v", "divisor", "expected"),
    [(32 * 0.35, 8, 16), (24 * 0.5, 8, 16), (1, 8, 8), (17, 8, 16), (90, 8, 88), (10, 4, 12), (36, 16, 48)],
)
def test_make_divisible_rounds_to_the_nearest_but_not_below_nine_tenths(v, divisor, expected):
    assert make_divisible(v, divisor) == expected


def test_make_divisible_keeps_the_given_minimum():
    assert make_divisible(3, 8, min_value=24) == 24


@pytest.mark.parametrize("kernel_size", [1, 3, 5, (3, 5)])
@pytest.mark.parametrize("dilation", [1, 2, (1, 2)])
def test_default_padding_keeps_the_size(kernel_size, dilation):
    block = Conv2dNormActivation(2, 4, kernel_size, dilation=dilation)
    assert block(torch.randn(1, 2, 12, 13)).shape == (1, 4, 12, 13)


def test_bias_is_there_exactly_without_norm_unless_said():
    assert Conv2dNormActivation(1, 1)[0].bias is None
    assert Conv2dNormActivation(1, 1, norm_layer=None)[0].bias is not None
    assert Conv2dNormActivation(1, 1, bias=True)[0].bias is not None


def test_inplace_none_calls_the_activation_without_arguments():
    assert isinstance(Conv2dNormActivation(1, 1, activation_layer=nn.Tanh, inplace=None)[2], nn.Tanh)
    assert Conv2dNormActivation(1, 1)[2].inplace is True


def test_conv3d_has_the_same_form():
    block = Conv3dNormActivation(2, 4, (1, 3, 3), stride=(1, 2, 2))
    assert [type(m) for m in block] == [nn.Conv3d, nn.BatchNorm3d, nn.ReLU]
    assert block[0].padding == (0, 1, 1)
    assert block.out_channels == 4
    assert block(torch.randn(2, 2, 3, 8, 8)).shape == (2, 4, 3, 4, 4)


def test_squeeze_excitation_scales_channels_by_their_means():
    block = SqueezeExcitation(2, 1)
    with torch.no_grad():
        block.fc1.weight.copy_(torch.tensor([1.0, 1.0]).view(1, 2, 1, 1))
        block.fc1.bias.zero_()
        block.fc2.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        block.fc2.bias.zero_()
    x = torch.tensor([[[[0.0, 2.0]], [[3.0, 5.0]]]])  # channel means 1 and 4, squeezed to 5
    expected = x * torch.sigmoid(torch.tensor([5.0, -5.0])).view(1, 2, 1, 1)
    torch.testing.assert_close(block(x), expected)
    assert list(block.state_dict()) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
