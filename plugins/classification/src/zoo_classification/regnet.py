"""RegNet: grouped residual bottlenecks whose widths a linear rule gives; RegNetY adds squeeze-excitation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import Conv2dNormActivation, SqueezeExcitation, check_count, check_images, input_channels, linear_head
from zoo_classification.weights.regnet import (
    RegNet_X_1_6GF_Weights,
    RegNet_X_3_2GF_Weights,
    RegNet_X_8GF_Weights,
    RegNet_X_16GF_Weights,
    RegNet_X_32GF_Weights,
    RegNet_X_400MF_Weights,
    RegNet_X_800MF_Weights,
    RegNet_Y_1_6GF_Weights,
    RegNet_Y_3_2GF_Weights,
    RegNet_Y_8GF_Weights,
    RegNet_Y_16GF_Weights,
    RegNet_Y_32GF_Weights,
    RegNet_Y_128GF_Weights,
    RegNet_Y_400MF_Weights,
    RegNet_Y_800MF_Weights,
)


class BlockParams(NamedTuple):
    """The shape of a RegNet: a row of the paper's tables.

    Attributes:
        depths: number of blocks in each stage.
        widths: number of channels of each stage, multiples of its group width.
        group_width: channels of each group of the 3×3 convolutions; a narrower stage is one group.
        se_ratio: width of the squeeze-excitation, as a share of the block's input channels; None for none.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    group_width: int
    se_ratio: float | None = None


class ResBottleneckBlock(nn.Module):
    """1×1, grouped 3×3, squeeze-excitation, 1×1, all of the stage's width: ``y = activation(x + f(x))``."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Callable[..., nn.Module],
        activation_layer: Callable[..., nn.Module],
        group_width: int,
        se_ratio: float | None = None,
    ) -> None:
        super().__init__()
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation_layer)
        linear_conv = partial(Conv2dNormActivation, kernel_size=1, norm_layer=norm_layer, activation_layer=None)
        self.proj = None
        if width_in != width_out or stride != 1:
            self.proj = linear_conv(width_in, width_out, stride=stride)
        f: OrderedDict[str, nn.Module] = OrderedDict()
        f["a"] = conv(width_in, width_out, kernel_size=1)
        f["b"] = conv(width_out, width_out, kernel_size=3, stride=stride, groups=width_out // group_width)
        if se_ratio is not None:
            # Of the block's input, not of the 3×3's output: so the published models have it.
            f["se"] = SqueezeExcitation(width_out, round(se_ratio * width_in), activation=activation_layer)
        f["c"] = linear_conv(width_out, width_out)
        self.f = nn.Sequential(f)
        self.activation = activation_layer(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.f(x)
        out += x if self.proj is None else self.proj(x)
        out = self.activation(out)
        return out


class RegNet(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        block_params: depths, widths, group width and squeeze-excitation of the stages.
        num_classes: number of logits; 0 gives the pooled features instead.
        stem_width: number of channels of the stem.
        stem_type: makes the stem; by default a strided 3×3 convolution, :class:`zoo.nn.Conv2dNormActivation`.
        block_type: makes a block; by default :class:`ResBottleneckBlock`.
        norm_layer: makes a norm of a number of channels; by default ``nn.BatchNorm2d``.
        activation: makes an activation, called with ``inplace=True`` or nothing; by default ``nn.ReLU``.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument out of range, or an input that is no batch of images with ``in_channels``.
    """

    in_channels = input_channels("stem")

    def __init__(
        self,
        block_params: BlockParams,
        num_classes: int = 1000,
        stem_width: int = 32,
        stem_type: Callable[..., nn.Module] | None = None,
        block_type: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        activation: Callable[..., nn.Module] | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        depths, widths, group_width, se_ratio = block_params
        group_widths = [min(group_width, width) for width in widths]
        if len(depths) != len(widths) or any(w % g for w, g in zip(widths, group_widths, strict=True)):
            raise InvalidArgument(
                f"block_params is {block_params}; expected as many depths as widths, and widths that the group width "
                "divides."
            )
        stem_type = stem_type or Conv2dNormActivation
        block_type = block_type or ResBottleneckBlock
        norm_layer = norm_layer or nn.BatchNorm2d
        activation = activation or nn.ReLU
        check_count("in_channels", in_channels, 1)
        channels = check_count("stem_width", stem_width, 1)
        self.stem = stem_type(in_channels, channels, 3, stride=2, norm_layer=norm_layer, activation_layer=activation)
        self.feature_info = [Stage("stem", channels, 2)]
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (depth, width, group) in enumerate(zip(depths, widths, group_widths, strict=True), start=1):
            blocks: OrderedDict[str, nn.Module] = OrderedDict()
            for n in range(depth):
                stride = 2 if n == 0 else 1
                block = block_type(channels, width, stride, norm_layer, activation, group, se_ratio)
                blocks[f"block{i}-{n}"] = block
                channels = width
            stages[f"block{i}"] = nn.Sequential(blocks)
            self.feature_info.append(Stage(f"trunk_output.block{i}", width, 2 ** (i + 1)))
        self.trunk_output = nn.Sequential(stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = linear_head(channels, num_classes)

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=0.01)
                nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        x = self.trunk_output(self.stem(x))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


@zoo.builder(RegNet_X_400MF_Weights, head="fc", stem="stem.0")
def regnet_x_400mf(**kwargs: Any) -> RegNet:
    """RegNetX-400MF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((1, 2, 7, 12), (32, 64, 160, 400), 16), **kwargs)


@zoo.builder(RegNet_X_800MF_Weights, head="fc", stem="stem.0")
def regnet_x_800mf(**kwargs: Any) -> RegNet:
    """RegNetX-800MF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((1, 3, 7, 5), (64, 128, 288, 672), 16), **kwargs)


