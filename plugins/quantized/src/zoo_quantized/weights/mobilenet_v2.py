"""The weights of MobileNetV2 in int8. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES
from zoo_classification.weights.mobilenet_v2 import MobileNet_V2_Weights
from zoo_quantized.weights.entries import int8


class MobileNet_V2_QuantizedWeights(WeightsEnum, builder="mobilenet_v2"):
    IMAGENET1K_QNNPACK_V1 = int8(
        "mobilenet_v2_qnnpack_37f702c5.pth",
        MobileNet_V2_Weights.IMAGENET1K_V1,
        acc=(71.658, 90.150),
        mb=3.423,
        backend="qnnpack",
        recipe=f"{REFERENCES}#qat-mobilenetv2",
        docs="Fine-tuned with simulated quantization.",
    )
    DEFAULT = IMAGENET1K_QNNPACK_V1
