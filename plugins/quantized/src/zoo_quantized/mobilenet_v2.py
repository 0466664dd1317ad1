"""Quantizable MobileNetV2, in float and int8."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zoo_classification.mobilenet_v2 import InvertedResidual, MobileNetV2
from zoo_classification.weights.mobilenet_v2 import MobileNet_V2_Weights
from zoo_quantized.building import quantizable
from zoo_quantized.marks import Arithmetic
from zoo_quantized.quantizable import Fusible, Quantizable
from zoo_quantized.weights.mobilenet_v2 import MobileNet_V2_QuantizedWeights


class QuantizableInvertedResidual(Fusible, InvertedResidual):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skip_add = Arithmetic()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return self.skip_add.add(x, out) if self.use_res_connect else out


class QuantizableMobileNetV2(Quantizable, MobileNetV2):
    """:class:`~zoo_classification.mobilenet_v2.MobileNetV2` of quantizable blocks; the arguments are the same.

    ReLU replaces ReLU6: the range of the integers limits the activations.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"block": QuantizableInvertedResidual, **kwargs})
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.ReLU6):
                    setattr(module, name, nn.ReLU(inplace=False))


@quantizable(
    MobileNet_V2_Weights,
    MobileNet_V2_QuantizedWeights,
    default_backend="qnnpack",
    head="classifier.1",
    stem="features.0.0",
)
def mobilenet_v2(**kwargs: Any) -> QuantizableMobileNetV2:
    """MobileNetV2 from `MobileNetV2: Inverted Residuals and Linear Bottlenecks
    <https://arxiv.org/abs/1801.04381>`_."""
    return QuantizableMobileNetV2(**kwargs)