@zoo.builder(RegNet_X_1_6GF_Weights, head="fc", stem="stem.0")
def regnet_x_1_6gf(**kwargs: Any) -> RegNet:
    """RegNetX-1.6GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 4, 10, 2), (72, 168, 408, 912), 24), **kwargs)


@zoo.builder(RegNet_X_3_2GF_Weights, head="fc", stem="stem.0")
def regnet_x_3_2gf(**kwargs: Any) -> RegNet:
    """RegNetX-3.2GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 6, 15, 2), (96, 192, 432, 1008), 48), **kwargs)


@zoo.builder(RegNet_X_8GF_Weights, head="fc", stem="stem.0")
def regnet_x_8gf(**kwargs: Any) -> RegNet:
    """RegNetX-8GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 5, 15, 1), (80, 240, 720, 1920), 120), **kwargs)


@zoo.builder(RegNet_X_16GF_Weights, head="fc", stem="stem.0")
def regnet_x_16gf(**kwargs: Any) -> RegNet:
    """RegNetX-16GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 6, 13, 1), (256, 512, 896, 2048), 128), **kwargs)


@zoo.builder(RegNet_X_32GF_Weights, head="fc", stem="stem.0")
def regnet_x_32gf(**kwargs: Any) -> RegNet:
    """RegNetX-32GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 7, 13, 1), (336, 672, 1344, 2520), 168), **kwargs)


@zoo.builder(RegNet_Y_400MF_Weights, head="fc", stem="stem.0")
def regnet_y_400mf(**kwargs: Any) -> RegNet:
    """RegNetY-400MF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((1, 3, 6, 6), (48, 104, 208, 440), 8, 0.25), **kwargs)


@zoo.builder(RegNet_Y_800MF_Weights, head="fc", stem="stem.0")
def regnet_y_800mf(**kwargs: Any) -> RegNet:
    """RegNetY-800MF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((1, 3, 8, 2), (64, 144, 320, 784), 16, 0.25), **kwargs)


@zoo.builder(RegNet_Y_1_6GF_Weights, head="fc", stem="stem.0")
def regnet_y_1_6gf(**kwargs: Any) -> RegNet:
    """RegNetY-1.6GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 6, 17, 2), (48, 120, 336, 888), 24, 0.25), **kwargs)


@zoo.builder(RegNet_Y_3_2GF_Weights, head="fc", stem="stem.0")
def regnet_y_3_2gf(**kwargs: Any) -> RegNet:
    """RegNetY-3.2GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 5, 13, 1), (72, 216, 576, 1512), 24, 0.25), **kwargs)


@zoo.builder(RegNet_Y_8GF_Weights, head="fc", stem="stem.0")
def regnet_y_8gf(**kwargs: Any) -> RegNet:
    """RegNetY-8GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 4, 10, 1), (224, 448, 896, 2016), 56, 0.25), **kwargs)


@zoo.builder(RegNet_Y_16GF_Weights, head="fc", stem="stem.0")
def regnet_y_16gf(**kwargs: Any) -> RegNet:
    """RegNetY-16GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 4, 11, 1), (224, 448, 1232, 3024), 112, 0.25), **kwargs)


@zoo.builder(RegNet_Y_32GF_Weights, head="fc", stem="stem.0")
def regnet_y_32gf(**kwargs: Any) -> RegNet:
    """RegNetY-32GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 5, 12, 1), (232, 696, 1392, 3712), 232, 0.25), **kwargs)


@zoo.builder(RegNet_Y_128GF_Weights, head="fc", stem="stem.0")
def regnet_y_128gf(**kwargs: Any) -> RegNet:
    """RegNetY-128GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(BlockParams((2, 7, 17, 1), (528, 1056, 2904, 7392), 264, 0.25), **kwargs)
