"""RegNet: grouped residual bottlenecks whose widths follow a linear rule; RegNetY adds squeeze-excitation."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import (
    Conv2dNormActivation,
    SqueezeExcitation,
    check_count,
    check_images,
    input_channels,
    linear_head,
    make_divisible,
)
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
    """The shape of a RegNet, one entry per stage; :func:`stages` and :meth:`from_init_params` create the published
    ones.

    Attributes:
        depths: number of blocks.
        widths: number of channels.
        group_widths: channels of each group of the 3×3 convolutions.
        bottleneck_multipliers: width of the 3×3 convolutions, as a share of the stage's.
        strides: stride of the first block.
        se_ratio: width of the squeeze-excitation, as a share of the block's input channels; None omits it.
    """

    depths: Sequence[int]
    widths: Sequence[int]
    group_widths: Sequence[int]
    bottleneck_multipliers: Sequence[float]
    strides: Sequence[int]
    se_ratio: float | None = None

    @classmethod
    def from_init_params(
        cls,
        depth: int,
        w_0: int,
        w_a: float,
        w_m: float,
        group_width: int,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
        **kwargs: Any,
    ) -> BlockParams:
        """The paper's rule (section 3.3): the ``j``-th of ``depth`` blocks would be ``w_0 + w_a · j`` wide.

        Each width is rounded to the nearest ``w_0 · w_m ** k`` with an integer ``k``, and that to a multiple of 8;
        blocks of one width are a stage. Its width is then rounded to a multiple of its group width. Other ``kwargs``
        are ignored.

        Raises:
            InvalidArgument: a parameter is out of range.
        """
        check_count("depth", depth, 1)
        if w_0 <= 0 or w_0 % 8 or w_a < 0 or w_m <= 1:
            raise InvalidArgument(
                f"w_0 is {w_0}, w_a is {w_a} and w_m is {w_m}; expected a positive multiple of 8, a non-negative "
                "number and a number above 1."
            )
        powers = (round(math.log((w_0 + w_a * j) / w_0, w_m)) for j in range(depth))
        depth_of = Counter(8 * round(w_0 * w_m**k / 8) for k in powers)  # in the blocks' order
        inner = [int(width * bottleneck_multiplier) for width in depth_of]
        group_widths = [min(group_width, width) for width in inner]
        inner = [make_divisible(width, group) for width, group in zip(inner, group_widths, strict=True)]
        n = len(depth_of)
        return cls(
            list(depth_of.values()),
            [int(width / bottleneck_multiplier) for width in inner],
            group_widths,
            [bottleneck_multiplier] * n,
            [2] * n,
            se_ratio,
        )


def stages(
    depths: Sequence[int], widths: Sequence[int], group_width: int, se_ratio: float | None = None
) -> BlockParams:
    """A row of the paper's tables: each stage halves height and width; a stage narrower than a group has one group."""
    n = len(widths)
    return BlockParams(depths, widths, [min(group_width, w) for w in widths], [1.0] * n, [2] * n, se_ratio)


