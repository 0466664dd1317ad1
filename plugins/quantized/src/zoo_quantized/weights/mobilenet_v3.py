"""The weights of MobileNetV3-Large in int8. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES
from zoo_classification.weights.mobilenet_v3 import MobileNet_V3_Large_Weights
from zoo_quantized.weights.entries import int8


class MobileNet_V3_Large_QuantizedWeights(WeightsEnum, builder="mobilenet_v3_large"):
    IMAGENET1K_QNNPACK_V1 = int8(
        "mobilenet_v3_large_qnnpack-5bcacf28.pth",
        MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        acc=(73.004, 90.858),
        mb=21.554,
        backend="qnnpack",
        recipe=f"{REFERENCES}#qat-mobilenetv3",
        docs="Fine-tuned with simulated quantization. The file contains the float weights and "
        "the observed ranges; they are quantized when it is loaded.",
    )
    DEFAULT = IMAGENET1K_QNNPACK_V1
