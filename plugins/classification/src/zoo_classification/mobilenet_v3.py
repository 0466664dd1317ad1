"""MobileNetV3: inverted residuals with squeeze-excitation and hard swish, found by search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    check_probability,
    input_channels,
    linear_head,
    make_divisible,
)
from zoo_classification.mobilenet_v2 import width_of
from zoo_classification.weights.mobilenet_v3 import MobileNet_V3_Large_Weights, MobileNet_V3_Small_Weights


class BlockSetting(NamedTuple):
    """One inverted residual: a row of the paper's tables."""

    in_channels: int
    kernel_size: int
    expanded: int
    out_channels: int
    use_se: bool
    activation: type[nn.Module]
    stride: int
    dilation: int = 1

    # torchvision's names, for user-defined blocks.
    @property
    def input_channels(self) -> int:
        return self.in_channels

    @property
    def expanded_channels(self) -> int:
        return self.expanded

    @property
    def kernel(self) -> int:
        return self.kernel_size

    @property
    def use_hs(self) -> bool:
        return self.activation is nn.Hardswish


class InvertedResidualConfig(BlockSetting):
    """One inverted residual from the base network's numbers, ``"RE"`` or ``"HS"``, and a width multiplier."""

    __slots__ = ()

    def __new__(
        cls,
        input_channels: int,
        kernel: int,
        expanded_channels: int,
        out_channels: int,
        use_se: bool,
        activation: str,
        stride: int,
        dilation: int,
        width_mult: float,
    ) -> InvertedResidualConfig:
        if activation not in ("RE", "HS"):
            raise InvalidArgument(f"activation is {activation!r}; expected 'RE' or 'HS'.")
        channels = (cls.adjust_channels(c, width_mult) for c in (input_channels, expanded_channels, out_channels))
        inp, expanded, out = channels
        made = nn.ReLU if activation == "RE" else nn.Hardswish
        return super().__new__(cls, inp, kernel, expanded, out, use_se, made, stride, dilation)

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """``channels`` times ``width_mult``, rounded to a multiple of 8."""
        return make_divisible(channels * width_mult)

    def __reduce__(self) -> tuple[Any, ...]:  # so that copies are not scaled again
        return self._make, (tuple(self),)


SE, NO, RE, HS = True, False, nn.ReLU, nn.Hardswish

LARGE = tuple(
    BlockSetting(*row)
    for row in (
        # in, kernel, expanded, out, squeeze-excitation, activation, stride
        (16, 3, 16, 16, NO, RE, 1),
        (16, 3, 64, 24, NO, RE, 2),
        (24, 3, 72, 24, NO, RE, 1),
        (24, 5, 72, 40, SE, RE, 2),
        (40, 5, 120, 40, SE, RE, 1),
        (40, 5, 120, 40, SE, RE, 1),
        (40, 3, 240, 80, NO, HS, 2),
        (80, 3, 200, 80, NO, HS, 1),
        (80, 3, 184, 80, NO, HS, 1),
        (80, 3, 184, 80, NO, HS, 1),
        (80, 3, 480, 112, SE, HS, 1),
        (112, 3, 672, 112, SE, HS, 1),
        (112, 5, 672, 160, SE, HS, 2),
        (160, 5, 960, 160, SE, HS, 1),
        (160, 5, 960, 160, SE, HS, 1),
    )
)
SMALL = tuple(
    BlockSetting(*row)
    for row in (
        (16, 3, 16, 16, SE, RE, 2),
        (16, 3, 72, 24, NO, RE, 2),
        (24, 3, 88, 24, NO, RE, 1),
        (24, 5, 96, 40, SE, HS, 2),
        (40, 5, 240, 40, SE, HS, 1),
        (40, 5, 240, 40, SE, HS, 1),
        (40, 5, 120, 48, SE, HS, 1),
        (48, 5, 144, 48, SE, HS, 1),
        (48, 5, 288, 96, SE, HS, 2),
        (96, 5, 576, 96, SE, HS, 1),
        (96, 5, 576, 96, SE, HS, 1),
    )
)


squeeze_excitation = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)


