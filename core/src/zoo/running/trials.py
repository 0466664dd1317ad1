"""Successive changes of a model: those with agreeing outputs are kept, and of these the fastest."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from zoo.running import clock
from zoo.running.comparing import difference
from zoo.running.editing import Edits

PAYS = 1.03  # a step that is slower by more than this factor is undone
SESSIONS = 3


class Trial:
    """The steps that were taken, each a group of changes.

    Args:
        model: the model, changed by them.
        inputs: the example.
        expected: its outputs before the first step.

    Attributes:
        dtype: the precision that outputs are compared in; None for their own.
        steps: name → changes, all of them applied.
        notes: sentences about undone steps.
        off: the difference of the outputs.
        times: name of a step, or ``"plain"`` → milliseconds of the model with all steps up to that one.
    """

    def __init__(self, model: nn.Module, inputs: tuple[Any, ...], expected: Any) -> None:
        self.model, self.inputs, self.expected = model, inputs, expected
        self.dtype: torch.dtype | None = None
        self.steps: dict[str, Edits] = {}
        self.notes: list[str] = []
        self.off = 0.0
        self.times: dict[str, float] = {}

    def add(self, name: str, step: Edits) -> None:
        """Add a step that has been taken."""
        if step:
            self.steps[name] = step

    def agree(self, least: str | None = None) -> str | None:
        """Undo steps, the last first, until the outputs agree.

        Args:
            least: the last step to keep.

        Returns:
            How the outputs differ with the remaining steps; None if they agree.
        """
        while True:
            problem, self.off = difference(self.model, self.inputs, self.expected, self.dtype)
            last = next(reversed(self.steps), None)
            if problem is None or last is None or last == least:
                return problem
            self.steps.pop(last).undo()
            self.notes.append(f"Not {last}: {problem}." if self.steps else f"All changes were undone: {problem}.")
            if not self.steps:
                return None

    def take_back(self, name: str) -> None:
        """Undo a step and those after it, if they are applied."""
        while name in self.steps:
            self.steps.popitem()[1].undo()

    def choose(self, device: torch.device, least: str | None = None) -> None:
        """Undo steps that make the model slower in measurements, down to ``least``."""
        names = ["plain", *self.steps]
        at = len(names) - 1

        def run(i: int) -> None:
            nonlocal at
            while at > i:
                self.steps[names[at]].undo()
                at -= 1
            while at < i:
                at += 1
                self.steps[names[at]].redo()
            with torch.inference_mode():
                self.model(*self.inputs)

        first = names.index(least) if least else 0
        tried = [0, *range(max(first, 1), len(names))]
        runs = [functools.partial(run, i) for i in tried]
        slow: set[int] | None = None
        seconds = [float("inf")] * len(tried)
        try:
            for _ in range(SESSIONS):  # a step counts as slower only if it is in every session
                now = clock.in_turns(runs, device)
                seconds = list(map(min, seconds, now))
                best = min(s for i, s in zip(tried, now, strict=True) if i >= first)
                slower = {i for i, s in zip(tried, now, strict=True) if s > PAYS * best}
                slow = slower if slow is None else slow & slower
                if tried[-1] not in slow or best < clock.TOO_SHORT:
                    slow = set()
                    break
        finally:
            for name in names[at + 1 :]:
                self.steps[name].redo()
        self.times = {names[i]: 1000 * s for i, s in zip(tried, seconds, strict=True)}
        last = max((i for i in tried if i >= first and i not in (slow or ())), default=tried[-1])
        for name in reversed(names[last + 1 :]):
            self.steps.pop(name).undo()
            without = self.times[names[last]]
            self.notes.append(
                f"Not {name}: {self.times[name]:.1f} ms on the example, against {without:.1f} ms without it."
            )

    @property
    def taken(self) -> str:
        """The last step."""
        return next(reversed(self.steps), "plain")
