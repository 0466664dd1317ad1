"""What a plugin hands to the registry: weights, models, tasks and commands, described without importing torch."""

from __future__ import annotations

from zoo.contract.capabilities import CAPABILITIES
from zoo.contract.checks import check_count, check_model, check_name, check_task, short
from zoo.contract.enums import WeightsEnum, WeightsLike
from zoo.contract.hooks import hookimpl
from zoo.contract.imports import is_import_string, load_object
from zoo.contract.manifest import API_VERSION, Command, Engine, Format, Manifest, Repository, check_manifest
from zoo.contract.models import Model, ModelSpec, Stage
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
from zoo.contract.tasks import Metric, Option, TaskSpec
from zoo.contract.weights import Metrics, Preset, Weights

__all__ = [
    "API_VERSION",
    "CAPABILITIES",
    "PICTURE_FORMATS",
    "Capture",
    "Command",
    "Engine",
    "Evaluator",
    "Examples",
    "Exportable",
    "Format",
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
    "check_task",
    "hookimpl",
    "is_import_string",
    "load_object",
    "save_picture",
    "short",
]
