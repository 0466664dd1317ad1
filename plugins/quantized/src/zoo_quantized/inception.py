"""Quantizable Inception v3, in float and int8."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from zoo_classification.inception import (
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionOutputs,
    Mixed,
)
from zoo_classification.weights.inception import Inception_V3_Weights
from zoo_quantized.building import quantizable
from zoo_quantized.googlenet import QuantizableBasicConv2d
from zoo_quantized.marks import Arithmetic
from zoo_quantized.quantizable import Quantizable
from zoo_quantized.weights.inception import Inception_V3_QuantizedWeights


class _Joined(Mixed):
    """Parallel branches, concatenated in int8. ``myop`` is its name in the published files."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.myop = Arithmetic()

    def forward(self, x: Tensor) -> Tensor:
        return self.myop.cat(self.branches(x), 1)


class QuantizableInceptionA(_Joined, InceptionA):
    pass


class QuantizableInceptionB(_Joined, InceptionB):
    pass


class QuantizableInceptionC(_Joined, InceptionC):
    pass


class QuantizableInceptionD(_Joined, InceptionD):
    pass


class QuantizableInceptionE(InceptionE):
    """Two of its branches fork at their end; their forks are concatenated first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.myop1 = Arithmetic()
        self.myop2 = Arithmetic()
        self.myop3 = Arithmetic()

    def forward(self, x: Tensor) -> Tensor:
        first, single_a, single_b, double_a, double_b, pooled = self.branches(x)
        single = self.myop1.cat([single_a, single_b], 1)
        double = self.myop2.cat([double_a, double_b], 1)
        return self.myop3.cat([first, single, double, pooled], 1)


class QuantizableInceptionAux(InceptionAux):
    pass


class QuantizableInception3(Quantizable, Inception3):
    """:class:`~zoo_classification.inception.Inception3` of quantizable modules; the arguments are the same, except
    ``inception_blocks``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        blocks = (
            QuantizableBasicConv2d,
            QuantizableInceptionA,
            QuantizableInceptionB,
            QuantizableInceptionC,
            QuantizableInceptionD,
            QuantizableInceptionE,
            QuantizableInceptionAux,
        )
        super().__init__(*args, inception_blocks=blocks, **kwargs)

    forward = Inception3.forward  # images are normalised before they are quantized

    def classify(self, x: Tensor) -> Tensor | InceptionOutputs:
        out: Tensor | InceptionOutputs = self.between(super().classify, x)
        return out


@quantizable(
    Inception_V3_Weights,
    Inception_V3_QuantizedWeights,
    head=("fc", "AuxLogits.fc"),
    stem="Conv2d_1a_3x3.conv",
    ignore=("AuxLogits.",),
    when_loading={"aux_logits": False},
)
def inception_v3(**kwargs: Any) -> QuantizableInception3:
    """Inception v3 from `Rethinking the Inception Architecture for Computer Vision
    <https://arxiv.org/abs/1512.00567>`_. It expects 299×299 images.

    With weights ``aux_logits`` is False unless given; with published ones ``transform_input`` is True.
    """
    return QuantizableInception3(**kwargs)