class SimpleStemIN(Conv2dNormActivation):
    """A strided 3×3 convolution."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        norm_layer: Callable[..., nn.Module],
        activation_layer: Callable[..., nn.Module],
    ) -> None:
        super().__init__(width_in, width_out, 3, stride=2, norm_layer=norm_layer, activation_layer=activation_layer)


class BottleneckTransform(nn.Sequential):
    """1×1, grouped 3×3, squeeze-excitation, 1×1 without activation."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Callable[..., nn.Module],
        activation_layer: Callable[..., nn.Module],
        group_width: int,
        bottleneck_multiplier: float,
        se_ratio: float | None,
    ) -> None:
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation_layer)
        inner = round(width_out * bottleneck_multiplier)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["a"] = conv(width_in, inner, kernel_size=1)
        layers["b"] = conv(inner, inner, kernel_size=3, stride=stride, groups=inner // group_width)
        if se_ratio is not None:
            # A share of the block's input, not of the 3×3's output, as in the published models.
            layers["se"] = SqueezeExcitation(inner, round(se_ratio * width_in), activation=activation_layer)
        layers["c"] = conv(inner, width_out, kernel_size=1, activation_layer=None)
        super().__init__(layers)


class ResBottleneckBlock(nn.Module):
    """``y = activation(x + f(x))``, where f is a :class:`BottleneckTransform`."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Callable[..., nn.Module],
        activation_layer: Callable[..., nn.Module],
        group_width: int = 1,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
    ) -> None:
        super().__init__()
        self.proj = None
        if width_in != width_out or stride != 1:
            self.proj = Conv2dNormActivation(
                width_in, width_out, 1, stride=stride, norm_layer=norm_layer, activation_layer=None
            )
        self.f = BottleneckTransform(
            width_in, width_out, stride, norm_layer, activation_layer, group_width, bottleneck_multiplier, se_ratio
        )
        self.activation = activation_layer(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.f(x)
        out += x if self.proj is None else self.proj(x)
        out = self.activation(out)
        return out


class AnyStage(nn.Sequential):
    """A stage: ``depth`` blocks, of which the first changes width and resolution."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        depth: int,
        block_constructor: Callable[..., nn.Module],
        norm_layer: Callable[..., nn.Module],
        activation_layer: Callable[..., nn.Module],
        group_width: int,
        bottleneck_multiplier: float,
        se_ratio: float | None = None,
        stage_index: int = 0,
    ) -> None:
        super().__init__()
        for i in range(depth):
            block = block_constructor(
                width_out if i else width_in,
                width_out,
                1 if i else stride,
                norm_layer,
                activation_layer,
                group_width,
                bottleneck_multiplier,
                se_ratio,
            )
            self.add_module(f"block{stage_index}-{i}", block)


class RegNet(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        block_params: the stages.
        num_classes: number of logits; 0 gives the pooled features instead.
        stem_width: number of channels of the stem.
        stem_type: creates the stem; called with the arguments of :class:`SimpleStemIN`, the default.
        block_type: creates a block; called with the arguments of :class:`ResBottleneckBlock`, the default.
        norm_layer: creates a norm for a number of channels; by default ``nn.BatchNorm2d``.
        activation: creates an activation, called with ``inplace=True`` or without arguments; by default ``nn.ReLU``.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images with ``in_channels``
            channels.
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
        depths, widths, group_widths, multipliers, strides, se_ratio = block_params
        lengths = {len(values) for values in block_params[:5]}
        if len(lengths) > 1 or any(round(w * m) % g for w, m, g in zip(widths, multipliers, group_widths, strict=True)):
            raise InvalidArgument(
                f"block_params is {block_params}; expected one entry per stage in each field, and widths that are "
                "multiples of the group widths."
            )
        stem_type = stem_type or SimpleStemIN
        block_type = block_type or ResBottleneckBlock
        norm_layer = norm_layer or nn.BatchNorm2d
        activation = activation or nn.ReLU
        check_count("in_channels", in_channels, 1)
        channels, reduction = check_count("stem_width", stem_width, 1), 2
        self.stem = stem_type(in_channels, channels, norm_layer, activation)
        self.feature_info = [Stage("stem", channels, reduction)]
        self.trunk_output = nn.Sequential()
        of_stages = zip(widths, strides, depths, group_widths, multipliers, strict=True)
        for i, (width, stride, depth, group, multiplier) in enumerate(of_stages, start=1):
            stage = AnyStage(
                channels, width, stride, depth, block_type, norm_layer, activation, group, multiplier, se_ratio, i
            )
            self.trunk_output.add_module(f"block{i}", stage)
            channels, reduction = width, reduction * stride
            self.feature_info.append(Stage(f"trunk_output.block{i}", width, reduction))
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
    return RegNet(stages((1, 2, 7, 12), (32, 64, 160, 400), 16), **kwargs)


@zoo.builder(RegNet_X_800MF_Weights, head="fc", stem="stem.0")
def regnet_x_800mf(**kwargs: Any) -> RegNet:
    """RegNetX-800MF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((1, 3, 7, 5), (64, 128, 288, 672), 16), **kwargs)


@zoo.builder(RegNet_X_1_6GF_Weights, head="fc", stem="stem.0")
def regnet_x_1_6gf(**kwargs: Any) -> RegNet:
    """RegNetX-1.6GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 4, 10, 2), (72, 168, 408, 912), 24), **kwargs)


