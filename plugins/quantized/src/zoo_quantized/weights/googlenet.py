"""The weights of GoogLeNet in int8. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.googlenet import GoogLeNet_Weights
from zoo_quantized.weights.entries import int8


class GoogLeNet_QuantizedWeights(WeightsEnum, builder="googlenet"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "googlenet_fbgemm-c81f6644.pth", GoogLeNet_Weights.IMAGENET1K_V1, acc=(69.826, 89.404), mb=12.618
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1
