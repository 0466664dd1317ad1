# What type checkers and editors see of the lazy names in __init__.py.
from zoo import (
    draw as draw,
    errors as errors,
    io as io,
    models as models,
    nn as nn,
    ops as ops,
    testing as testing,
    transforms as transforms,
    utils as utils,
)
from zoo.contract import (
    API_VERSION as API_VERSION,
    Manifest as Manifest,
    Metric as Metric,
    ModelSpec as ModelSpec,
    Preset as Preset,
    Stage as Stage,
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
from zoo.loading import LoadReport as LoadReport, builder as builder, load_report as load_report
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
from zoo.running.evaluation import Evaluation as Evaluation, Evaluator as Evaluator, evaluate as evaluate
from zoo.running.exporting import Exportable as Exportable, ExportReport as ExportReport, export as export
from zoo.running.optimization import OptimizationReport as OptimizationReport, optimize as optimize
from zoo.running.pipelines import Pipeline as Pipeline, pipeline as pipeline

__version__: str
__all__: list[str]
