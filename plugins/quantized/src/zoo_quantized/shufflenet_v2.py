"""Quantizable ShuffleNet V2, in float and int8."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo_classification.shufflenet_v2 import REPEATS, WIDTHS, InvertedResidual, ShuffleNetV2
from zoo_classification.weights.shufflenet_v2 import (
    ShuffleNet_V2_X0_5_Weights,
    ShuffleNet_V2_X1_0_Weights,
    ShuffleNet_V2_X1_5_Weights,
    ShuffleNet_V2_X2_0_Weights,
)
from zoo_quantized.building import quantizable
from zoo_quantized.marks import Arithmetic
from zoo_quantized.quantizable import Quantizable
from zoo_quantized.weights.shufflenet_v2 import (
    ShuffleNet_V2_X0_5_QuantizedWeights,
    ShuffleNet_V2_X1_0_QuantizedWeights,
    ShuffleNet_V2_X1_5_QuantizedWeights,
    ShuffleNet_V2_X2_0_QuantizedWeights,
)


class QuantizableInvertedResidual(InvertedResidual):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cat = Arithmetic()

    def forward(self, x: Tensor) -> Tensor:
        joined = self.cat.cat(self.branches(x), 1)
        # Channels a₀ a₁ … b₀ b₁ … become a₀ b₀ a₁ b₁ ….
        return torch.unflatten(joined, 1, (2, -1)).transpose(1, 2).flatten(1, 2)


class QuantizableShuffleNetV2(Quantizable, ShuffleNetV2):
    """:class:`~zoo_classification.shufflenet_v2.ShuffleNetV2` of quantizable blocks; the arguments are the same."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"inverted_residual": QuantizableInvertedResidual, **kwargs})


@quantizable(ShuffleNet_V2_X0_5_Weights, ShuffleNet_V2_X0_5_QuantizedWeights, head="fc", stem="conv1.0")
def shufflenet_v2_x0_5(**kwargs: Any) -> QuantizableShuffleNetV2:
    """ShuffleNetV2 ×0.5 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return QuantizableShuffleNetV2(REPEATS, WIDTHS[0.5], **kwargs)


@quantizable(ShuffleNet_V2_X1_0_Weights, ShuffleNet_V2_X1_0_QuantizedWeights, head="fc", stem="conv1.0")
def shufflenet_v2_x1_0(**kwargs: Any) -> QuantizableShuffleNetV2:
    """ShuffleNetV2 ×1.0 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return QuantizableShuffleNetV2(REPEATS, WIDTHS[1.0], **kwargs)


@quantizable(ShuffleNet_V2_X1_5_Weights, ShuffleNet_V2_X1_5_QuantizedWeights, head="fc", stem="conv1.0")
def shufflenet_v2_x1_5(**kwargs: Any) -> QuantizableShuffleNetV2:
    """ShuffleNetV2 ×1.5 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return QuantizableShuffleNetV2(REPEATS, WIDTHS[1.5], **kwargs)


@quantizable(ShuffleNet_V2_X2_0_Weights, ShuffleNet_V2_X2_0_QuantizedWeights, head="fc", stem="conv1.0")
def shufflenet_v2_x2_0(**kwargs: Any) -> QuantizableShuffleNetV2:
    """ShuffleNetV2 ×2.0 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return QuantizableShuffleNetV2(REPEATS, WIDTHS[2.0], **kwargs)