@zoo.builder(RegNet_X_3_2GF_Weights, head="fc", stem="stem.0")
def regnet_x_3_2gf(**kwargs: Any) -> RegNet:
    """RegNetX-3.2GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 6, 15, 2), (96, 192, 432, 1008), 48), **kwargs)


@zoo.builder(RegNet_X_8GF_Weights, head="fc", stem="stem.0")
def regnet_x_8gf(**kwargs: Any) -> RegNet:
    """RegNetX-8GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 5, 15, 1), (80, 240, 720, 1920), 120), **kwargs)


@zoo.builder(RegNet_X_16GF_Weights, head="fc", stem="stem.0")
def regnet_x_16gf(**kwargs: Any) -> RegNet:
    """RegNetX-16GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 6, 13, 1), (256, 512, 896, 2048), 128), **kwargs)


@zoo.builder(RegNet_X_32GF_Weights, head="fc", stem="stem.0")
def regnet_x_32gf(**kwargs: Any) -> RegNet:
    """RegNetX-32GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 7, 13, 1), (336, 672, 1344, 2520), 168), **kwargs)


@zoo.builder(RegNet_Y_400MF_Weights, head="fc", stem="stem.0")
def regnet_y_400mf(**kwargs: Any) -> RegNet:
    """RegNetY-400MF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((1, 3, 6, 6), (48, 104, 208, 440), 8, 0.25), **kwargs)


@zoo.builder(RegNet_Y_800MF_Weights, head="fc", stem="stem.0")
def regnet_y_800mf(**kwargs: Any) -> RegNet:
    """RegNetY-800MF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((1, 3, 8, 2), (64, 144, 320, 784), 16, 0.25), **kwargs)


@zoo.builder(RegNet_Y_1_6GF_Weights, head="fc", stem="stem.0")
def regnet_y_1_6gf(**kwargs: Any) -> RegNet:
    """RegNetY-1.6GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 6, 17, 2), (48, 120, 336, 888), 24, 0.25), **kwargs)


@zoo.builder(RegNet_Y_3_2GF_Weights, head="fc", stem="stem.0")
def regnet_y_3_2gf(**kwargs: Any) -> RegNet:
    """RegNetY-3.2GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 5, 13, 1), (72, 216, 576, 1512), 24, 0.25), **kwargs)


@zoo.builder(RegNet_Y_8GF_Weights, head="fc", stem="stem.0")
def regnet_y_8gf(**kwargs: Any) -> RegNet:
    """RegNetY-8GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 4, 10, 1), (224, 448, 896, 2016), 56, 0.25), **kwargs)


@zoo.builder(RegNet_Y_16GF_Weights, head="fc", stem="stem.0")
def regnet_y_16gf(**kwargs: Any) -> RegNet:
    """RegNetY-16GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 4, 11, 1), (224, 448, 1232, 3024), 112, 0.25), **kwargs)


@zoo.builder(RegNet_Y_32GF_Weights, head="fc", stem="stem.0")
def regnet_y_32gf(**kwargs: Any) -> RegNet:
    """RegNetY-32GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 5, 12, 1), (232, 696, 1392, 3712), 232, 0.25), **kwargs)


@zoo.builder(RegNet_Y_128GF_Weights, head="fc", stem="stem.0")
def regnet_y_128gf(**kwargs: Any) -> RegNet:
    """RegNetY-128GF from `Designing Network Design Spaces <https://arxiv.org/abs/2003.13678>`_."""
    return RegNet(stages((2, 7, 17, 1), (528, 1056, 2904, 7392), 264, 0.25), **kwargs)
