"""Quantizable GoogLeNet, in float and int8."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from zoo_classification.googlenet import (
    BasicConv2d,
    GoogLeNet,
    GoogLeNetOutputs,
    Inception,
    InceptionAux,
    warn_of_untrained_heads,
)
from zoo_classification.weights.googlenet import GoogLeNet_Weights
from zoo_quantized.building import quantizable
from zoo_quantized.marks import Arithmetic
from zoo_quantized.quantizable import Fusible, Quantizable
from zoo_quantized.weights.googlenet import GoogLeNet_QuantizedWeights


class QuantizableBasicConv2d(Fusible, BasicConv2d):
    pass


class QuantizableInceptionAux(InceptionAux):
    pass


class QuantizableInception(Inception):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cat = Arithmetic()

    def forward(self, x: Tensor) -> Tensor:
        return self.cat.cat(self.branches(x), 1)


class QuantizableGoogLeNet(Quantizable, GoogLeNet):
    """:class:`~zoo_classification.googlenet.GoogLeNet` of quantizable modules; the arguments are the same, except
    ``blocks``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args, blocks=(QuantizableBasicConv2d, QuantizableInception, QuantizableInceptionAux), **kwargs
        )

    forward = GoogLeNet.forward  # images are normalised before they are quantized

    def classify(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        out: Tensor | GoogLeNetOutputs = self.between(super().classify, x)
        return out


@quantizable(
    GoogLeNet_Weights,
    GoogLeNet_QuantizedWeights,
    head=("fc", "aux1.fc2", "aux2.fc2"),
    stem="conv1.conv",
    convert=warn_of_untrained_heads,
    ignore=("aux1.", "aux2."),
    when_loading={"aux_logits": False},
)
def googlenet(**kwargs: Any) -> QuantizableGoogLeNet:
    """GoogLeNet (Inception v1) from `Going Deeper with Convolutions <https://arxiv.org/abs/1409.4842>`_.

    With published weights ``aux_logits`` is False unless given, and ``transform_input`` is True.
    """
    return QuantizableGoogLeNet(**kwargs)
