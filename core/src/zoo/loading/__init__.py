"""Files into models: the decorator of builders, checkpoints, and reports of what was loaded."""

from __future__ import annotations

from zoo.loading.assigning import Convert, adapt_stem
from zoo.loading.builders import builder
from zoo.loading.checkpoints import StateDict, read_checkpoint
from zoo.loading.reports import LoadReport, load_report, loaded_weights

__all__ = [
    "Convert",
    "LoadReport",
    "StateDict",
    "adapt_stem",
    "builder",
    "load_report",
    "loaded_weights",
    "read_checkpoint",
]
