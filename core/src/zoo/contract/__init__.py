"""The contract between a plugin and the registry: weights, models, tasks and commands, described without importing
torch."""

from __future__ import annotations

from zoo.contract.capabilities import CAPABILITIES
from zoo.contract.catalogue import Catalogue, enum_name
from zoo.contract.checks import check_count, check_model, check_name, check_task, short
from zoo.contract.enums import LazyEnum, WeightsEnum, WeightsLike, make_enum
from zoo.contract.hooks import hookimpl
from zoo.contract.imports import is_import_string, load_object
from zoo.contract.manifest import API_VERSION, Command, Default, Engine, Format, Manifest, Repository, check_manifest
from zoo.contract.models import Model, ModelSpec, Stage, stored_weights
from zoo.contract.protocols import (
    PICTURE_FORMATS,
    Capture,
    Evaluator,
    Examples,
    Exportable,
    Result,
    Task,
    Trainable,
    save_picture,
)
from zoo.contract.showing import check_screen, show_picture
from zoo.contract.tables import flattened, optional
from zoo.contract.tasks import Metric, Option, TaskSpec
from zoo.contract.weights import Metrics, Preset, Weights

__all__ = [
    "API_VERSION",
    "CAPABILITIES",
    "PICTURE_FORMATS",
    "Capture",
    "Catalogue",
    "Command",
    "Default",
    "Engine",
    "Evaluator",
    "Examples",
    "Exportable",
    "Format",
    "LazyEnum",
    "Manifest",
    "Metric",
    "Metrics",
    "Model",
    "ModelSpec",
    "Option",
    "Preset",
    "Repository",
    "Result",
    "Stage",
    "Task",
    "TaskSpec",
    "Trainable",
    "Weights",
    "WeightsEnum",
    "WeightsLike",
    "check_count",
    "check_manifest",
    "check_model",
    "check_name",
    "check_screen",
    "check_task",
    "enum_name",
    "flattened",
    "hookimpl",
    "is_import_string",
    "load_object",
    "make_enum",
    "optional",
    "save_picture",
    "short",
    "show_picture",
    "stored_weights",
]
