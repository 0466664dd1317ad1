"""Learning rates over time, as factors of their peak."""

from __future__ import annotations

import math

from torch.optim import Optimizer


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: a linear rise over ``warmup`` steps, then half a cosine
    down to 0 (`SGDR <https://arxiv.org/abs/1608.03983>`_)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Set each group's rate to ``factor`` times its ``peak_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["peak_lr"]
