"""The models of all plugins under one roof: who offers what, and what each name means. Nothing here imports torch."""

from __future__ import annotations

from zoo.registry.discovery import fetch, open_weights
from zoo.registry.listing import list_models, metric
from zoo.registry.lookup import (
    ModelInfo,
    get_model,
    get_model_builder,
    get_model_weights,
    get_task,
    get_weight,
    model_info,
    register_model,
)
from zoo.registry.names import Entry, NameConflict, Registry, name_conflicts, plugins, refresh, registry
from zoo.registry.records import PluginRecord

__all__ = [
    "Entry",
    "ModelInfo",
    "NameConflict",
    "PluginRecord",
    "Registry",
    "fetch",
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "get_task",
    "get_weight",
    "list_models",
    "metric",
    "model_info",
    "name_conflicts",
    "open_weights",
    "plugins",
    "refresh",
    "register_model",
    "registry",
]