class InvertedResidual(nn.Module):
    """1×1 up, depthwise, squeeze-excitation, 1×1 down without activation."""

    def __init__(
        self,
        cnf: BlockSetting,
        norm_layer: Callable[..., nn.Module],
        se_layer: Callable[..., nn.Module] = squeeze_excitation,
    ) -> None:
        super().__init__()
        s = cnf
        self.out_channels = s.out_channels
        self.use_res_connect = s.stride == 1 and s.in_channels == s.out_channels
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=s.activation)
        layers: list[nn.Module] = []
        if s.expanded != s.in_channels:
            layers.append(conv(s.in_channels, s.expanded, 1))
        layers.append(conv(s.expanded, s.expanded, s.kernel_size, s.stride, groups=s.expanded, dilation=s.dilation))
        if s.use_se:
            layers.append(se_layer(s.expanded, make_divisible(s.expanded // 4)))
        layers.append(conv(s.expanded, s.out_channels, 1, activation_layer=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.use_res_connect else out


class MobileNetV3(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        inverted_residual_setting: the blocks, in order.
        last_channel: width of the hidden layer of the classifier.
        num_classes: number of logits; 0 gives the ``last_channel`` features before the last layer instead.
        block: called as ``block(setting, norm_layer)``; by default :class:`InvertedResidual`.
        norm_layer: creates a norm for a number of channels; by default batch norm with the paper's eps and momentum.
        dropout: probability, before the last layer.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        inverted_residual_setting: Sequence[BlockSetting],
        last_channel: int,
        num_classes: int = 1000,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise InvalidArgument("inverted_residual_setting is empty; expected at least one BlockSetting.")
        check_probability("dropout", dropout)
        check_count("in_channels", in_channels, minimum=1)
        block = block or InvertedResidual
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.Hardswish)

        stem = inverted_residual_setting[0].in_channels
        features: list[nn.Module] = [conv(in_channels, stem, 3, stride=2)]
        stages = {2: Stage("features.0", stem, 2)}  # by stride: the last block of each resolution
        reduction = 2
        for setting in inverted_residual_setting:
            features.append(block(setting, norm_layer))
            reduction *= setting.stride
            stages[reduction] = Stage(f"features.{len(features) - 1}", setting.out_channels, reduction)
        channels = inverted_residual_setting[-1].out_channels
        features.append(conv(channels, 6 * channels, 1))
        stages[reduction] = Stage(f"features.{len(features) - 1}", 6 * channels, reduction)
        self.feature_info = list(stages.values())
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout, inplace=True),
            linear_head(last_channel, num_classes),
        )

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=0.01)
            if isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None:
                nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return self._forward_impl(x)

    def _forward_impl(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


TABLES = {"mobilenet_v3_large": (LARGE, 1280), "mobilenet_v3_small": (SMALL, 1024)}


def settings_of(
    arch: str, width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False, **kwargs: Any
) -> tuple[list[BlockSetting], int]:
    """The blocks and the ``last_channel`` of ``"mobilenet_v3_large"`` or ``"mobilenet_v3_small"``, with other widths or
    a tail for dense prediction; other ``kwargs`` are ignored."""
    if arch not in TABLES:
        raise InvalidArgument(f"arch is {arch!r}; expected one of {', '.join(TABLES)}.")
    setting, last_channel = TABLES[arch]
    if width_mult <= 0:
        raise InvalidArgument(f"width_mult is {width_mult!r}; expected a positive number.")

    def scaled(channels: int, halved: bool) -> int:
        return make_divisible((channels // 2 if halved else channels) * width_mult)

    rows = []
    for i, row in enumerate(setting, start=3 - len(setting)):  # the tail is the blocks at stride 32, the last three
        rows.append(
            row._replace(
                in_channels=scaled(row.in_channels, reduced_tail and i > 0),
                expanded=scaled(row.expanded, reduced_tail and i > 0),
                out_channels=scaled(row.out_channels, reduced_tail and i >= 0),
                stride=1 if dilated and i >= 0 else row.stride,
                dilation=2 if dilated and i >= 0 else 1,
            )
        )
    return rows, scaled(last_channel, reduced_tail)


def told_of(setting: Sequence[BlockSetting], first: str = "features") -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function that reads builder arguments from the tensors of a network of that table: its width, to a hundredth,
    and whether its tail is reduced."""

    def told(state: Mapping[str, Any]) -> dict[str, Any]:
        found = [state.get(f"{first}.{i}.block.0.0.weight") for i in range(1, len(setting) + 1)]
        if any(weight is None for weight in found):
            return {}
        wide, tail = [row.expanded for row in setting], len(setting) - 2
        for reduced in (False, True):
            table = [n // 2 if reduced and i >= tail else n for i, n in enumerate(wide)]
            width = width_of([(n, len(weight)) for n, weight in zip(table, found, strict=True)])  # type: ignore[arg-type]
            if width is not None:
                own = {"width_mult": width} if width != 1 else {}
                return own | ({"reduced_tail": True} if reduced else {})
        return {}

    return told


@zoo.builder(MobileNet_V3_Large_Weights, head="classifier.3", stem="features.0.0", told_by_file=told_of(LARGE))
def mobilenet_v3_large(
    *, width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False, **kwargs: Any
) -> MobileNetV3:
    """MobileNetV3-Large from `Searching for MobileNetV3 <https://arxiv.org/abs/1905.02244>`_.

    Args:
        width_mult: multiplier of all numbers of channels.
        reduced_tail: use half the channels after the last halving of the resolution (section 6.3 of the paper).
        dilated: dilate the last three blocks instead of halving the resolution there, for segmentation.
    """
    return MobileNetV3(*settings_of("mobilenet_v3_large", width_mult, reduced_tail, dilated), **kwargs)


@zoo.builder(MobileNet_V3_Small_Weights, head="classifier.3", stem="features.0.0", told_by_file=told_of(SMALL))
def mobilenet_v3_small(
    *, width_mult: float = 1.0, reduced_tail: bool = False, dilated: bool = False, **kwargs: Any
) -> MobileNetV3:
    """MobileNetV3-Small from `Searching for MobileNetV3 <https://arxiv.org/abs/1905.02244>`_.

    The arguments are those of :func:`mobilenet_v3_large`.
    """
    return MobileNetV3(*settings_of("mobilenet_v3_small", width_mult, reduced_tail, dilated), **kwargs)
