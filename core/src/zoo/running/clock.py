"""What is faster, by the clock: candidates run in turns, so that whatever else the machine does falls on all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

SECONDS = 1.5  # that all runs together should take, and do where a run of each takes no longer
ROUNDS = 7
TOO_SHORT = 0.003  # seconds; what takes less is not told apart by so few runs


def in_turns(candidates: Sequence[Callable[[], Any]], device: torch.device) -> list[float]:
    """The shortest time of each, in seconds, after one run that does not count."""
    for run in candidates:
        _timed(run, device)
    best = [float("inf")] * len(candidates)
    begin, rounds = time.perf_counter(), 0
    while rounds < 1 or (rounds < ROUNDS and time.perf_counter() - begin < SECONDS):
        for i, run in enumerate(candidates):
            best[i] = min(best[i], _timed(run, device))
        rounds += 1
    return best


def _timed(run: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    begin = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - begin


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
