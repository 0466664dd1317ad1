"""What a plugin hands to the registry: weights, models and tasks as plain data, described without importing torch."""

from __future__ import annotations

from zoo.contract.checks import check_count, check_model, check_name, check_task, short
from zoo.contract.enums import WeightsEnum, WeightsLike
from zoo.contract.hooks import hookimpl
from zoo.contract.imports import is_import_string, load_object
from zoo.contract.manifest import API_VERSION, Manifest, check_manifest
from zoo.contract.models import ModelSpec, Stage
from zoo.contract.tasks import Metric, TaskSpec
from zoo.contract.weights import Metrics, Preset, Weights

__all__ = [
    "API_VERSION",
    "Manifest",
    "Metric",
    "Metrics",
    "ModelSpec",
    "Preset",
    "Stage",
    "TaskSpec",
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
    "short",
]
