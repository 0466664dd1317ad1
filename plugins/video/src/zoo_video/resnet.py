"""Residual networks over space and time: R3D, MC3 and R(2+1)D, from `A Closer Look at Spatiotemporal Convolutions for
Action Recognition <https://arxiv.org/abs/1711.11248>`_. They differ in what replaces a ResNet's 3×3 convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import check_clips, check_count, input_channels, linear_head
from zoo_video.weights.resnet import MC3_18_Weights, MC3_Tiny_Weights, R2Plus1D_18_Weights, R3D_18_Weights


def spatial(in_planes: int, out_planes: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> nn.Conv3d:
    """A convolution within every frame, 1 × ``kernel`` × ``kernel``."""
    size, strides, around = (1, kernel, kernel), (1, stride, stride), (0, padding, padding)
    return nn.Conv3d(in_planes, out_planes, size, strides, around, bias=False)


def temporal(in_planes: int, out_planes: int, stride: int = 1, padding: int = 1) -> nn.Conv3d:
    """A convolution of every pixel over three frames, 3 × 1 × 1."""
    return nn.Conv3d(in_planes, out_planes, (3, 1, 1), (stride, 1, 1), (padding, 0, 0), bias=False)


# Each maker is called with (in_planes, out_planes, width between its parts, stride, padding), and returns its strides
# over time, height and width.


class Conv3DSimple(nn.Conv3d):
    """3×3×3, over space and time at once."""

    def __init__(
        self, in_planes: int, out_planes: int, midplanes: int | None = None, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__(in_planes, out_planes, 3, stride, padding, bias=False)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        return stride, stride, stride


class Conv3DNoTemporal(nn.Conv3d):
    """1×3×3, over space only: frames are processed independently."""

    def __init__(
        self, in_planes: int, out_planes: int, midplanes: int | None = None, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__(in_planes, out_planes, (1, 3, 3), (1, stride, stride), (0, padding, padding), bias=False)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        return 1, stride, stride


class Conv2Plus1D(nn.Sequential):
    """1×3×3, then 3×1×1, with a norm and a nonlinearity between: space first, then time."""

    def __init__(self, in_planes: int, out_planes: int, midplanes: int, stride: int = 1, padding: int = 1) -> None:
        super().__init__(
            spatial(in_planes, midplanes, stride=stride, padding=padding),
            nn.BatchNorm3d(midplanes),
            nn.ReLU(inplace=True),
            temporal(midplanes, out_planes, stride, padding),
        )

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        return stride, stride, stride


class BasicStem(nn.Sequential):
    """3×7×7, which halves height and width: [N, in_channels, T, H, W] → [N, width, T, ⌈H / 2⌉, ⌈W / 2⌉]."""

    def __init__(self, in_channels: int = 3, width: int = 64) -> None:
        conv = nn.Conv3d(in_channels, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        super().__init__(conv, nn.BatchNorm3d(width), nn.ReLU(inplace=True))


class R2Plus1dStem(nn.Sequential):
    """1×7×7, then 3×1×1; the shapes of :class:`BasicStem`."""

    def __init__(self, in_channels: int = 3, width: int = 64) -> None:
        mid = width * 45 // 64  # the paper's 45 for a width of 64
        super().__init__(
            spatial(in_channels, mid, 7, stride=2, padding=3),
            nn.BatchNorm3d(mid),
            nn.ReLU(inplace=True),
            temporal(mid, width),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )


def _mid_planes(inplanes: int, planes: int) -> int:
    """The width at which a 2-d and a 1-d convolution together have as many weights as one of 3×3×3."""
    return inplanes * planes * 27 // (inplanes * 9 + 3 * planes)


class BasicBlock(nn.Module):
    """Two convolutions of the family, ``y = relu(x + branch(x))``."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        conv_builder: Callable[..., nn.Module],
        stride: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        mid = _mid_planes(inplanes, planes)
        self.conv1 = nn.Sequential(
            conv_builder(inplanes, planes, mid, stride), nn.BatchNorm3d(planes), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(conv_builder(planes, planes, mid), nn.BatchNorm3d(planes))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        out += x if self.downsample is None else self.downsample(x)
        out = self.relu(out)
        return out


class Bottleneck(nn.Module):
    """1×1×1, one convolution of the family, 1×1×1 to four times as many channels: ``y = relu(x + branch(x))``."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        conv_builder: Callable[..., nn.Module],
        stride: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        mid = _mid_planes(inplanes, planes)
        out = planes * self.expansion
        self.conv1 = nn.Sequential(
            nn.Conv3d(inplanes, planes, 1, bias=False), nn.BatchNorm3d(planes), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(
            conv_builder(planes, planes, mid, stride), nn.BatchNorm3d(planes), nn.ReLU(inplace=True)
        )
        self.conv3 = nn.Sequential(nn.Conv3d(planes, out, 1, bias=False), nn.BatchNorm3d(out))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(self.conv2(self.conv1(x)))
        out += x if self.downsample is None else self.downsample(x)
        out = self.relu(out)
        return out


class VideoResNet(nn.Module):
    """A residual network of four stages: clips [N, C, T, H, W] of any length and size → logits [N, num_classes].

    Args:
        block: :class:`BasicBlock`, :class:`Bottleneck`, or a class with their arguments and ``expansion``.
        conv_makers: convolution classes of the blocks of the four stages: :class:`Conv3DSimple`,
            :class:`Conv3DNoTemporal` or :class:`Conv2Plus1D`.
        layers: number of blocks in each stage.
        stem: :class:`BasicStem` or :class:`R2Plus1dStem`.
        num_classes: number of logits; 0 gives the pooled features instead.
        zero_init_residual: initialise every block as the identity, by a zero scale in its last norm.
        in_channels: number of channels of the frames.
        width: channels of the first stage; each further stage has twice as many.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of clips with ``in_channels``
            channels.
    """

    in_channels = input_channels("stem")

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        conv_makers: Sequence[Callable[..., nn.Module]],
        layers: Sequence[int],
        stem: Callable[..., nn.Module],
        num_classes: int = 400,
        zero_init_residual: bool = False,
        in_channels: int = 3,
        width: int = 64,
    ) -> None:
        super().__init__()
        if len(layers) != 4 or len(conv_makers) != 4:
            raise InvalidArgument(
                f"layers is {layers!r} and conv_makers has {len(conv_makers)}; expected one of each per stage, four in "
                "total."
            )
        check_count("in_channels", in_channels, 1)
        self.inplanes = check_count("width", width, 2)  # values after the previous stage
        self.stem = stem(in_channels, width)
        self.layer1 = self._make_layer(block, conv_makers[0], width, layers[0])
        self.layer2 = self._make_layer(block, conv_makers[1], 2 * width, layers[1], stride=2)
        self.layer3 = self._make_layer(block, conv_makers[2], 4 * width, layers[2], stride=2)
        self.layer4 = self._make_layer(block, conv_makers[3], 8 * width, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = linear_head(self.inplanes, num_classes)
        self.feature_info = [
            Stage(f"layer{i + 1}", width * 2**i * block.expansion, 2 ** (i + 1), "NCTHW") for i in range(4)
        ]

        for m in self.modules():
            if isinstance(m, nn.Conv3d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=0.01)
                nn.init.zeros_(m.bias)
            elif zero_init_residual and isinstance(m, BasicBlock | Bottleneck):
                last = m.conv2 if isinstance(m, BasicBlock) else m.conv3
                nn.init.zeros_(last[1].weight)  # type: ignore[arg-type]

    def _make_layer(
        self,
        block: type[BasicBlock | Bottleneck],
        conv_builder: Callable[..., nn.Module],
        planes: int,
        blocks: int,
        stride: int = 1,
    ) -> nn.Sequential:
        """The next stage, with ``blocks`` blocks."""
        channels, shortcut = planes * block.expansion, None
        if stride != 1 or self.inplanes != channels:
            strides = getattr(conv_builder, "get_downsample_stride", Conv3DSimple.get_downsample_stride)(stride)
            conv = nn.Conv3d(self.inplanes, channels, 1, strides, bias=False)
            shortcut = nn.Sequential(conv, nn.BatchNorm3d(channels))
        layers = [block(self.inplanes, planes, conv_builder, stride, shortcut)]
        self.inplanes = channels
        layers += [block(channels, planes, conv_builder) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        check_clips(x, self.in_channels)
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


@zoo.builder(R3D_18_Weights, head="fc", stem="stem.0")
def r3d_18(**kwargs: Any) -> VideoResNet:
    """R3D-18, all its convolutions 3×3×3, from `A Closer Look at Spatiotemporal Convolutions for Action Recognition
    <https://arxiv.org/abs/1711.11248>`_."""
    return VideoResNet(BasicBlock, [Conv3DSimple] * 4, [2, 2, 2, 2], BasicStem, **kwargs)


@zoo.builder(MC3_18_Weights, head="fc", stem="stem.0")
def mc3_18(**kwargs: Any) -> VideoResNet:
    """MC3-18, whose last three stages process frames separately, from `A Closer Look at Spatiotemporal Convolutions
    for Action Recognition <https://arxiv.org/abs/1711.11248>`_."""
    return VideoResNet(BasicBlock, [Conv3DSimple, *[Conv3DNoTemporal] * 3], [2, 2, 2, 2], BasicStem, **kwargs)


@zoo.builder(MC3_Tiny_Weights, head="fc", stem="stem.0")
def mc3_tiny(*, width: int = 16, **kwargs: Any) -> VideoResNet:
    """MC3 with a quarter of the width and half of the depth of MC3-18, for small clips: see `A Closer Look at
    Spatiotemporal Convolutions for Action Recognition <https://arxiv.org/abs/1711.11248>`_."""
    return VideoResNet(
        BasicBlock, [Conv3DSimple, *[Conv3DNoTemporal] * 3], [1, 1, 1, 1], BasicStem, width=width, **kwargs
    )


@zoo.builder(R2Plus1D_18_Weights, head="fc", stem="stem.0")
def r2plus1d_18(**kwargs: Any) -> VideoResNet:
    """R(2+1)D-18, space and time convolved in turn, from `A Closer Look at Spatiotemporal Convolutions for Action
    Recognition <https://arxiv.org/abs/1711.11248>`_."""
    return VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [2, 2, 2, 2], R2Plus1dStem, **kwargs)
