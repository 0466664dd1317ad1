# What type checkers and editors see of the lazy names in __init__.py, and of those that zoo-tools brings.
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
    pipeline as pipeline,
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
