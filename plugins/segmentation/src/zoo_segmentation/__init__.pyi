# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.
from collections.abc import Callable, Sequence
from os import PathLike

from torch import nn

from zoo.contract import Weights
from zoo.contract.enums import WeightsLike
from zoo_segmentation import (
    deeplabv3 as deeplabv3,
    fcn as fcn,
    losses as losses,
    lraspp as lraspp,
    metrics as metrics,
    plugin as plugin,
    weights as weights,
)
from zoo_segmentation.deeplabv3 import ASPP as ASPP, DeepLabHead as DeepLabHead, DeepLabV3 as DeepLabV3
from zoo_segmentation.fcn import FCN as FCN, FCNHead as FCNHead
from zoo_segmentation.lraspp import LRASPP as LRASPP, LRASPPHead as LRASPPHead
from zoo_segmentation.weights.deeplabv3 import (
    DeepLabV3_MobileNet_V3_Large_Weights as DeepLabV3_MobileNet_V3_Large_Weights,
    DeepLabV3_ResNet50_Weights as DeepLabV3_ResNet50_Weights,
    DeepLabV3_ResNet101_Weights as DeepLabV3_ResNet101_Weights,
)
from zoo_segmentation.weights.fcn import (
    FCN_ResNet50_Weights as FCN_ResNet50_Weights,
    FCN_ResNet101_Weights as FCN_ResNet101_Weights,
)
from zoo_segmentation.weights.lraspp import LRASPP_MobileNet_V3_Large_Weights as LRASPP_MobileNet_V3_Large_Weights

def deeplabv3_mobilenet_v3_large(
    *,
    weights: DeepLabV3_MobileNet_V3_Large_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ...,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    block: Callable[..., nn.Module] | None = None,
    norm_layer: Callable[..., nn.Module] | None = None,
    dropout: float = 0.2,
    in_channels: int = 3,
) -> DeepLabV3: ...
def deeplabv3_resnet101(
    *,
    weights: DeepLabV3_ResNet101_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ...,
    zero_init_residual: bool = False,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> DeepLabV3: ...
def deeplabv3_resnet50(
    *,
    weights: DeepLabV3_ResNet50_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ...,
    zero_init_residual: bool = False,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> DeepLabV3: ...
def fcn_resnet101(
    *,
    weights: FCN_ResNet101_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ...,
    zero_init_residual: bool = False,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> FCN: ...
def fcn_resnet50(
    *,
    weights: FCN_ResNet50_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ...,
    zero_init_residual: bool = False,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> FCN: ...
def lraspp_mobilenet_v3_large(
    *,
    weights: LRASPP_MobileNet_V3_Large_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = ...,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    block: Callable[..., nn.Module] | None = None,
    norm_layer: Callable[..., nn.Module] | None = None,
    dropout: float = 0.2,
    in_channels: int = 3,
) -> LRASPP: ...
