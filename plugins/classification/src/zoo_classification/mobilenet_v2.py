"""MobileNetV2: inverted residuals, which are wide inside and narrow where they are added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import (
    Conv2dNormActivation,
    check_count,
    check_images,
    check_probability,
    input_channels,
    linear_head,
    make_divisible,
)
from zoo_classification.weights.mobilenet_v2 import MobileNet_V2_Weights

SETTING = (
    # expand_ratio, channels, repeats, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def width_of(channels: Sequence[tuple[int, int]]) -> float | None:
    """The roundest ``width_mult``, in hundredths, that scales the first number of each pair to the second; None if no
    such value exists."""
    widths = (step * k / 100 for step in (100, 25, 10, 5, 1) for k in range(1, 400 // step + 1))
    return next((w for w in widths if all(make_divisible(n * w) == found for n, found in channels)), None)


class InvertedResidual(nn.Module):
    """1×1 up to ``expand_ratio`` times the channels, depthwise 3×3, 1×1 down without activation."""

    def __init__(
        self,
        inp: int,
        oup: int,
        stride: int,
        expand_ratio: float,
        norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise InvalidArgument(f"stride is {stride!r}; expected 1 or 2.")
        self.stride = stride
        self.out_channels = oup
        self.use_res_connect = stride == 1 and inp == oup
        hidden = round(inp * expand_ratio)
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(Conv2dNormActivation(inp, hidden, 1, norm_layer=norm_layer, activation_layer=nn.ReLU6))
        layers += [
            Conv2dNormActivation(
                hidden, hidden, stride=stride, groups=hidden, norm_layer=norm_layer, activation_layer=nn.ReLU6
            ),
            nn.Conv2d(hidden, oup, 1, bias=False),
            norm_layer(oup),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.use_res_connect else out


class MobileNetV2(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        num_classes: number of logits; 0 gives the pooled features instead.
        width_mult: multiplier of all numbers of channels.
        inverted_residual_setting: rows (expand_ratio, channels, repeats, stride); by default :data:`SETTING`.
        round_nearest: numbers of channels are rounded to multiples of this.
        block: called as ``block(inp, oup, stride, expand_ratio=…, norm_layer=…)``; by default
            :class:`InvertedResidual`.
        norm_layer: creates a norm for a number of channels; by default ``nn.BatchNorm2d``.
        dropout: probability, before the last layer.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        setting = SETTING if inverted_residual_setting is None else inverted_residual_setting
        if not setting or any(len(row) != 4 for row in setting):
            raise InvalidArgument(
                f"inverted_residual_setting is {setting!r}; expected rows of (expand_ratio, channels, repeats, stride)."
            )
        if width_mult <= 0:
            raise InvalidArgument(f"width_mult is {width_mult!r}; expected a positive number.")
        check_probability("dropout", dropout)
        check_count("in_channels", in_channels, minimum=1)
        block = block or InvertedResidual
        norm_layer = norm_layer or nn.BatchNorm2d

        def conv(inp: int, oup: int, kernel_size: int, stride: int = 1) -> nn.Module:
            return Conv2dNormActivation(inp, oup, kernel_size, stride, norm_layer=norm_layer, activation_layer=nn.ReLU6)

        channels, reduction = make_divisible(32 * width_mult, round_nearest), 2
        features = [conv(in_channels, channels, 3, stride=2)]
        stages = {}  # by stride: the last block of each resolution
        for expand_ratio, c, repeats, first_stride in setting:
            out = make_divisible(c * width_mult, round_nearest)
            for i in range(repeats):
                stride = first_stride if i == 0 else 1
                features.append(block(channels, out, stride, expand_ratio=expand_ratio, norm_layer=norm_layer))
                channels, reduction = out, reduction * stride
                stages[reduction] = Stage(f"features.{len(features) - 1}", channels, reduction)
        self.feature_info = list(stages.values())
        # Narrow networks keep the width of the last layer, which classifies a thousand classes.
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        self.features = nn.Sequential(*features, conv(channels, self.last_channel, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout), linear_head(self.last_channel, num_classes))

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
        logits: Tensor = self.classifier(torch.flatten(F.adaptive_avg_pool2d(self.features(x), 1), 1))
        return logits


# Layer → its input channels at a width of 1.
INPUTS = {"features.2.conv.0": 16, "features.3.conv.0": 24, "features.5.conv.0": 32, "features.8.conv.0": 64,
          "features.12.conv.0": 96, "features.15.conv.0": 160, "features.18": 320}  # fmt: skip


def told_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The builder arguments that a file's tensors imply: ``width_mult``, to a hundredth."""
    found = {n: state.get(f"{layer}.0.weight") for layer, n in INPUTS.items()}
    if any(weight is None for weight in found.values()):
        return {}
    width = width_of([(n, weight.shape[1]) for n, weight in found.items()])  # type: ignore[union-attr]
    return {} if width in (None, 1) else {"width_mult": width}


@zoo.builder(MobileNet_V2_Weights, head="classifier.1", stem="features.0.0", told_by_file=told_of)
def mobilenet_v2(**kwargs: Any) -> MobileNetV2:
    """MobileNetV2 from `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_."""
    return MobileNetV2(**kwargs)
