"""Training data: open it by format, split it, and show it."""

from __future__ import annotations

from zoo_training.data.opening import open_data
from zoo_training.data.showing import describe, sheet
from zoo_training.data.splitting import split_indices

__all__ = ["describe", "open_data", "sheet", "split_indices"]
