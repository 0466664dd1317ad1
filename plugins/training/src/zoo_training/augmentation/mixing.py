"""Mixing the examples of a batch: mixup and CutMix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from zoo_training.augmentation.geometry import uniform

Mix = Callable[[Any, Any, Generator], tuple[Any, Any]]


@dataclass(frozen=True)
class MixUp:
    """Mix pairs of pictures of a batch: ``mix(images, labels, num_classes, generator)`` returns images, and targets as
    float32 [N, num_classes]. From `mixup <https://arxiv.org/abs/1710.09412>`_."""

    alpha: float = 0.2

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        share, other = _beta(self.alpha, generator), torch.randperm(len(images), generator=generator)
        targets = F.one_hot(labels, num_classes).float()
        return images[other].lerp(images, share), targets[other].lerp(targets, share)


@dataclass(frozen=True)
class CutMix:
    """Replace a rectangle of each picture by that of another picture of the batch; same arguments as :class:`MixUp`.
    From `CutMix <https://arxiv.org/abs/1905.04899>`_."""

    alpha: float = 1.0

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        side, other = math.sqrt(1 - _beta(self.alpha, generator)), torch.randperm(len(images), generator=generator)
        h, w = images.shape[-2:]
        (y1, y2), (x1, x2) = (_span(length, side, generator) for length in (h, w))
        mixed = images.clone()
        mixed[..., y1:y2, x1:x2] = images[other][..., y1:y2, x1:x2]
        targets = F.one_hot(labels, num_classes).float()
        return mixed, targets[other].lerp(targets, 1 - (y2 - y1) * (x2 - x1) / (h * w))


def _span(length: int, share: float, generator: Generator) -> tuple[int, int]:
    centre, half = uniform(0, length, generator), length * share / 2
    return max(0, round(centre - half)), min(length, round(centre + half))


def _beta(alpha: float, generator: Generator) -> float:
    """Sample Beta(alpha, alpha) by Jöhnk's method: torch's sampler does not accept a generator."""
    while True:
        a, b = (uniform(0, 1, generator) ** (1 / alpha) for _ in range(2))
        if 0 < a + b <= 1:
            return float(a / (a + b))


def mixed_batches(recipe: Any, num_classes: int) -> Mix | None:
    """A function that mixes a batch with one of ``recipe.mix``, chosen for each batch; None if the recipe has none.

    Args:
        recipe: a :class:`Recipe`, or any transform without ``mix``.
        num_classes: number of classes; targets become float32 [N, num_classes].
    """
    ways = tuple(getattr(recipe, "mix", ()))
    if not ways:
        return None

    def mix(arguments: tuple[Tensor], targets: Tensor, generator: Generator) -> tuple[tuple[Tensor], Tensor]:
        way = ways[int(torch.randint(len(ways), (), generator=generator))]
        images, shares = way(arguments[0], targets, num_classes, generator)
        return (images,), shares

    return mix
