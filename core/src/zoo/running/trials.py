"""Changes of a model one upon the other: those are kept whose outputs agree, and of these what is fastest."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

from zoo.running import clock
from zoo.running.comparing import difference
from zoo.running.editing import Edits

PAYS = 1.03  # what is slower than without by more is not done
SESSIONS = 3


class Trial:
    """Steps that have been taken, each a group of changes upon those before it.

    Args:
        model: the model, changed by them.
        inputs: the example.
        expected: what it gave before the first.

    Attributes:
        dtype: the precision that outputs are compared in; None for their own.
        steps: name → changes, all in force.
        notes: what was taken back, in sentences.
        off: by how much the outputs differ.
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
        """A step that has been taken."""
        if step:
            self.steps[name] = step

    def agree(self, least: str | None = None) -> str | None:
        """Take steps back, the last first, until the outputs agree.

        Args:
            least: not beyond this step.

        Returns:
            How the outputs differ with no more than is left; None if they agree.
        """
        while True:
            problem, self.off = difference(self.model, self.inputs, self.expected, self.dtype)
            last = next(reversed(self.steps), None)
            if problem is None or last is None or last == least:
                return problem
            self.steps.pop(last).undo()
            self.notes.append(f"Not {last}: {problem}." if self.steps else f"Everything was taken back: {problem}.")
            if not self.steps:
                return None

    def take_back(self, name: str) -> None:
        """Take back a step and those after it, as far as they are in force."""
        while name in self.steps:
            self.steps.popitem()[1].undo()

    def choose(self, device: torch.device, least: str | None = None) -> None:
        """Take back what makes the model slower, by the clock, as far as ``least``."""
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
            for _ in range(SESSIONS):  # that something is slower is believed when it is so each time
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
            self.notes.append(f"Not {name}: {self.times[name]:.1f} ms on the example, and {without:.1f} ms without.")

    @property
    def taken(self) -> str:
        """The last step."""
        return next(reversed(self.steps), "plain")
