"""The weights of ShuffleNet V2 in int8. Does not import torch."""

from __future__ import annotations

from zoo import Preset, Weights, WeightsEnum
from zoo_classification.weights.shufflenet_v2 import (
    ShuffleNet_V2_X0_5_Weights,
    ShuffleNet_V2_X1_0_Weights,
    ShuffleNet_V2_X1_5_Weights,
    ShuffleNet_V2_X2_0_Weights,
)
from zoo_quantized.weights.entries import int8

NEW = "https://github.com/pytorch/vision/pull/5906"


class ShuffleNet_V2_X0_5_QuantizedWeights(WeightsEnum, builder="shufflenet_v2_x0_5"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "shufflenetv2_x0.5_fbgemm-00845098.pth",
        ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1,
        acc=(57.972, 79.780),
        mb=1.501,
    )
    DIGITS_V1 = Weights(
        url="pkg://zoo_quantized/checkpoints/shufflenet_v2_x0_5_digits-392890c9.safetensors",
        transforms=Preset(
            "zoo.transforms:ImageClassification",
            {"crop_size": 64, "resize_size": 64, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        ),
        config={"num_classes": 10, "quantize": "auto", "backend": "fbgemm"},
        num_params=352_042,
        metrics={"Digits": {"acc@1": 99.111, "acc@5": 100.0}},  # on the 450 held-out scans; the float model: 99.111
        gflops=0.003,
        ops_unit="GIPS",
        file_size=0.406,
        categories=tuple("0123456789"),
        recipe="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html",
        license="BSD-3-Clause",
        min_size=(1, 1),
        docs="Handwritten digits; made by examples/train_quantized_digits.py, and part of the package.",
        extra={"backend": "fbgemm"},
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1


class ShuffleNet_V2_X1_0_QuantizedWeights(WeightsEnum, builder="shufflenet_v2_x1_0"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "shufflenetv2_x1_fbgemm-1e62bb32.pth",
        ShuffleNet_V2_X1_0_Weights.IMAGENET1K_V1,
        acc=(68.360, 87.582),
        mb=2.334,
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1


class ShuffleNet_V2_X1_5_QuantizedWeights(WeightsEnum, builder="shufflenet_v2_x1_5"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "shufflenetv2_x1_5_fbgemm-d7401f05.pth",
        ShuffleNet_V2_X1_5_Weights.IMAGENET1K_V1,
        acc=(72.052, 90.700),
        mb=3.672,
        recipe=NEW,
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1


class ShuffleNet_V2_X2_0_QuantizedWeights(WeightsEnum, builder="shufflenet_v2_x2_0"):
    IMAGENET1K_FBGEMM_V1 = int8(
        "shufflenetv2_x2_0_fbgemm-5cac526c.pth",
        ShuffleNet_V2_X2_0_Weights.IMAGENET1K_V1,
        acc=(75.354, 92.488),
        mb=7.467,
        recipe=NEW,
    )
    DEFAULT = IMAGENET1K_FBGEMM_V1
