"""Loading of files into models: the decorator of builders, checkpoints, and load reports."""

from __future__ import annotations

from zoo.loading.assigning import Convert, adapt_stem
from zoo.loading.builders import builder
from zoo.loading.checkpoints import StateDict, read_checkpoint
from zoo.loading.exported import Exported, ExportedModel
from zoo.loading.reports import LoadReport, built_by, described_like, load_report, loaded_weights
from zoo.loading.saved import check_categories, load, rebuilt_as, reset_head, save
from zoo.loading.traits import default_size, image_size_of, in_channels_of, task_of
from zoo.loading.without_memory import is_filled_from_outside

__all__ = [
    "Convert",
    "Exported",
    "ExportedModel",
    "LoadReport",
    "StateDict",
    "adapt_stem",
    "builder",
    "built_by",
    "check_categories",
    "default_size",
    "described_like",
    "image_size_of",
    "in_channels_of",
    "is_filled_from_outside",
    "load",
    "load_report",
    "loaded_weights",
    "read_checkpoint",
    "rebuilt_as",
    "reset_head",
    "save",
    "task_of",
]
