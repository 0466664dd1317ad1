"""The weights of Inception v3 in int8. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.inception import Inception_V3_Weights
from zoo_quantized.weights.entries import int8


class Inception_V3_QuantizedWeights(WeightsEnum, builder="inception_v3"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "inception_v3_google_fbgemm-a2837893.pth", Inception_V3_Weights.IMAGENET1K_V1, acc=(77.176, 93.354), mb=23.146
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1
