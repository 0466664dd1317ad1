"""ResNet, ResNeXt and Wide ResNet: stacks of residual blocks, ``y = relu(x + branch(x))``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import check_count, check_images, input_channels, linear_head
from zoo_classification.weights.resnet import (
    ResNet18_Weights,
    ResNet34_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    ResNet152_Weights,
    ResNeXt50_32X4D_Weights,
    ResNeXt101_32X8D_Weights,
    ResNeXt101_64X4D_Weights,
    Wide_ResNet50_2_Weights,
    Wide_ResNet101_2_Weights,
)


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3×3 convolution that keeps the resolution when ``stride`` is 1."""
    return nn.Conv2d(in_planes, out_planes, 3, stride, dilation, dilation, groups, bias=False)


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions; ResNet-18 and -34."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if (groups, base_width, dilation) != (1, 64, 1):
            raise InvalidArgument(
                f"BasicBlock with groups={groups}, width_per_group={base_width}, dilation={dilation}: it cannot be "
                "grouped, widened or dilated. Use Bottleneck."
            )
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        out = self.relu(out)
        return out


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up to four times ``planes``.

    The stride is on the 3×3 convolution and not, as in the paper, on the first 1×1. The published weights were trained
    with this variant, known as ResNet v1.5. ResNeXt groups the 3×3; Wide ResNet widens it.
    """

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += identity
        out = self.relu(out)
        return out


class ResNet(nn.Module):
    """A residual network of four stages: images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`, or a class with their arguments and ``expansion``.
        layers: number of blocks in each of the four stages.
        num_classes: number of logits; 0 gives the pooled features instead.
        zero_init_residual: initialise every block as the identity, by a zero scale in its last norm
            (`Accurate, Large Minibatch SGD <https://arxiv.org/abs/1706.02677>`_); about 0.2 to 0.3 % more accurate.
        groups: number of groups of the bottlenecks' 3×3 convolutions.
        width_per_group: channels of each group in the first stage.
        replace_stride_with_dilation: for each of the last three stages, whether it dilates its convolutions instead of
            halving the resolution; needs :class:`Bottleneck`.
        norm_layer: creates a norm for a number of channels; by default ``nn.BatchNorm2d``.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images with ``in_channels``
            channels.
    """

    in_channels = input_channels("conv1")

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Callable[[int], nn.Module] | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(layers) != 4:
            raise InvalidArgument(f"layers is {layers!r}; expected the number of blocks in each of the four stages.")
        dilate = (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilate) != 3:
            raise InvalidArgument(
                f"replace_stride_with_dilation is {replace_stride_with_dilation!r}; expected None or three booleans, "
                "one for each of the last three stages."
            )
        self._norm_layer = norm_layer = norm_layer or nn.BatchNorm2d
        self.groups = check_count("groups", groups, 1)
        self.base_width = check_count("width_per_group", width_per_group, 1)
        check_count("in_channels", in_channels, 1)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.inplanes, self.dilation = 64, 1  # values after the previous stage
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], stride=2, dilate=dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], stride=2, dilate=dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], stride=2, dilate=dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = linear_head(self.inplanes, num_classes)
        strides = accumulate((4, *(1 if dilated else 2 for dilated in dilate)), mul)
        stages = [Stage(f"layer{i}", 32 * 2**i * block.expansion, stride) for i, stride in enumerate(strides, 1)]
        self.feature_info = [Stage("relu", 64, 2), *stages]

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(m, BasicBlock | Bottleneck):
                last = m.bn3 if isinstance(m, Bottleneck) else m.bn2
                nn.init.zeros_(last.weight)  # type: ignore[arg-type]

    def _make_layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> nn.Sequential:
        """The next stage, with ``blocks`` blocks."""
        options: dict[str, Any] = {"groups": self.groups, "base_width": self.base_width, "norm_layer": self._norm_layer}
        channels, dilation = planes * block.expansion, self.dilation
        if dilate:  # the following convolutions skip by dilation what the stride would have skipped
            if issubclass(block, BasicBlock):
                raise InvalidArgument("replace_stride_with_dilation: BasicBlock cannot dilate. Use Bottleneck.")
            self.dilation, stride = self.dilation * stride, 1
        shortcut = None
        if stride != 1 or self.inplanes != channels:
            shortcut = nn.Sequential(conv1x1(self.inplanes, channels, stride), self._norm_layer(channels))
        layers = [block(self.inplanes, planes, stride, shortcut, dilation=dilation, **options)]
        layers += [block(channels, planes, dilation=self.dilation, **options) for _ in range(1, blocks)]
        self.inplanes = channels
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return self._forward_impl(x)

    def _forward_impl(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


@zoo.builder(ResNet18_Weights, head="fc", stem="conv1")
def resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18 from `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_."""
    return ResNet(BasicBlock, [2, 2, 2, 2], **kwargs)


@zoo.builder(ResNet34_Weights, head="fc", stem="conv1")
def resnet34(**kwargs: Any) -> ResNet:
    """ResNet-34 from `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_."""
    return ResNet(BasicBlock, [3, 4, 6, 3], **kwargs)


@zoo.builder(ResNet50_Weights, head="fc", stem="conv1")
def resnet50(**kwargs: Any) -> ResNet:
    """ResNet-50 from `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_."""
    return ResNet(Bottleneck, [3, 4, 6, 3], **kwargs)


@zoo.builder(ResNet101_Weights, head="fc", stem="conv1")
def resnet101(**kwargs: Any) -> ResNet:
    """ResNet-101 from `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_."""
    return ResNet(Bottleneck, [3, 4, 23, 3], **kwargs)


@zoo.builder(ResNet152_Weights, head="fc", stem="conv1")
def resnet152(**kwargs: Any) -> ResNet:
    """ResNet-152 from `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_."""
    return ResNet(Bottleneck, [3, 8, 36, 3], **kwargs)


@zoo.builder(ResNeXt50_32X4D_Weights, head="fc", stem="conv1")
def resnext50_32x4d(**kwargs: Any) -> ResNet:
    """ResNeXt-50 32×4d from `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_."""
    return ResNet(Bottleneck, [3, 4, 6, 3], groups=32, width_per_group=4, **kwargs)


@zoo.builder(ResNeXt101_32X8D_Weights, head="fc", stem="conv1")
def resnext101_32x8d(**kwargs: Any) -> ResNet:
    """ResNeXt-101 32×8d from `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_."""
    return ResNet(Bottleneck, [3, 4, 23, 3], groups=32, width_per_group=8, **kwargs)


@zoo.builder(ResNeXt101_64X4D_Weights, head="fc", stem="conv1")
def resnext101_64x4d(**kwargs: Any) -> ResNet:
    """ResNeXt-101 64×4d from `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_."""
    return ResNet(Bottleneck, [3, 4, 23, 3], groups=64, width_per_group=4, **kwargs)


@zoo.builder(Wide_ResNet50_2_Weights, head="fc", stem="conv1")
def wide_resnet50_2(**kwargs: Any) -> ResNet:
    """Wide ResNet-50-2, its 3×3 convolutions twice as wide, from `Wide Residual Networks
    <https://arxiv.org/abs/1605.07146>`_."""
    return ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=128, **kwargs)


@zoo.builder(Wide_ResNet101_2_Weights, head="fc", stem="conv1")
def wide_resnet101_2(**kwargs: Any) -> ResNet:
    """Wide ResNet-101-2, its 3×3 convolutions twice as wide, from `Wide Residual Networks
    <https://arxiv.org/abs/1605.07146>`_."""
    return ResNet(Bottleneck, [3, 4, 23, 3], width_per_group=128, **kwargs)
