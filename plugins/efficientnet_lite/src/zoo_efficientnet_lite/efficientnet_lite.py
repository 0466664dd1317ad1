"""EfficientNet-Lite: EfficientNet without squeeze-excitation, with ReLU6, for phones and for quantization.

Wider and deeper networks do not scale the first and the last convolution, nor the depth of the first and the last
stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import (
    StochasticDepth,
    check_count,
    check_images,
    check_probability,
    input_channels,
    linear_head,
    make_divisible,
)
from zoo_efficientnet_lite.weights.efficientnet_lite import (
    EfficientNet_Lite0_Weights,
    EfficientNet_Lite1_Weights,
    EfficientNet_Lite2_Weights,
)

Norm = Callable[..., nn.Module]

STAGES = (
    # expand_ratio, kernel_size, stride of the first block, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, HEAD = 32, 1280  # channels of the first and the last convolution


class SameConv(nn.Sequential):
    """Convolution with TensorFlow's padding "SAME", norm, and ReLU6 if ``activation`` is set.

    [N, ``in_channels``, H, W] → [N, ``out_channels``, ceil(H / ``stride``), ceil(W / ``stride``)]. At stride 2 the
    number of padded pixels may be odd; the larger half is at the bottom and on the right.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        norm_layer: Norm,
        activation: bool = True,
    ) -> None:
        padding = (kernel_size - 1) // 2 if stride == 1 else 0  # at stride 1 both halves are equal
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        super().__init__(conv, norm_layer(out_channels), *([nn.ReLU6(inplace=True)] if activation else []))
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = F.pad(x, [*self._padding(x.shape[-1]), *self._padding(x.shape[-2])])
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return out

    def _padding(self, size: int) -> tuple[int, int]:
        """Padding before and after ``size`` pixels."""
        total = self.kernel_size - self.stride + -size % self.stride
        return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """1×1 up to ``expand_ratio`` times the channels, depthwise, 1×1 down without activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expand_ratio: int,
        kernel_size: int,
        stride: int,
        stochastic_depth_prob: float,
        norm_layer: Norm,
    ) -> None:
        super().__init__()
        conv = partial(SameConv, norm_layer=norm_layer)
        hidden = in_channels * expand_ratio
        self.expand = conv(in_channels, hidden) if expand_ratio != 1 else nn.Identity()
        self.depthwise = conv(hidden, hidden, kernel_size, stride, groups=hidden)
        self.project = conv(hidden, out_channels, activation=False)
        self.residual = stride == 1 and in_channels == out_channels
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return self.stochastic_depth(out) + x if self.residual else out


class EfficientNetLite(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        width: multiplier of the stages' channels.
        depth: multiplier of the stages' numbers of blocks, except the first and the last stage's.
        dropout: probability, before the last layer.
        stochastic_depth_prob: probability of dropping the last block's branch; it grows linearly from 0 at the first.
        num_classes: number of logits; 0 gives the pooled features instead.
        norm_layer: creates a norm for a number of channels; by default ``nn.BatchNorm2d`` with TensorFlow's settings.
        in_channels: number of channels of the images.
        stages: rows (expand_ratio, kernel_size, stride, channels, blocks), before they are scaled.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Norm | None = None,
        in_channels: int = 3,
        stages: Sequence[tuple[int, int, int, int, int]] = STAGES,
    ) -> None:
        super().__init__()
        if not width > 0 or not depth > 0:
            raise InvalidArgument(f"width is {width!r} and depth {depth!r}; expected positive numbers.")
        if not stages or any(len(row) != 5 for row in stages):
            raise InvalidArgument(
                f"stages is {stages!r}; expected rows of (expand_ratio, kernel_size, stride, channels, blocks)."
            )
        check_probability("dropout", dropout)
        check_probability("stochastic_depth_prob", stochastic_depth_prob)
        check_count("in_channels", in_channels, minimum=1)
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)

        ends = (0, len(stages) - 1)
        counts = [n if i in ends else math.ceil(n * depth) for i, (*_, n) in enumerate(stages)]
        features: list[nn.Module] = [SameConv(in_channels, STEM, 3, stride=2, norm_layer=norm_layer)]
        by_stride = {}  # the last stage of each resolution
        channels, reduction, index = STEM, 2, 0
        for (expand_ratio, kernel_size, stride, c, _), count in zip(stages, counts, strict=True):
            out, blocks = make_divisible(c * width), []
            for i in range(count):
                drop = stochastic_depth_prob * index / sum(counts)
                first = stride if i == 0 else 1
                blocks.append(InvertedResidual(channels, out, expand_ratio, kernel_size, first, drop, norm_layer))
                channels, index = out, index + 1
            features.append(nn.Sequential(*blocks))
            reduction *= stride
            by_stride[reduction] = Stage(f"features.{len(features) - 1}", channels, reduction)
        self.feature_info = list(by_stride.values())
        self.features = nn.Sequential(*features, SameConv(channels, HEAD, norm_layer=norm_layer))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), linear_head(HEAD, num_classes))

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.Linear):
                bound = 1 / math.sqrt(m.out_features)
                nn.init.uniform_(m.weight, -bound, bound)
                nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


def from_published(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename the published files' keys, such as ``_blocks.4._bn1.weight``, to the model's; other keys are kept."""
    if "_conv_stem.weight" not in state_dict:
        return state_dict
    last = len(model.features) - 1  # type: ignore[arg-type]
    names = {
        "_conv_stem": "features.0.0",
        "_bn0": "features.0.1",
        "_conv_head": f"features.{last}.0",
        "_bn1": f"features.{last}.1",
        "_fc": "classifier.1",
    }
    blocks = [path for path, module in model.named_modules() if isinstance(module, InvertedResidual)]
    for i, path in enumerate(blocks):
        for n, part in enumerate(("expand", "depthwise", "project")):
            names |= {f"_blocks.{i}._{part}_conv": f"{path}.{part}.0", f"_blocks.{i}._bn{n}": f"{path}.{part}.1"}

    def renamed(key: str) -> str:
        module, _, tensor = key.rpartition(".")
        return f"{names[module]}.{tensor}" if module in names else key

    return {renamed(key): value for key, value in state_dict.items()}


lite = partial(zoo.builder, head="classifier.1", stem="features.0.0", convert=from_published)


@lite(EfficientNet_Lite0_Weights)
def efficientnet_lite0(**kwargs: Any) -> EfficientNetLite:
    """EfficientNet-Lite0, a variant of `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNetLite(**{"width": 1.0, "depth": 1.0, "dropout": 0.2, **kwargs})


@lite(EfficientNet_Lite1_Weights)
def efficientnet_lite1(**kwargs: Any) -> EfficientNetLite:
    """EfficientNet-Lite1, a variant of `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNetLite(**{"width": 1.0, "depth": 1.1, "dropout": 0.2, **kwargs})


@lite(EfficientNet_Lite2_Weights)
def efficientnet_lite2(**kwargs: Any) -> EfficientNetLite:
    """EfficientNet-Lite2, a variant of `EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks
    <https://arxiv.org/abs/1905.11946>`_."""
    return EfficientNetLite(**{"width": 1.1, "depth": 1.2, "dropout": 0.3, **kwargs})
