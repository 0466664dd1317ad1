"""The examples of each step, and their preparation: determined by seed, epoch and step only.

Therefore a checkpoint needs only the number of the step to resume sampling, with any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset

Augment = Callable[[Any, Any, torch.Generator], tuple[Any, Any]]


def mixed(*numbers: int) -> int:
    """A seed derived from several numbers."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number + 1442695040888963407) % 2**63
        seed ^= seed >> 29
    return seed


class Share(NamedTuple):
    """The share of one process in a part of a step: its examples, and their weight in the mean over the entire step.

    With fewer examples than processes, some processes repeat an example with weight 0: all must take part, and no
    example may count twice.
    """

    indices: list[int]
    weight: float


def steps_of(n: int, size: int, seed: int, epoch: int) -> list[list[int]]:
    """The examples of each step of an epoch: each of ``n`` once, ``size`` per step.

    A single remaining example is added to the last step: batch norms cannot be trained on one example.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(mixed(seed, epoch))).tolist()
    steps = [order[i : i + size] for i in range(0, n, size)]
    if len(steps) > 1 and len(steps[-1]) == 1:
        last = steps.pop()
        steps[-1] += last
    return steps


def shares(indices: list[int], parts: int, rank: int, world: int) -> Iterator[Share]:
    """The share of process ``rank`` of ``world`` in each of the ``parts`` of a step."""
    parts = max(1, min(parts, len(indices) // world))
    for part in range(parts):
        own = indices[part * world + rank :: parts * world]
        yield Share(own, len(own) / len(indices)) if own else Share(indices[:1], 0.0)


class Prepared(Dataset[Any]):
    """A reader's examples, augmented and prepared for a model.

    Args:
        reader: gives ``(input, target)``.
        prepare: ``(input, target)`` → the item that the task collates.
        augment: ``(input, target, generator)`` → ``(input, target)``, or None; the generator's seed depends on
            ``seed``, ``epoch`` and the index of the example.
    """

    def __init__(
        self, reader: Any, prepare: Callable[..., Any], augment: Augment | None, seed: int, epoch: int
    ) -> None:
        self.reader, self.prepare, self.augment, self.seed, self.epoch = reader, prepare, augment, seed, epoch

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, i: int) -> Any:
        given, target = self.reader[i]
        if self.augment is not None:
            generator = torch.Generator().manual_seed(mixed(self.seed, self.epoch, i))
            given, target = self.augment(given, target, generator)
        return self.prepare(given, target)
