"""Learning rate schedules, as factors of the peak rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer

Schedule = Callable[[int, int, int], float]


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: linear warm-up over ``warmup`` steps, then half a cosine to
    0 (`SGDR <https://arxiv.org/abs/1608.03983>`_)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def one_cycle(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: linear warm-up from 1/25 over ``warmup`` steps, then linear
    to 0 (`Super-Convergence <https://arxiv.org/abs/1708.07120>`_, as in the training of `RAFT
    <https://arxiv.org/abs/2003.12039>`_)."""
    if step < warmup:
        return 1 / 25 + (1 - 1 / 25) * step / warmup
    return 1 - (step - warmup) / max(1, steps - warmup)


def constant(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: linear warm-up over ``warmup`` steps, then 1."""
    return min(1.0, (step + 1) / (warmup + 1))


SCHEDULES: dict[str, Schedule] = {"cosine": warmup_cosine, "one-cycle": one_cycle, "constant": constant}


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Set each group's rate to ``factor`` times its ``peak_lr``."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["peak_lr"]
