"""The weights of ResNet and ResNeXt in int8. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.resnet import (
    ResNet18_Weights,
    ResNet50_Weights,
    ResNeXt101_32X8D_Weights,
    ResNeXt101_64X4D_Weights,
)
from zoo_quantized.weights.entries import int8


class ResNet18_QuantizedWeights(WeightsEnum, builder="resnet18"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "resnet18_fbgemm_16fa66dd.pth", ResNet18_Weights.IMAGENET1K_V1, acc=(69.494, 88.882), mb=11.238
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1


class ResNet50_QuantizedWeights(WeightsEnum, builder="resnet50"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "resnet50_fbgemm_bf931d71.pth", ResNet50_Weights.IMAGENET1K_V1, acc=(75.920, 92.814), mb=24.759
    )
    IMAGENET1K_FBGEMM_V2 = int8(
        "resnet50_fbgemm-23753f79.pth", ResNet50_Weights.IMAGENET1K_V2, acc=(80.282, 94.976), mb=24.953
    )
    DEFAULT = IMAGENET1K_FBGEMM_V2


class ResNeXt101_32X8D_QuantizedWeights(WeightsEnum, builder="resnext101_32x8d"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "resnext101_32x8_fbgemm_09835ccf.pth", ResNeXt101_32X8D_Weights.IMAGENET1K_V1, acc=(78.986, 94.480), mb=86.034
    )
    IMAGENET1K_FBGEMM_V2 = int8(
        "resnext101_32x8_fbgemm-ee16d00c.pth", ResNeXt101_32X8D_Weights.IMAGENET1K_V2, acc=(82.574, 96.132), mb=86.645
    )
    DEFAULT = IMAGENET1K_FBGEMM_V2


class ResNeXt101_64X4D_QuantizedWeights(WeightsEnum, builder="resnext101_64x4d"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "resnext101_64x4d_fbgemm-605a1cb3.pth",
        ResNeXt101_64X4D_Weights.IMAGENET1K_V1,
        acc=(82.898, 96.326),
        mb=81.556,
        recipe="https://github.com/pytorch/vision/pull/5935",
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1
