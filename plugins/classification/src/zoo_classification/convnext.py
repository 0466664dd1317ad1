"""ConvNeXt: a convolutional network in the proportions of a Swin transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import (
    Conv2dNormActivation,
    LayerNorm2d,
    Permute,
    StochasticDepth,
    at_least,
    check_count,
    check_images,
    check_probability,
    input_channels,
    linear_head,
)
from zoo_classification.weights.convnext import (
    ConvNeXt_Base_Weights,
    ConvNeXt_Large_Weights,
    ConvNeXt_Small_Weights,
    ConvNeXt_Tiny_Weights,
)


class CNBlock(nn.Module):
    """7×7 depthwise convolution, layer norm, and an MLP at every pixel: [N, C, H, W] → [N, C, H, W]."""

    def __init__(
        self,
        dim: int,
        layer_scale: float,
        stochastic_depth_prob: float,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            Permute([0, 2, 3, 1]),
            nn.LayerNorm(dim, eps=1e-6) if norm_layer is None else norm_layer(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(torch.full((dim, 1, 1), layer_scale))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stochastic_depth(self.layer_scale * self.block(x))
        return out + x


class CNBlockConfig(tuple[int, int]):
    """A stage of ConvNeXt: ``input_channels`` and ``num_layers``; ``out_channels`` is the next stage's number of
    channels."""

    def __new__(cls, input_channels: int, out_channels: int | None, num_layers: int) -> CNBlockConfig:
        made = super().__new__(cls, (input_channels, num_layers))
        made.out_channels = out_channels
        return made

    out_channels: int | None

    @property
    def input_channels(self) -> int:
        return self[0]

    @property
    def num_layers(self) -> int:
        return self[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.input_channels, self.out_channels, self.num_layers)


class ConvNeXt(nn.Module):
    """Images [N, C, H, W], at least 32×32 for four stages → logits [N, num_classes].

    Args:
        block_setting: (number of channels, number of blocks) of each stage.
        stochastic_depth_prob: drop probability of the last block; it grows linearly from 0 at the first.
        layer_scale: initial scale of every block's branch.
        num_classes: number of logits; 0 gives the pooled and normalised features instead.
        block: called as ``block(channels, layer_scale, stochastic_depth_prob)``; by default :class:`CNBlock`.
        norm_layer: creates the norms between the stages; by default :class:`zoo.nn.LayerNorm2d` with eps 1e-6.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of large enough images.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        block_setting: Sequence[tuple[int, int]],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        block: Callable[[int, float, float], nn.Module] | None = None,
        norm_layer: Callable[[int], nn.Module] | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if not block_setting:
            raise InvalidArgument("block_setting is empty; expected (channels, blocks) for at least one stage.")
        check_probability("stochastic_depth_prob", stochastic_depth_prob)
        block = block or CNBlock
        norm_layer = norm_layer or partial(LayerNorm2d, eps=1e-6)
        check_count("in_channels", in_channels, 1)
        channels = block_setting[0][0]
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                in_channels, channels, 4, stride=4, padding=0, norm_layer=norm_layer, activation_layer=None, bias=True
            )
        ]
        self.feature_info = []
        blocks = sum(depth for _, depth in block_setting)
        done = 0
        for i, (width, depth) in enumerate(block_setting):
            if i > 0:
                layers.append(nn.Sequential(norm_layer(channels), nn.Conv2d(channels, width, 2, stride=2)))
            drop = [stochastic_depth_prob * n / max(blocks - 1, 1) for n in range(done, done + depth)]
            self.feature_info.append(Stage(f"features.{len(layers)}", width, 4 * 2**i))
            layers.append(nn.Sequential(*(block(width, layer_scale, p) for p in drop)))
            channels, done = width, done + depth
        self.min_size = self.feature_info[-1].stride
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(norm_layer(channels), nn.Flatten(1), linear_head(channels, num_classes))

        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        with at_least(x, self.min_size):
            return self._forward_impl(x)

    def _forward_impl(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.avgpool(self.features(x)))
        return logits


@zoo.builder(ConvNeXt_Tiny_Weights, head="classifier.2", stem="features.0.0")
def convnext_tiny(*, stochastic_depth_prob: float = 0.1, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-T from `A ConvNet for the 2020s <https://arxiv.org/abs/2201.03545>`_."""
    return ConvNeXt([(96, 3), (192, 3), (384, 9), (768, 3)], stochastic_depth_prob, **kwargs)


@zoo.builder(ConvNeXt_Small_Weights, head="classifier.2", stem="features.0.0")
def convnext_small(*, stochastic_depth_prob: float = 0.4, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-S from `A ConvNet for the 2020s <https://arxiv.org/abs/2201.03545>`_."""
    return ConvNeXt([(96, 3), (192, 3), (384, 27), (768, 3)], stochastic_depth_prob, **kwargs)


@zoo.builder(ConvNeXt_Base_Weights, head="classifier.2", stem="features.0.0")
def convnext_base(*, stochastic_depth_prob: float = 0.5, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-B from `A ConvNet for the 2020s <https://arxiv.org/abs/2201.03545>`_."""
    return ConvNeXt([(128, 3), (256, 3), (512, 27), (1024, 3)], stochastic_depth_prob, **kwargs)


@zoo.builder(ConvNeXt_Large_Weights, head="classifier.2", stem="features.0.0")
def convnext_large(*, stochastic_depth_prob: float = 0.5, **kwargs: Any) -> ConvNeXt:
    """ConvNeXt-L from `A ConvNet for the 2020s <https://arxiv.org/abs/2201.03545>`_."""
    return ConvNeXt([(192, 3), (384, 3), (768, 27), (1536, 3)], stochastic_depth_prob, **kwargs)
