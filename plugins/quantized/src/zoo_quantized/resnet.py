"""Quantizable ResNet and ResNeXt, in float and int8."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zoo_classification.resnet import BasicBlock, Bottleneck, ResNet
from zoo_classification.weights.resnet import (
    ResNet18_Weights,
    ResNet50_Weights,
    ResNeXt101_32X8D_Weights,
    ResNeXt101_64X4D_Weights,
)
from zoo_quantized.building import quantizable
from zoo_quantized.marks import Arithmetic
from zoo_quantized.quantizable import Fusible, Quantizable
from zoo_quantized.weights.resnet import (
    ResNet18_QuantizedWeights,
    ResNet50_QuantizedWeights,
    ResNeXt101_32X8D_QuantizedWeights,
    ResNeXt101_64X4D_QuantizedWeights,
)


class QuantizableBasicBlock(Fusible, BasicBlock):
    fused = (("conv1", "bn1", "relu"), ("conv2", "bn2"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_relu = Arithmetic()

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.add_relu.add_relu(out, identity)


class QuantizableBottleneck(Fusible, Bottleneck):
    """A ReLU can be fused with only one convolution: here each convolution has its own."""

    fused = (("conv1", "bn1", "relu1"), ("conv2", "bn2", "relu2"), ("conv3", "bn3"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skip_add_relu = Arithmetic()
        self.relu1 = nn.ReLU(inplace=False)
        self.relu2 = nn.ReLU(inplace=False)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(out)))))
        return self.skip_add_relu.add_relu(out, identity)


class QuantizableResNet(Quantizable, ResNet):
    """:class:`~zoo_classification.resnet.ResNet` of quantizable blocks; the arguments are the same."""


@quantizable(ResNet18_Weights, ResNet18_QuantizedWeights, head="fc", stem="conv1")
def resnet18(**kwargs: Any) -> QuantizableResNet:
    """ResNet-18 from `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_."""
    return QuantizableResNet(QuantizableBasicBlock, [2, 2, 2, 2], **kwargs)


@quantizable(ResNet50_Weights, ResNet50_QuantizedWeights, head="fc", stem="conv1")
def resnet50(**kwargs: Any) -> QuantizableResNet:
    """ResNet-50 from `Deep Residual Learning for Image Recognition <https://arxiv.org/abs/1512.03385>`_."""
    return QuantizableResNet(QuantizableBottleneck, [3, 4, 6, 3], **kwargs)


@quantizable(ResNeXt101_32X8D_Weights, ResNeXt101_32X8D_QuantizedWeights, head="fc", stem="conv1")
def resnext101_32x8d(**kwargs: Any) -> QuantizableResNet:
    """ResNeXt-101 32×8d from `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_."""
    return QuantizableResNet(QuantizableBottleneck, [3, 4, 23, 3], groups=32, width_per_group=8, **kwargs)


@quantizable(ResNeXt101_64X4D_Weights, ResNeXt101_64X4D_QuantizedWeights, head="fc", stem="conv1")
def resnext101_64x4d(**kwargs: Any) -> QuantizableResNet:
    """ResNeXt-101 64×4d from `Aggregated Residual Transformations for Deep Neural Networks
    <https://arxiv.org/abs/1611.05431>`_."""
    return QuantizableResNet(QuantizableBottleneck, [3, 4, 23, 3], groups=64, width_per_group=4, **kwargs)
