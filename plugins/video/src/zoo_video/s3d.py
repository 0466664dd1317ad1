"""S3D: an Inception network whose 3-d convolutions are separated into space and time, from `Rethinking
Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification <https://arxiv.org/abs/1712.04851>`_."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.nn import Conv3dNormActivation, at_least, check_clips, check_count, check_probability, input_channels
from zoo_video.weights.s3d import S3D_Weights

Norm = Callable[[int], nn.Module]

# Widths of an Inception block: 1×1×1 | 1×1×1, then separable 3×3×3 | the same again | pooling, then 1×1×1.
# Poolings between blocks are given as (kernel, stride, padding).
LAYOUT: tuple[tuple[int, int, int] | tuple[int, int, int, int, int, int], ...] = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (3, 2, 1),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (2, 2, 0),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
MIN_SIZE = (13, 209, 209)  # smaller inputs leave nothing for the last pooling


class TemporalSeparableConv(nn.Sequential):
    """1×k×k, then k×1×1, each with norm and ReLU: [N, C, T, H, W] → [N, out_channels, T', H', W']."""

    def __init__(
        self,
        in_planes: int,
        out_planes: int,
        kernel_size: int,
        stride: int,
        padding: int,
        norm_layer: Norm = nn.BatchNorm3d,
    ) -> None:
        k, s, p = kernel_size, stride, padding
        super().__init__(
            Conv3dNormActivation(in_planes, out_planes, (1, k, k), (1, s, s), (0, p, p), norm_layer=norm_layer),
            Conv3dNormActivation(out_planes, out_planes, (k, 1, 1), (s, 1, 1), (p, 0, 0), norm_layer=norm_layer),
        )


class SepInceptionBlock3D(nn.Module):
    """Four branches side by side: [N, C, T, H, W] → [N, sum of their widths, T, H, W]."""

    def __init__(
        self,
        in_planes: int,
        b0_out: int,
        b1_mid: int,
        b1_out: int,
        b2_mid: int,
        b2_out: int,
        b3_out: int,
        norm_layer: Norm,
    ) -> None:
        super().__init__()

        def pointwise(in_channels: int, out_channels: int) -> nn.Module:
            return Conv3dNormActivation(in_channels, out_channels, 1, norm_layer=norm_layer)

        def separable(mid: int, out: int) -> nn.Sequential:
            return nn.Sequential(pointwise(in_planes, mid), TemporalSeparableConv(mid, out, 3, 1, 1, norm_layer))

        self.branch0 = pointwise(in_planes, b0_out)
        self.branch1 = separable(b1_mid, b1_out)
        self.branch2 = separable(b2_mid, b2_out)
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, stride=1, padding=1), pointwise(in_planes, b3_out))
        self.out_channels = b0_out + b1_out + b2_out + b3_out

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)


class S3D(nn.Module):
    """Clips [N, C, T, H, W], at least 13 frames of 209×209 → logits [N, num_classes].

    Args:
        num_classes: number of logits; 0 gives the 1024 pooled features instead.
        dropout: probability, before the last convolution.
        norm_layer: creates a norm for a number of channels; by default batch norm with eps and momentum 0.001.
        in_channels: number of channels of the frames.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of long and large enough clips.
    """

    in_channels = input_channels("features")

    def __init__(
        self, num_classes: int = 400, dropout: float = 0.2, norm_layer: Norm | None = None, in_channels: int = 3
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or partial(nn.BatchNorm3d, eps=1e-3, momentum=1e-3)
        check_count("in_channels", in_channels, 1)
        layers: list[nn.Module] = [
            TemporalSeparableConv(in_channels, 64, 7, 2, 3, norm_layer),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            Conv3dNormActivation(64, 64, 1, norm_layer=norm_layer),
            TemporalSeparableConv(64, 192, 3, 1, 1, norm_layer),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ]
        self.feature_info = [Stage("features.0", 64, 2, "NCTHW"), Stage("features.3", 192, 4, "NCTHW")]
        channels, stride = 192, 8
        for row in LAYOUT:
            if len(row) == 3:
                self.feature_info.append(Stage(f"features.{len(layers) - 1}", channels, stride, "NCTHW"))
                layers.append(nn.MaxPool3d(*row))
                stride *= 2
            else:
                block = SepInceptionBlock3D(channels, *row, norm_layer)
                layers.append(block)
                channels = block.out_channels
        self.feature_info.append(Stage(f"features.{len(layers) - 1}", channels, stride, "NCTHW"))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AvgPool3d((2, 7, 7), stride=1)
        head = nn.Conv3d(channels, num_classes, 1) if check_count("num_classes", num_classes) else nn.Identity()
        self.classifier = nn.Sequential(nn.Dropout(check_probability("dropout", dropout)), head)

    def forward(self, x: Tensor) -> Tensor:
        check_clips(x, self.in_channels)
        with at_least(x, MIN_SIZE):
            logits: Tensor = self.classifier(self.avgpool(self.features(x)))
            return logits.mean((2, 3, 4))  # longer or larger clips are classified at every position


@zoo.builder(S3D_Weights, head="classifier.1", stem="features.0.0.0")
def s3d(**kwargs: Any) -> S3D:
    """S3D from `Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification
    <https://arxiv.org/abs/1712.04851>`_."""
    return S3D(**kwargs)
