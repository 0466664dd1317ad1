# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

from torch import nn

from zoo.contract import Weights
from zoo_quantized import plugin as plugin, weights as weights
from zoo_quantized.conversion import Conversion as Conversion, convert as convert
from zoo_quantized.eager import MissingEngine as MissingEngine
from zoo_quantized.googlenet import QuantizableGoogLeNet as QuantizableGoogLeNet
from zoo_quantized.inception import QuantizableInception3 as QuantizableInception3
from zoo_quantized.mobilenet_v2 import QuantizableMobileNetV2 as QuantizableMobileNetV2
from zoo_quantized.mobilenet_v3 import QuantizableMobileNetV3 as QuantizableMobileNetV3
from zoo_quantized.quantizable import Quantizable as Quantizable
from zoo_quantized.quantization import quantize as quantize
from zoo_quantized.resnet import (
    QuantizableBasicBlock as QuantizableBasicBlock,
    QuantizableBottleneck as QuantizableBottleneck,
    QuantizableResNet as QuantizableResNet,
)
from zoo_quantized.shufflenet_v2 import QuantizableShuffleNetV2 as QuantizableShuffleNetV2
from zoo_quantized.weights.googlenet import GoogLeNet_QuantizedWeights as GoogLeNet_QuantizedWeights
from zoo_quantized.weights.inception import Inception_V3_QuantizedWeights as Inception_V3_QuantizedWeights
from zoo_quantized.weights.mobilenet_v2 import MobileNet_V2_QuantizedWeights as MobileNet_V2_QuantizedWeights
from zoo_quantized.weights.mobilenet_v3 import (
    MobileNet_V3_Large_QuantizedWeights as MobileNet_V3_Large_QuantizedWeights,
)
from zoo_quantized.weights.resnet import (
    ResNet18_QuantizedWeights as ResNet18_QuantizedWeights,
    ResNet50_QuantizedWeights as ResNet50_QuantizedWeights,
    ResNeXt101_32X8D_QuantizedWeights as ResNeXt101_32X8D_QuantizedWeights,
    ResNeXt101_64X4D_QuantizedWeights as ResNeXt101_64X4D_QuantizedWeights,
)
from zoo_quantized.weights.shufflenet_v2 import (
    ShuffleNet_V2_X0_5_QuantizedWeights as ShuffleNet_V2_X0_5_QuantizedWeights,
    ShuffleNet_V2_X1_0_QuantizedWeights as ShuffleNet_V2_X1_0_QuantizedWeights,
    ShuffleNet_V2_X1_5_QuantizedWeights as ShuffleNet_V2_X1_5_QuantizedWeights,
    ShuffleNet_V2_X2_0_QuantizedWeights as ShuffleNet_V2_X2_0_QuantizedWeights,
)

def googlenet(
    *,
    weights: GoogLeNet_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    aux_logits: bool = True,
    transform_input: bool = False,
    init_weights: bool = True,
    dropout: float = 0.2,
    dropout_aux: float = 0.7,
    in_channels: int = 3,
) -> QuantizableGoogLeNet: ...
def inception_v3(
    *,
    weights: Inception_V3_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    aux_logits: bool = True,
    transform_input: bool = False,
    init_weights: bool = True,
    dropout: float = 0.5,
    in_channels: int = 3,
) -> QuantizableInception3: ...
def mobilenet_v2(
    *,
    weights: MobileNet_V2_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "qnnpack",
    num_classes: int = 1000,
    width_mult: float = 1.0,
    inverted_residual_setting: Sequence[Sequence[int]] | None = None,
    round_nearest: int = 8,
    block: Callable[..., nn.Module] | None = None,
    norm_layer: Callable[..., nn.Module] | None = None,
    dropout: float = 0.2,
    in_channels: int = 3,
) -> QuantizableMobileNetV2: ...
def mobilenet_v3_large(
    *,
    weights: MobileNet_V3_Large_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "qnnpack",
    num_classes: int = 1000,
    block: Callable[..., nn.Module] | None = None,
    norm_layer: Callable[..., nn.Module] | None = None,
    dropout: float = 0.2,
    in_channels: int = 3,
) -> QuantizableMobileNetV3: ...
def resnet18(
    *,
    weights: ResNet18_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    zero_init_residual: bool = False,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> QuantizableResNet: ...
def resnet50(
    *,
    weights: ResNet50_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    zero_init_residual: bool = False,
    groups: int = 1,
    width_per_group: int = 64,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> QuantizableResNet: ...
def resnext101_32x8d(
    *,
    weights: ResNeXt101_32X8D_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    zero_init_residual: bool = False,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> QuantizableResNet: ...
def resnext101_64x4d(
    *,
    weights: ResNeXt101_64X4D_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    zero_init_residual: bool = False,
    replace_stride_with_dilation: Sequence[bool] | None = None,
    norm_layer: Callable[[int], nn.Module] | None = None,
    in_channels: int = 3,
) -> QuantizableResNet: ...
def shufflenet_v2_x0_5(
    *,
    weights: ShuffleNet_V2_X0_5_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    inverted_residual: Callable[[int, int, int], nn.Module] = ...,
    in_channels: int = 3,
) -> QuantizableShuffleNetV2: ...
def shufflenet_v2_x1_0(
    *,
    weights: ShuffleNet_V2_X1_0_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    inverted_residual: Callable[[int, int, int], nn.Module] = ...,
    in_channels: int = 3,
) -> QuantizableShuffleNetV2: ...
def shufflenet_v2_x1_5(
    *,
    weights: ShuffleNet_V2_X1_5_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    inverted_residual: Callable[[int, int, int], nn.Module] = ...,
    in_channels: int = 3,
) -> QuantizableShuffleNetV2: ...
def shufflenet_v2_x2_0(
    *,
    weights: ShuffleNet_V2_X2_0_QuantizedWeights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    quantize: Any = False,
    backend: Any = "fbgemm",
    num_classes: int = 1000,
    inverted_residual: Callable[[int, int, int], nn.Module] = ...,
    in_channels: int = 3,
) -> QuantizableShuffleNetV2: ...
