"""Measures which candidate is faster: they run alternately, so that other load on the machine affects all of them
equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

SECONDS = 1.5  # target duration of all runs, unless one run of each takes longer
ROUNDS = 7
TOO_SHORT = 0.003  # seconds; shorter runs cannot be distinguished by so few runs


def in_turns(candidates: Sequence[Callable[[], Any]], device: torch.device, *, pause: float = 0.0) -> list[float]:
    """The shortest time of each, in seconds, after a warm-up run.

    Args:
        pause: seconds to wait before each run and then run it once untimed, for candidates with threads of different
            engines: those of the one before spin for a while.
    """
    for run in candidates:
        _timed(run, device)
    best = [float("inf")] * len(candidates)
    begin, rounds = time.perf_counter(), 0
    while rounds < 1 or (rounds < ROUNDS and time.perf_counter() - begin < SECONDS):
        for i, run in enumerate(candidates):
            if pause:
                time.sleep(pause)
                _timed(run, device)
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
