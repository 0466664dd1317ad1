"""EfficientNet and EfficientNetV2: inverted residuals with squeeze-excitation, scaled in width and depth together."""

from __future__ import annotations

import math
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
    StochasticDepth,
    check_count,
    check_images,
    check_probability,
    input_channels,
    linear_head,
    make_divisible,
)
from zoo_classification.weights.efficientnet import (
    EfficientNet_B0_Weights,
    EfficientNet_B1_Weights,
    EfficientNet_B2_Weights,
    EfficientNet_B3_Weights,
    EfficientNet_B4_Weights,
    EfficientNet_B5_Weights,
    EfficientNet_B6_Weights,
    EfficientNet_B7_Weights,
    EfficientNet_V2_L_Weights,
    EfficientNet_V2_M_Weights,
    EfficientNet_V2_S_Weights,
)

Norm = Callable[..., nn.Module]


class MBConv(nn.Module):
    """1×1 up, depthwise, squeeze-excitation to a quarter of the block's input, 1×1 down without activation."""

    def __init__(
        self,
        cnf: StageSetting,
        stochastic_depth_prob: float,
        norm_layer: Norm,
        se_layer: Callable[..., nn.Module] = SqueezeExcitation,
    ) -> None:
        super().__init__()
        in_channels, out_channels, stride = cnf.in_channels, cnf.out_channels, cnf.stride
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        hidden = make_divisible(in_channels * cnf.expand_ratio)
        self.out_channels = out_channels
        self.use_res_connect = stride == 1 and in_channels == out_channels
        self.block = nn.Sequential(
            *([conv(in_channels, hidden, 1)] if hidden != in_channels else []),
            conv(hidden, hidden, cnf.kernel_size, stride, groups=hidden),
            se_layer(hidden, max(1, in_channels // 4), activation=partial(nn.SiLU, inplace=True)),
            conv(hidden, out_channels, 1, activation_layer=None),
        )
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return self.stochastic_depth(out) + x if self.use_res_connect else out


class FusedMBConv(nn.Module):
    """MBConv with one dense convolution instead of its first two: faster if there are few channels."""

    def __init__(
        self,
        cnf: StageSetting,
        stochastic_depth_prob: float,
        norm_layer: Norm,
    ) -> None:
        super().__init__()
        in_channels, out_channels, stride = cnf.in_channels, cnf.out_channels, cnf.stride
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        hidden = make_divisible(in_channels * cnf.expand_ratio)
        self.out_channels = out_channels
        self.use_res_connect = stride == 1 and in_channels == out_channels
        self.block = (
            nn.Sequential(
                conv(in_channels, hidden, cnf.kernel_size, stride), conv(hidden, out_channels, 1, activation_layer=None)
            )
            if hidden != in_channels
            else nn.Sequential(conv(in_channels, out_channels, cnf.kernel_size, stride))
        )
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return self.stochastic_depth(out) + x if self.use_res_connect else out


class StageSetting(NamedTuple):
    """One stage: a row of the papers' tables. Its first block has the stride.

    A block is created by ``block(setting, stochastic_depth_prob, norm_layer)``; ``setting`` has the block's own
    channels and stride.
    """

    block: Callable[..., nn.Module]
    expand_ratio: float
    kernel_size: int
    stride: int
    in_channels: int
    out_channels: int
    num_layers: int

    @property
    def kernel(self) -> int:
        return self.kernel_size

    @property
    def input_channels(self) -> int:
        return self.in_channels

    @staticmethod
    def adjust_channels(channels: int, width_mult: float, min_value: int | None = None) -> int:
        """``channels`` times ``width_mult``, rounded to a multiple of 8, at least ``min_value``."""
        return make_divisible(channels * width_mult, 8, min_value)

    def __reduce__(self) -> tuple[Any, ...]:  # so that copies are not scaled again
        return self._make, (tuple(self),)


class MBConvConfig(StageSetting):
    """A stage of :class:`MBConv` blocks, from the base network's numbers and the factors of width and depth."""

    __slots__ = ()

    def __new__(
        cls,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        block: Callable[..., nn.Module] = MBConv,
    ) -> MBConvConfig:
        inp, out = (cls.adjust_channels(c, width_mult) for c in (input_channels, out_channels))
        layers = cls.adjust_depth(num_layers, depth_mult)
        return super().__new__(cls, block, expand_ratio, kernel, stride, inp, out, layers)

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        """``num_layers`` times ``depth_mult``, rounded up."""
        return math.ceil(num_layers * depth_mult)


class FusedMBConvConfig(StageSetting):
    """A stage of :class:`FusedMBConv` blocks."""

    __slots__ = ()

    def __new__(
        cls,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        block: Callable[..., nn.Module] = FusedMBConv,
    ) -> FusedMBConvConfig:
        return super().__new__(cls, block, expand_ratio, kernel, stride, input_channels, out_channels, num_layers)


class EfficientNet(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        inverted_residual_setting: the stages, in order.
        dropout: probability, before the last layer.
        stochastic_depth_prob: probability of dropping the last block's branch; it grows linearly from 0 at the first.
        num_classes: number of logits; 0 gives the pooled features instead.
        norm_layer: creates a norm for a number of channels; by default ``nn.BatchNorm2d``.
        last_channel: channels of the last convolution; by default four times the last stage's.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        inverted_residual_setting: Sequence[StageSetting],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Norm | None = None,
        last_channel: int | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise InvalidArgument("inverted_residual_setting is empty; expected at least one StageSetting.")
        check_probability("dropout", dropout)
        check_probability("stochastic_depth_prob", stochastic_depth_prob)
        check_count("in_channels", in_channels, minimum=1)
        norm_layer = norm_layer or nn.BatchNorm2d
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)

        features: list[nn.Module] = [conv(in_channels, inverted_residual_setting[0].in_channels, 3, stride=2)]
        stages = {}  # by stride: the last stage of each resolution
        reduction, index = 2, 0
        depth = sum(s.num_layers for s in inverted_residual_setting)
        for s in inverted_residual_setting:
            blocks = []
            for i in range(s.num_layers):
                channels, stride = (s.in_channels, s.stride) if i == 0 else (s.out_channels, 1)
                drop = stochastic_depth_prob * index / depth
                blocks.append(s.block(s._replace(in_channels=channels, stride=stride), drop, norm_layer))
                index += 1
            features.append(nn.Sequential(*blocks))
            reduction *= s.stride
            stages[reduction] = Stage(f"features.{len(features) - 1}", s.out_channels, reduction)
        self.feature_info = list(stages.values())
        channels = inverted_residual_setting[-1].out_channels
        last_channel = last_channel or 4 * channels
        self.features = nn.Sequential(*features, conv(channels, last_channel, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout, inplace=True), linear_head(last_channel, num_classes))

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.Linear):
                bound = 1 / math.sqrt(m.out_features)
                nn.init.uniform_(m.weight, -bound, bound)
            if isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None:
                nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return self._forward_impl(x)

    def _forward_impl(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


B0 = (
    # expand_ratio, kernel, stride, in, out, layers
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)


def scaled(width: float, depth: float) -> list[StageSetting]:
    """The stages of B0 with ``width`` times the channels and ``depth`` times the blocks: the paper's compound scaling,
    without the image size, which the network does not depend on."""
    return [MBConvConfig(*row, width, depth) for row in B0]


V2_S = tuple(
    StageSetting(*row)
    for row in (
        # block, expand_ratio, kernel, stride, in, out, layers
        (FusedMBConv, 1, 3, 1, 24, 24, 2),
        (FusedMBConv, 4, 3, 2, 24, 48, 4),
        (FusedMBConv, 4, 3, 2, 48, 64, 4),
        (MBConv, 4, 3, 2, 64, 128, 6),
        (MBConv, 6, 3, 1, 128, 160, 9),
        (MBConv, 6, 3, 2, 160, 256, 15),
    )
)
V2_M = tuple(
    StageSetting(*row)
    for row in (
        (FusedMBConv, 1, 3, 1, 24, 24, 3),
        (FusedMBConv, 4, 3, 2, 24, 48, 5),
        (FusedMBConv, 4, 3, 2, 48, 80, 5),
        (MBConv, 4, 3, 2, 80, 160, 7),
        (MBConv, 6, 3, 1, 160, 176, 14),
        (MBConv, 6, 3, 2, 176, 304, 18),
        (MBConv, 6, 3, 1, 304, 512, 5),
    )
)
V2_L = tuple(
    StageSetting(*row)
    for row in (
        (FusedMBConv, 1, 3, 1, 32, 32, 4),
        (FusedMBConv, 4, 3, 2, 32, 64, 7),
        (FusedMBConv, 4, 3, 2, 64, 96, 7),
        (MBConv, 4, 3, 2, 96, 192, 10),
        (MBConv, 6, 3, 1, 192, 224, 19),
        (MBConv, 6, 3, 2, 224, 384, 25),
        (MBConv, 6, 3, 1, 384, 640, 7),
    )
)

# The norm settings that the checkpoints were trained with: those of B5 to B7 and V2 are TensorFlow's.
slow_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
v2_norm = partial(nn.BatchNorm2d, eps=0.001)


V2 = {"efficientnet_v2_s": V2_S, "efficientnet_v2_m": V2_M, "efficientnet_v2_l": V2_L}


def settings_of(
    arch: str, width_mult: float = 1.0, depth_mult: float = 1.0, **kwargs: Any
) -> tuple[Sequence[StageSetting], int | None]:
    """The stages and the ``last_channel`` of ``"efficientnet_b…"``, scaled from B0 by ``width_mult`` and
    ``depth_mult``, or of ``"efficientnet_v2_…"``; other ``kwargs`` are ignored."""
    if arch in V2:
        return V2[arch], 1280
    if not arch.startswith("efficientnet_b"):
        raise InvalidArgument(f"arch is {arch!r}; expected efficientnet_b… or one of {', '.join(V2)}.")
    return scaled(width_mult, depth_mult), None


@zoo.builder(EfficientNet_B0_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b0(*, dropout: float = 0.2, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B0 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=1.0, depth=1.0), dropout, **kwargs)


@zoo.builder(EfficientNet_B1_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b1(*, dropout: float = 0.2, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B1 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=1.0, depth=1.1), dropout, **kwargs)


@zoo.builder(EfficientNet_B2_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b2(*, dropout: float = 0.3, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B2 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=1.1, depth=1.2), dropout, **kwargs)


@zoo.builder(EfficientNet_B3_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b3(*, dropout: float = 0.3, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B3 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=1.2, depth=1.4), dropout, **kwargs)


@zoo.builder(EfficientNet_B4_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b4(*, dropout: float = 0.4, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B4 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=1.4, depth=1.8), dropout, **kwargs)


@zoo.builder(EfficientNet_B5_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b5(*, dropout: float = 0.4, norm_layer: Norm = slow_norm, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B5 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=1.6, depth=2.2), dropout, norm_layer=norm_layer, **kwargs)


@zoo.builder(EfficientNet_B6_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b6(*, dropout: float = 0.5, norm_layer: Norm = slow_norm, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B6 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=1.8, depth=2.6), dropout, norm_layer=norm_layer, **kwargs)


@zoo.builder(EfficientNet_B7_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_b7(*, dropout: float = 0.5, norm_layer: Norm = slow_norm, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B7 from `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNet(scaled(width=2.0, depth=3.1), dropout, norm_layer=norm_layer, **kwargs)


@zoo.builder(EfficientNet_V2_S_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_v2_s(*, dropout: float = 0.2, norm_layer: Norm = v2_norm, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-S from `EfficientNetV2: Smaller Models and Faster Training
    <https://arxiv.org/abs/2104.00298>`_."""
    return EfficientNet(V2_S, dropout, norm_layer=norm_layer, **{"last_channel": 1280, **kwargs})


@zoo.builder(EfficientNet_V2_M_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_v2_m(*, dropout: float = 0.3, norm_layer: Norm = v2_norm, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-M from `EfficientNetV2: Smaller Models and Faster Training
    <https://arxiv.org/abs/2104.00298>`_."""
    return EfficientNet(V2_M, dropout, norm_layer=norm_layer, **{"last_channel": 1280, **kwargs})


@zoo.builder(EfficientNet_V2_L_Weights, head="classifier.1", stem="features.0.0")
def efficientnet_v2_l(*, dropout: float = 0.4, norm_layer: Norm = v2_norm, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-L from `EfficientNetV2: Smaller Models and Faster Training
    <https://arxiv.org/abs/2104.00298>`_."""
    return EfficientNet(V2_L, dropout, norm_layer=norm_layer, **{"last_channel": 1280, **kwargs})
