"""Geometric transforms: flips, sizes, crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator

from zoo_training.augmentation.geometry import Target, Transform, cropped, flipped, resized, size_of, uniform


@dataclass(frozen=True)
class Compose:
    """Apply transforms in sequence."""

    transforms: Sequence[Transform]

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        for transform in self.transforms:
            example, target = transform(example, target, generator)
        return example, target


@dataclass(frozen=True)
class Flip:
    """Flip horizontally with probability ``p``. ``sides``: pairs of keypoints; see :func:`flipped`."""

    p: float = 0.5
    sides: Sequence[tuple[int, int]] | None = None

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        return flipped(example, target, self.sides) if uniform(0, 1, generator) < self.p else (example, target)


@dataclass(frozen=True)
class ResizeShorter:
    """Resize the shorter side to a random one of ``sizes`` pixels, but keep the longer side at most ``longest``."""

    sizes: Sequence[int]
    longest: int | None = None

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        h, w = size_of(example)
        size = self.sizes[int(torch.randint(len(self.sizes), (), generator=generator))]
        scale = size / min(h, w)
        if self.longest is not None:
            scale = min(scale, self.longest / max(h, w))
        return resized(example, target, max(1, round(h * scale)), max(1, round(w * scale)))


@dataclass(frozen=True)
class ScaleJitter:
    """Scale both sides by the same factor between ``low`` and ``high``, log-uniformly distributed."""

    low: float = 0.5
    high: float = 2.0

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        scale = math.exp(uniform(math.log(self.low), math.log(self.high), generator))
        h, w = size_of(example)
        return resized(example, target, max(1, round(h * scale)), max(1, round(w * scale)))


@dataclass(frozen=True)
class RandomCrop:
    """Crop a random part of ``height`` × ``width``; smaller pictures are placed at a random position on grey."""

    height: int
    width: int

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        h, w = size_of(example)
        top, left = (
            round(uniform(min(0, a - b), max(0, a - b), generator)) for a, b in ((h, self.height), (w, self.width))
        )
        return cropped(example, target, top, left, self.height, self.width)


@dataclass(frozen=True)
class ObjectCrop:
    """With probability ``p``, crop a random part that keeps objects: its sides are at least ``least`` of the picture's,
    and it contains the centre of at least one object. Objects of which less than ``visible`` remains are removed; if
    none remains, the picture is not cropped. As in `SSD <https://arxiv.org/abs/1512.02325>`_."""

    p: float = 0.5
    least: float = 0.3
    visible: float = 0.3
    trials: int = 20

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        if uniform(0, 1, generator) >= self.p or not len(target["boxes"]):
            return example, target
        h, w = size_of(example)
        centres = (target["boxes"][:, :2] + target["boxes"][:, 2:]) / 2
        for _ in range(self.trials):
            height, width = (max(1, round(side * uniform(self.least, 1, generator))) for side in (h, w))
            if not 0.5 <= height / width * w / h <= 2:
                continue
            top, left = (round(uniform(0, a - b, generator)) for a, b in ((h, height), (w, width)))
            corner = torch.tensor([left, top])
            if ((centres >= corner) & (centres < corner + torch.tensor([width, height]))).all(1).any():
                found = cropped(example, target, top, left, height, width, self.visible)
                if len(found[1]["boxes"]):
                    return found
        return example, target


@dataclass(frozen=True)
class ResizedCrop:
    """Crop a part with a share ``scale`` of the area and an aspect ratio in ``ratio``, and resize it to ``height`` ×
    ``width``; as in `GoogLeNet <https://arxiv.org/abs/1409.4842>`_."""

    height: int
    width: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        h, w = size_of(example)
        for _ in range(10):
            area = h * w * uniform(*self.scale, generator)
            aspect = math.exp(uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), generator))
            height, width = max(1, round(math.sqrt(area / aspect))), max(1, round(math.sqrt(area * aspect)))
            if height <= h and width <= w:
                break
        else:
            height, width = min(h, round(w / self.ratio[0])), min(w, round(h * self.ratio[1]))
        top, left = (round(uniform(0, a - b, generator)) for a, b in ((h, height), (w, width)))
        return resized(*cropped(example, target, top, left, height, width), self.height, self.width)
