"""Transforms that change the colours of a picture, and transforms for classification only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from zoo.errors import InvalidArgument
from zoo_training.augmentation.geometry import FILL, Target, each, size_of, uniform

GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601


@dataclass(frozen=True)
class ColorJitter:
    """Scale brightness, contrast and saturation by a random factor within 1 ± the given value, and shift the hue by up
    to ``hue`` turns; the same for all frames of a video or pair."""

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0
    p: float = 1.0

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        if uniform(0, 1, generator) >= self.p:
            return example, target
        by = [uniform(max(0, 1 - x), 1 + x, generator) for x in (self.brightness, self.contrast, self.saturation)]
        turn = uniform(-self.hue, self.hue, generator)

        def jitter(x: Tensor) -> Tensor:
            y = x.float() * by[0]
            y = y.mean((-3, -2, -1), keepdim=True).lerp(y, by[1])
            y = _grey(y).lerp(y, by[2])
            return _uint8(_turned(y, turn) if turn else y)

        return each(example, jitter), target


def _grey(x: Tensor) -> Tensor:
    return (x * torch.tensor(GREY).view(3, 1, 1)).sum(-3, keepdim=True).expand_as(x)


def _uint8(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255).to(torch.uint8)


def _turned(x: Tensor, turn: float) -> Tensor:
    """Rotate colours about the grey axis."""
    c, s = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    a, b = (1 - c) / 3, s / math.sqrt(3)
    matrix = torch.tensor([[c + a, a - b, a + b], [a + b, c + a, a - b], [a - b, a + b, c + a]])
    return torch.einsum("ij,...jhw->...ihw", matrix, x)


@dataclass(frozen=True)
class TrivialAugment:
    """One random operation of RandAugment with a random strength for each picture, as in `TrivialAugment
    <https://arxiv.org/abs/2103.10158>`_. For classification: targets are not transformed."""

    strength: float = 1.0

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        if target.keys() - {"label"}:
            raise InvalidArgument(
                f"TrivialAugment does not transform targets, and supports only labels; got {sorted(target)}."
            )
        name = OPERATIONS[int(torch.randint(len(OPERATIONS), (), generator=generator))]
        m = uniform(-self.strength, self.strength, generator)
        return each(example, lambda x: operate(x, name, m)), target


OPERATIONS = (
    "identity autocontrast equalize rotate solarize color posterize contrast brightness sharpness shear_x shear_y "
    "translate_x translate_y"
).split()


def operate(x: Tensor, name: str, m: float) -> Tensor:
    """Apply one of :data:`OPERATIONS` to uint8 [..., 3, H, W], with the strength ``m`` in [-1, 1]."""
    y = x.float()
    if name == "identity":
        return x
    if name == "autocontrast":
        low, high = y.amin((-2, -1), keepdim=True), y.amax((-2, -1), keepdim=True)
        return _uint8(torch.where(high > low, (y - low) * 255 / (high - low).clamp(min=1), y))
    if name == "equalize":
        planes = x.reshape(-1, x.shape[-2] * x.shape[-1]).long()
        rank = torch.stack([torch.bincount(plane, minlength=256) for plane in planes]).cumsum(1).float()
        first = rank.gather(1, planes.amin(1, keepdim=True))
        table = (rank - first).clamp(min=0) * 255 / (planes.shape[1] - first).clamp(min=1)
        flat = planes.amin(1, keepdim=True) == planes.amax(1, keepdim=True)
        return torch.where(flat, planes, _uint8(table.gather(1, planes)).long()).to(torch.uint8).reshape(x.shape)
    if name == "solarize":
        return torch.where(x >= round(255 * (1 - abs(m))), 255 - x, x)
    if name == "posterize":
        return x & (0xFF << round(6 * abs(m)) & 0xFF)
    if name in ("color", "contrast", "brightness", "sharpness"):
        if name == "color":
            base = _grey(y)
        elif name == "contrast":
            base = _grey(y).mean((-3, -2, -1), keepdim=True)
        elif name == "sharpness":
            kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
            planes = y.reshape(-1, 1, *y.shape[-2:])
            base = F.conv2d(F.pad(planes, (1, 1, 1, 1), "replicate"), kernel[None, None]).reshape(y.shape)
        else:
            base = torch.zeros_like(y)
        return _uint8(base.lerp(y, 1 + 0.99 * m))
    h, w = x.shape[-2:]
    angle = math.radians(135 * m) if name == "rotate" else 0.0
    c, s = math.cos(angle), math.sin(angle)
    shear_x, shear_y = (0.99 * m if name == f"shear_{axis}" else 0.0 for axis in "xy")
    shift_x, shift_y = (32 / 224 * 2 * m if name == f"translate_{axis}" else 0.0 for axis in "xy")
    theta = torch.tensor([[c, s * h / w + shear_x * h / w, shift_x], [-s * w / h + shear_y * w / h, c, shift_y]])
    planes = y.reshape(-1, 3, h, w) - FILL
    grid = F.affine_grid(theta.expand(len(planes), 2, 3), list(planes.shape), align_corners=False)
    return _uint8(F.grid_sample(planes, grid, align_corners=False).reshape(y.shape) + FILL)


@dataclass(frozen=True)
class Erase:
    """Replace a rectangle of 2 to 33 % of the area by noise, with probability ``p``, as in `Random Erasing
    <https://arxiv.org/abs/1708.04896>`_. For classification."""

    p: float = 0.1

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        if uniform(0, 1, generator) >= self.p:
            return example, target
        h, w = size_of(example)
        area, aspect = h * w * uniform(0.02, 0.33, generator), math.exp(uniform(-1.2, 1.2, generator))
        height = min(h, max(1, round(math.sqrt(area * aspect))))
        width = min(w, max(1, round(math.sqrt(area / aspect))))
        top, left = (round(uniform(0, a - b, generator)) for a, b in ((h, height), (w, width)))
        noise = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        new = example.clone()
        new[..., top : top + height, left : left + width] = noise
        return new, target
