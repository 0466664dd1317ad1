"""Quantizable MobileNetV3-Large, in float and int8."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zoo.nn import SqueezeExcitation
from zoo_classification.mobilenet_v3 import LARGE, InvertedResidual, MobileNetV3
from zoo_classification.weights.mobilenet_v3 import MobileNet_V3_Large_Weights
from zoo_quantized.building import quantizable
from zoo_quantized.marks import Arithmetic
from zoo_quantized.quantizable import Fusible, Quantizable
from zoo_quantized.weights.mobilenet_v3 import MobileNet_V3_Large_QuantizedWeights


class QuantizableSqueezeExcitation(Fusible, SqueezeExcitation):
    fused = (("fc1", "activation"), ("fc2",))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"scale_activation": nn.Hardsigmoid, **kwargs})
        self.skip_mul = Arithmetic()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the published name
        return self.skip_mul.mul(self.scale(input), input)


class QuantizableInvertedResidual(InvertedResidual):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"se_layer": QuantizableSqueezeExcitation, **kwargs})
        self.skip_add = Arithmetic()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return self.skip_add.add(x, out) if self.use_res_connect else out


class QuantizableMobileNetV3(Quantizable, MobileNetV3):
    """:class:`~zoo_classification.mobilenet_v3.MobileNetV3` of quantizable blocks; the arguments are the same."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"block": QuantizableInvertedResidual, **kwargs})


@quantizable(
    MobileNet_V3_Large_Weights,
    MobileNet_V3_Large_QuantizedWeights,
    default_backend="qnnpack",
    head="classifier.3",
    stem="features.0.0",
)
def mobilenet_v3_large(**kwargs: Any) -> QuantizableMobileNetV3:
    """MobileNetV3-Large from `Searching for MobileNetV3 <https://arxiv.org/abs/1905.02244>`_."""
    return QuantizableMobileNetV3(LARGE, 1280, **kwargs)
