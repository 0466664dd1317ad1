# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.
from collections.abc import Sequence
from os import PathLike

from zoo.contract import Weights
from zoo_efficientnet_lite import plugin as plugin, weights as weights
from zoo_efficientnet_lite.efficientnet_lite import EfficientNetLite as EfficientNetLite, Norm
from zoo_efficientnet_lite.weights.efficientnet_lite import (
    EfficientNet_Lite0_Weights as EfficientNet_Lite0_Weights,
    EfficientNet_Lite1_Weights as EfficientNet_Lite1_Weights,
    EfficientNet_Lite2_Weights as EfficientNet_Lite2_Weights,
)

def efficientnet_lite0(
    *,
    weights: EfficientNet_Lite0_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    stochastic_depth_prob: float = 0.2,
    num_classes: int = 1000,
    norm_layer: Norm | None = None,
    in_channels: int = 3,
    stages: Sequence[tuple[int, int, int, int, int]] = ...,
) -> EfficientNetLite: ...
def efficientnet_lite1(
    *,
    weights: EfficientNet_Lite1_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    stochastic_depth_prob: float = 0.2,
    num_classes: int = 1000,
    norm_layer: Norm | None = None,
    in_channels: int = 3,
    stages: Sequence[tuple[int, int, int, int, int]] = ...,
) -> EfficientNetLite: ...
def efficientnet_lite2(
    *,
    weights: EfficientNet_Lite2_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    stochastic_depth_prob: float = 0.2,
    num_classes: int = 1000,
    norm_layer: Norm | None = None,
    in_channels: int = 3,
    stages: Sequence[tuple[int, int, int, int, int]] = ...,
) -> EfficientNetLite: ...
