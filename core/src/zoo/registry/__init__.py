"""The registry of the models of all plugins. Nothing here imports torch."""

from __future__ import annotations

from zoo.registry.capabilities import capabilities
from zoo.registry.defaults import DefaultModel, default_model
from zoo.registry.discovery import fetch, open_weights
from zoo.registry.exported import VERSION as EXPORT_VERSION
from zoo.registry.listing import list_models, metric
from zoo.registry.lookup import (
    ModelInfo,
    get_model,
    get_model_builder,
    get_model_weights,
    get_weight,
    model_info,
    register_model,
)
from zoo.registry.names import Entry, NameConflict, Registry, name_conflicts, plugins, refresh, registry
from zoo.registry.offers import (
    check_format,
    commands,
    engines,
    engines_for,
    entry_built_by,
    find_command,
    format_of,
    formats,
    get_engine,
    get_task,
    in_words,
    missing_for,
    open_repository,
    provided,
    provides,
    task_built_by,
    usable_engine,
)
from zoo.registry.records import PluginRecord
from zoo.registry.saved import SavedModel, facts_of, find_saved

__all__ = [
    "EXPORT_VERSION",
    "DefaultModel",
    "Entry",
    "ModelInfo",
    "NameConflict",
    "PluginRecord",
    "Registry",
    "SavedModel",
    "capabilities",
    "check_format",
    "commands",
    "default_model",
    "engines",
    "engines_for",
    "entry_built_by",
    "facts_of",
    "fetch",
    "find_command",
    "find_saved",
    "format_of",
    "formats",
    "get_engine",
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "get_task",
    "get_weight",
    "in_words",
    "list_models",
    "metric",
    "missing_for",
    "model_info",
    "name_conflicts",
    "open_repository",
    "open_weights",
    "plugins",
    "provided",
    "provides",
    "refresh",
    "register_model",
    "registry",
    "task_built_by",
    "usable_engine",
]
