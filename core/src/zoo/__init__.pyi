# Types of the lazy names in __init__.py, and of the names that zoo-tools and zoo-training add.
from zoo import (
    cli as cli,
    compat as compat,
    contract as contract,
    draw as draw,
    errors as errors,
    features as features,
    files as files,
    io as io,
    loading as loading,
    models as models,
    nn as nn,
    ops as ops,
    registry as registry,
    running as running,
    testing as testing,
    transforms as transforms,
    utils as utils,
)
from zoo.contract import (
    API_VERSION as API_VERSION,
    Capture as Capture,
    Command as Command,
    Default as Default,
    Engine as Engine,
    Evaluator as Evaluator,
    Examples as Examples,
    Exportable as Exportable,
    Format as Format,
    Manifest as Manifest,
    Metric as Metric,
    ModelSpec as ModelSpec,
    Option as Option,
    Preset as Preset,
    Repository as Repository,
    Result as Result,
    Stage as Stage,
    Task as Task,
    TaskSpec as TaskSpec,
    Weights as Weights,
    WeightsEnum as WeightsEnum,
    hookimpl as hookimpl,
)
from zoo.errors import (
    PluginWarning as PluginWarning,
    ZooError as ZooError,
    ZooWarning as ZooWarning,
)
from zoo.features import (
    backbone as backbone,
    feature_extractor as feature_extractor,
    feature_info as feature_info,
)
from zoo.loading import (
    LoadReport as LoadReport,
    builder as builder,
    load as load,
    load_report as load_report,
    reset_head as reset_head,
    save as save,
)
from zoo.registry import (
    ModelInfo as ModelInfo,
    PluginRecord as PluginRecord,
    get_model as get_model,
    get_model_builder as get_model_builder,
    get_model_weights as get_model_weights,
    get_task as get_task,
    get_weight as get_weight,
    list_models as list_models,
    model_info as model_info,
    plugins as plugins,
    refresh as refresh,
    register_model as register_model,
)
from zoo.running.batches import (
    BatchPredictor as BatchPredictor,
)
from zoo.running.optimization import (
    OptimizationReport as OptimizationReport,
    optimize as optimize,
)
from zoo.running.pipelines import (
    Pipeline as Pipeline,
)
from zoo.running.tasks import (
    PictureTask as PictureTask,
)
from zoo_tools.benchmarking import (
    Benchmark as Benchmark,
    benchmark as benchmark,
)
from zoo_tools.capabilities import (
    matrix as matrix,
)
from zoo_tools.evaluation import (
    Evaluation as Evaluation,
    evaluate as evaluate,
)
from zoo_tools.exporting import (
    ExportReport as ExportReport,
    export as export,
)
from zoo_tools.quantizing import (
    Quantization as Quantization,
    quantize as quantize,
)
from zoo_training import datasets as datasets
from zoo_training.cards import (
    model_card as model_card,
)
from zoo_training.data import (
    open_data as open_data,
)
from zoo_training.packaging import (
    NewPlugin as NewPlugin,
    new_plugin as new_plugin,
)
from zoo_training.publishing import (
    Published as Published,
    push_to_hub as push_to_hub,
)
from zoo_training.training import (
    Training as Training,
    train as train,
)

__version__: str
__all__: list[str]

# Written by scripts/stubs.py: overloads of zoo.pipeline for tasks and for zoo's own models.
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, overload

import torch

from zoo_classification.embedding import ImageEmbedding
from zoo_classification.task import Classification
from zoo_detection.task import Detection
from zoo_optical_flow.result import Flow
from zoo_segmentation.task import Segmentation
from zoo_transformers.results import Depth, PanopticSegmentation
from zoo_video.task import VideoLabels

_ModelsClassification = Literal[
    "alexnet",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "quantized_googlenet",
    "quantized_inception_v3",
    "quantized_mobilenet_v2",
    "quantized_mobilenet_v3_large",
    "quantized_resnet18",
    "quantized_resnet50",
    "quantized_resnext101_32x8d",
    "quantized_resnext101_64x4d",
    "quantized_shufflenet_v2_x0_5",
    "quantized_shufflenet_v2_x1_0",
    "quantized_shufflenet_v2_x1_5",
    "quantized_shufflenet_v2_x2_0",
    "regnet_x_16gf",
    "regnet_x_1_6gf",
    "regnet_x_32gf",
    "regnet_x_3_2gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_8gf",
    "regnet_y_128gf",
    "regnet_y_16gf",
    "regnet_y_1_6gf",
    "regnet_y_32gf",
    "regnet_y_3_2gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_8gf",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_b",
    "swin_s",
    "swin_t",
    "swin_v2_b",
    "swin_v2_s",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet101_2",
    "wide_resnet50_2",
]
_ModelsSegmentation = Literal[
    "deeplabv3",
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet101",
    "deeplabv3_resnet50",
    "fcn",
    "fcn_resnet101",
    "fcn_resnet50",
    "lraspp",
    "lraspp_mobilenet_v3_large",
]
_ModelsDetection = Literal[
    "fasterrcnn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos",
    "fcos_resnet50_fpn",
    "keypointrcnn",
    "keypointrcnn_resnet50_fpn",
    "maskrcnn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "retinanet",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "ssd300_vgg16",
    "ssdlite320_mobilenet_v3_large",
]
_ModelsVideoLabels = Literal[
    "mc3_18", "mc3_tiny", "mvit_v1_b", "mvit_v2_s", "r2plus1d_18", "r3d_18", "s3d", "swin3d_b", "swin3d_s", "swin3d_t"
]
_ModelsFlow = Literal["raft_large", "raft_small"]
_R_co = TypeVar("_R_co", covariant=True)

class _Steps(Protocol[_R_co]):
    def load(self, source: Any) -> Any: ...
    def decode(self, outputs: Any, inputs: Any, weights: Any, /) -> Sequence[_R_co]: ...

@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["image-classification"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Classification]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["image-feature-extraction"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[ImageEmbedding]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["semantic-segmentation"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Segmentation]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["object-detection", "instance-segmentation", "keypoint-detection"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Detection]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["video-classification"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[VideoLabels]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["optical-flow"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Flow]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["panoptic-segmentation"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[PanopticSegmentation]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: Literal["depth-estimation"],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Depth]: ...
@overload
def pipeline(
    model: _ModelsClassification,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Classification]: ...
@overload
def pipeline(
    model: None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Classification]: ...
@overload
def pipeline(
    model: _ModelsSegmentation,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Segmentation]: ...
@overload
def pipeline(
    model: _ModelsDetection,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Detection]: ...
@overload
def pipeline(
    model: _ModelsVideoLabels,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[VideoLabels]: ...
@overload
def pipeline(
    model: _ModelsFlow,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Flow]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: _Steps[_R_co],
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[_R_co]: ...
@overload
def pipeline(
    model: str | Path | torch.nn.Module | None = None,
    weights: Any = "DEFAULT",
    device: str | torch.device = "auto",
    *,
    task: str | TaskSpec | None = None,
    optimize: bool | None = None,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    compile: bool = False,
    categories: Sequence[str] | None = None,
    workers: int | str = "auto",
    keep_images: bool = False,
    fast_decode: bool = False,
    **config: Any,
) -> Pipeline[Result]: ...
