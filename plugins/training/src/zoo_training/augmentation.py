"""Augmentation in plain tensors, right for pictures, boxes, masks, keypoints, class maps and flow together.

Everything is called as ``transform(input, target, generator)`` with what :class:`zoo.contract.Examples` gives, and
returns an input and a target; what was given is not changed. All chance is drawn from the ``torch.Generator`` (of the
CPU), so an augmentation is a function of it: :func:`generator_of` makes one of a seed, an epoch and an index.
Coordinates are continuous: a picture is from 0 to W, a pixel is one long, and flipping is x → W - x.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from zoo.errors import InvalidArgument, MissingPlugin

Target = dict[str, Any]
Transform = Callable[[Any, Target, Generator], tuple[Any, Target]]
PER_OBJECT = ("boxes", "labels", "masks", "keypoints", "area", "iscrowd")
PERSON_SIDES = tuple((i, i + 1) for i in range(1, 17, 2))  # left and right of COCO's 17 keypoints
GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601
FILL = 114  # of what lies outside a picture, near the mean of natural ones


def generator_of(seed: int, epoch: int, index: int) -> Generator:
    """The generator of one example in one epoch: the same whichever process asks, and whatever was drawn before."""
    number = hashlib.blake2b(f"{seed} {epoch} {index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(number, "little") >> 1)


def uniform(low: float, high: float, generator: Generator) -> float:
    """A number from ``low`` to ``high``."""
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def size_of(example: Any) -> tuple[int, int]:
    """Height and width of an input: a picture, a video, or a pair of frames."""
    first = example[0] if isinstance(example, tuple) else example
    return first.shape[-2], first.shape[-1]


# ── what is done to an input and its target alike ────────────────────────────────────────────────────────────────


def _each(example: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return tuple(map(change, example)) if isinstance(example, tuple) else change(example)


def _resampled(x: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """[..., H, W] at another size, in its own dtype."""
    flat = x.reshape(1, -1, *x.shape[-2:]).to(torch.float32)
    smooth = {"antialias": True, "align_corners": False} if mode == "bilinear" else {}
    out = F.interpolate(flat, size, mode=mode, **smooth).reshape(*x.shape[:-2], *size)
    return out if x.is_floating_point() else out.round().clamp(*_range(x.dtype)).to(x.dtype)


def _range(dtype: torch.dtype) -> tuple[float, float]:
    return (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)


def flipped(example: Any, target: Target, sides: Sequence[tuple[int, int]] | None = None) -> tuple[Any, Target]:
    """Left and right exchanged. ``sides`` are pairs of keypoints to exchange; by default those of COCO's 17."""
    width = size_of(example)[1]
    new = dict(target)
    if "boxes" in new:
        left, top, right, bottom = new["boxes"].unbind(1)
        new["boxes"] = torch.stack([width - right, top, width - left, bottom], 1)
    for key in ("masks", "mask", "valid"):
        if key in new:
            new[key] = new[key].flip(-1)
    if "keypoints" in new:
        points = new["keypoints"].clone()
        points[..., 0] = torch.where(points[..., 2] > 0, width - points[..., 0], points[..., 0])
        order = list(range(points.shape[1]))
        for a, b in sides if sides is not None else PERSON_SIDES if len(order) == 17 else ():
            order[a], order[b] = b, a
        new["keypoints"] = points[:, order]
    if "flow" in new:
        new["flow"] = new["flow"].flip(-1) * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return _each(example, lambda x: x.flip(-1)), new


def resized(example: Any, target: Target, height: int, width: int) -> tuple[Any, Target]:
    """At another size; boxes, keypoints, areas and flow are scaled with it."""
    h, w = size_of(example)
    x, y = width / w, height / h
    new = dict(target)
    if "boxes" in new:
        new["boxes"] = new["boxes"] * torch.tensor([x, y, x, y])
    if "area" in new:
        new["area"] = new["area"] * (x * y)
    for key in ("masks", "mask", "valid"):
        if key in new:
            new[key] = _nearest(new[key], (height, width))
    if "keypoints" in new:
        new["keypoints"] = new["keypoints"] * torch.tensor([x, y, 1])
    if "flow" in new:
        # Where some of it is unknown, numbers of neighbours must not be mixed.
        whole = bool(target["valid"].all())
        flow = _resampled(new["flow"], (height, width)) if whole else _nearest(new["flow"], (height, width))
        new["flow"] = flow * torch.tensor([x, y]).view(2, 1, 1)
    return _each(example, lambda p: _resampled(p, (height, width))), new


def _nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).long().clamp(max=old - 1)
        for new, old in zip(size, x.shape[-2:], strict=True)
    )
    return x[..., rows, :][..., columns]


def cropped(
    example: Any, target: Target, top: int, left: int, height: int, width: int, visible: float = 0.0
) -> tuple[Any, Target]:
    """The part of ``height`` × ``width`` from (``top``, ``left``) on, which may reach beyond the picture: there it is
    grey, of class 255, and without flow. Boxes are cut at its border, and are those of what is left of their masks
    where there are masks; objects of which no more than the share ``visible`` of the box is left are dropped, and
    keypoints outside are not visible."""
    h, w = size_of(example)
    new = dict(target)
    window = (top, left, height, width)
    if "mask" in new:
        new["mask"] = _window(new["mask"], window, 255)
    if "flow" in new:
        new["flow"], new["valid"] = _window(new["flow"], window, 0), _window(new["valid"], window, False)
    if "boxes" in new:
        old = new["boxes"]
        shift = torch.tensor([left, top, left, top], dtype=old.dtype)
        limit = torch.tensor([min(width, w - left), min(height, h - top)] * 2, dtype=old.dtype)
        least = torch.tensor([max(0, -left), max(0, -top)] * 2, dtype=old.dtype)
        boxes = torch.maximum(torch.minimum(old - shift, limit), least)
        before, after = _areas(old), _areas(boxes)
        cut = (boxes != old - shift).any(1)
        new["boxes"] = boxes
        share = after / before.clamp(min=1e-9)
        if "area" in new:
            new["area"] = torch.where(cut, new["area"] * share, new["area"])
        if "masks" in new:
            new["masks"] = _window(new["masks"], window, 0)
            for i in cut.nonzero()[:, 0].tolist():
                ys, xs = (new["masks"][i].amax(1).nonzero(), new["masks"][i].amax(0).nonzero())
                if len(ys):
                    edges = [xs[0].item(), ys[0].item(), xs[-1].item() + 1, ys[-1].item() + 1]
                    new["boxes"][i] = torch.tensor(edges, dtype=old.dtype)
                if "area" in new:
                    new["area"][i] = new["masks"][i].sum()
        if "keypoints" in new:
            points = new["keypoints"].clone()
            points[..., :2] -= shift[:2]
            x, y = points[..., 0], points[..., 1]
            outside = (x < least[0]) | (y < least[1]) | (x >= limit[0]) | (y >= limit[1]) | (points[..., 2] == 0)
            points[outside] = 0
            new["keypoints"] = points
        kept = (share > visible) & (after > 0)
        if "masks" in new:
            kept &= new["masks"].bool().flatten(1).any(1)
        new = {key: value[kept] if key in PER_OBJECT else value for key, value in new.items()}
    return _each(example, lambda x: _window(x, window, FILL)), new


def _window(x: Tensor, window: tuple[int, int, int, int], fill: float) -> Tensor:
    top, left, height, width = window
    h, w = x.shape[-2:]
    if top >= 0 and left >= 0 and top + height <= h and left + width <= w:
        return x[..., top : top + height, left : left + width].clone()
    whole = x.new_full((*x.shape[:-2], height, width), fill)
    y1, y2, x1, x2 = max(0, top), min(h, top + height), max(0, left), min(w, left + width)
    if y2 > y1 and x2 > x1:
        whole[..., y1 - top : y2 - top, x1 - left : x2 - left] = x[..., y1:y2, x1:x2]
    return whole


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


# ── transforms ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Compose:
    """One transform after the other."""

    transforms: Sequence[Transform]

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        for transform in self.transforms:
            example, target = transform(example, target, generator)
        return example, target


@dataclass(frozen=True)
class Flip:
    """Left and right exchanged, with probability ``p``. ``sides``: pairs of keypoints; see :func:`flipped`."""

    p: float = 0.5
    sides: Sequence[tuple[int, int]] | None = None

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        return flipped(example, target, self.sides) if uniform(0, 1, generator) < self.p else (example, target)


@dataclass(frozen=True)
class ResizeShorter:
    """The shorter side becomes one of ``sizes`` pixels, unless the longer would be over ``longest``."""

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
    """Both sides by one factor between ``low`` and ``high``, its logarithm uniform."""

    low: float = 0.5
    high: float = 2.0

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        scale = math.exp(uniform(math.log(self.low), math.log(self.high), generator))
        h, w = size_of(example)
        return resized(example, target, max(1, round(h * scale)), max(1, round(w * scale)))


@dataclass(frozen=True)
class RandomCrop:
    """A part of ``height`` × ``width``, anywhere; smaller pictures are put somewhere on grey."""

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
    """A part that keeps objects: with probability ``p``, of sides from ``least`` of the picture's on, in which the
    centre of one object at least lies. Objects of which less than ``visible`` is left are dropped, unless none would
    stay: then the picture is left as it is. After SSD (`1512.02325 <https://arxiv.org/abs/1512.02325>`_)."""

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
    """A part of ``scale`` of the area and an aspect between ``ratio``, at ``height`` × ``width``; from GoogLeNet
    (`1409.4842 <https://arxiv.org/abs/1409.4842>`_)."""

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


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation by a factor of up to 1 ± each, hue by up to so many turns; alike for all
    frames of a video or pair."""

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

        return _each(example, jitter), target


def _grey(x: Tensor) -> Tensor:
    return (x * torch.tensor(GREY).view(3, 1, 1)).sum(-3, keepdim=True).expand_as(x)


def _uint8(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255).to(torch.uint8)


def _turned(x: Tensor, turn: float) -> Tensor:
    """Colours turned about the axis of greys."""
    c, s = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    a, b = (1 - c) / 3, s / math.sqrt(3)
    matrix = torch.tensor([[c + a, a - b, a + b], [a + b, c + a, a - b], [a - b, a + b, c + a]])
    return torch.einsum("ij,...jhw->...ihw", matrix, x)


@dataclass(frozen=True)
class TrivialAugment:
    """One operation, of one strength, drawn anew for each picture: of RandAugment's fourteen, as TrivialAugment draws
    them (`2103.10158 <https://arxiv.org/abs/2103.10158>`_). For classification: targets are left as they are."""

    strength: float = 1.0

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        if target.keys() - {"label"}:
            raise InvalidArgument(f"TrivialAugment moves pictures and not what is on them; got {sorted(target)}.")
        name = OPERATIONS[int(torch.randint(len(OPERATIONS), (), generator=generator))]
        m = uniform(-self.strength, self.strength, generator)
        return _each(example, lambda x: operate(x, name, m)), target


OPERATIONS = (
    "identity autocontrast equalize rotate solarize color posterize contrast brightness sharpness shear_x shear_y "
    "translate_x translate_y"
).split()


def operate(x: Tensor, name: str, m: float) -> Tensor:
    """uint8 [..., 3, H, W] after one of :data:`OPERATIONS`, of the strength ``m``, -1 to 1."""
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
    """A rectangle of 2 to 33 % of the area in noise, with probability ``p``: random erasing
    (`1708.04896 <https://arxiv.org/abs/1708.04896>`_). For classification."""

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


@dataclass(frozen=True)
class MixUp:
    """Pictures of a batch mixed with one another: ``mix(images, labels, num_classes, generator)`` gives images, and
    targets float32 [N, num_classes]. From `mixup <https://arxiv.org/abs/1710.09412>`_."""

    alpha: float = 0.2

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        share, other = _beta(self.alpha, generator), torch.randperm(len(images), generator=generator)
        targets = F.one_hot(labels, num_classes).float()
        return images[other].lerp(images, share), targets[other].lerp(targets, share)


@dataclass(frozen=True)
class CutMix:
    """A rectangle of each picture of a batch from another one; called like :class:`MixUp`. From
    `CutMix <https://arxiv.org/abs/1905.04899>`_."""

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
    """From Beta(alpha, alpha), by Jöhnk's method: torch's own takes no generator."""
    while True:
        a, b = (uniform(0, 1, generator) ** (1 / alpha) for _ in range(2))
        if 0 < a + b <= 1:
            return float(a / (a + b))


# ── recipes ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Recipe:
    """A transform for each example, and what mixes batches where the recipe mixes them (classification)."""

    name: str
    transform: Transform
    mix: Sequence[Callable[..., tuple[Tensor, Tensor]]] = field(default=())

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        return self.transform(example, target, generator)


RECIPES = ("finetune", "imagenet", "detection")
_OBJECTS = ("object-detection", "instance-segmentation", "keypoint-detection")


def recipe(name: str, task: str, size: int | tuple[int, int], *, flip: float = 0.5) -> Recipe:
    """What is done to the examples of a task in training.

    ``finetune``
        *classification*: parts of 35 % of the area or more, flips, a little colour: Inception's crops, which `Do
        Better ImageNet Models Transfer Better? <https://arxiv.org/abs/1805.08974>`_ fine-tunes with, of larger parts.
        *segmentation*: scale of 0.5 to 2, crop, flip, as `DeepLabv3 <https://arxiv.org/abs/1706.05587>`_.
        *video*: parts of 50 % or more, alike in all frames, flip, after `I3D <https://arxiv.org/abs/1705.07750>`_.
        *flow*: colour, scale, crop, flip, after `RAFT <https://arxiv.org/abs/2003.12039>`_.
        *detection and its kin*: flip and shorter sides of 0.8 to 1 of ``size``, after Detectron's multi-scale training
        of `Faster R-CNN <https://arxiv.org/abs/1506.01497>`_.
    ``imagenet``
        *classification*, from scratch: parts of 8 % or more (`GoogLeNet <https://arxiv.org/abs/1409.4842>`_), flips,
        `TrivialAugment <https://arxiv.org/abs/2103.10158>`_, random erasing
        (`1708.04896 <https://arxiv.org/abs/1708.04896>`_); batches by `mixup <https://arxiv.org/abs/1710.09412>`_ or
        `CutMix <https://arxiv.org/abs/1905.04899>`_.
    ``detection``
        *detection and its kin*, few data or from scratch: colour, crops that keep objects and flip of
        `SSD <https://arxiv.org/abs/1512.02325>`_, scale of 0.8 to 1.25, then the shorter side at ``size``.

    Args:
        name: one of :data:`RECIPES`.
        task: the task's name.
        size: of the model's input in pixels, or height and width. Of detectors, the shorter side.
        flip: probability; 0 where left and right mean something, as of digits and letters.

    Raises:
        InvalidArgument: no such recipe, or none of that name for the task.
    """
    h, w = (size, size) if isinstance(size, int) else size
    short = min(h, w)
    mirror = Flip(flip)
    shorter = ResizeShorter([short], round(short * 5 / 3))
    known: dict[tuple[str, str], Recipe] = {}

    def add(name: str, task: str, *transforms: Transform, mix: Sequence[Any] = ()) -> None:
        known[name, task] = Recipe(name, Compose(transforms), mix)

    slight = ColorJitter(0.2, 0.2, 0.2, 0.02)
    add("finetune", "image-classification", ResizedCrop(h, w, (0.35, 1.0)), mirror, slight)
    add("finetune", "video-classification", ResizedCrop(h, w, (0.5, 1.0)), mirror, slight)
    add("finetune", "semantic-segmentation", ScaleJitter(0.5, 2.0), RandomCrop(h, w), mirror, slight)
    add("finetune", "optical-flow", ColorJitter(hue=0.1), ScaleJitter(0.8, 1.5), RandomCrop(h, w), mirror)
    erase = Erase(0.1)
    mix = (MixUp(), CutMix())
    add("imagenet", "image-classification", ResizedCrop(h, w), mirror, TrivialAugment(), erase, mix=mix)
    for objects in _OBJECTS:
        sizes = sorted({max(1, round(short * k / 20)) for k in range(16, 21)})
        add("finetune", objects, mirror, ResizeShorter(sizes, round(short * 5 / 3)))
        strong = ColorJitter(0.125, 0.5, 0.5, 0.05, p=0.5)
        add("detection", objects, strong, ObjectCrop(), mirror, ScaleJitter(0.8, 1.25), shorter)
    if (name, task) not in known:
        names = sorted({n for n, t in known if t == task})
        raise InvalidArgument(f"There is no recipe {name!r} for {task!r}; there are {', '.join(names) or 'none'}.")
    return known[name, task]


# ── other libraries' ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class FromTorchvision:
    """A transform of ``torchvision.transforms.v2`` as one of these: boxes and masks go through it with the picture.

    Its chance follows from the generator. Keypoints and flow are refused: v2 knows neither left and right nor flow.
    """

    transform: Callable[..., Any]

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        try:
            tv_tensors: Any = importlib.import_module("torchvision.tv_tensors")
        except ImportError as e:
            raise MissingPlugin("FromTorchvision needs torchvision: pip install torchvision") from e
        _refuse(target, "torchvision")
        wrapped = dict(target)
        if "boxes" in wrapped:
            size = size_of(example)
            wrapped["boxes"] = tv_tensors.BoundingBoxes(wrapped["boxes"], format="XYXY", canvas_size=size)
        for key in ("masks", "mask"):
            if key in wrapped:
                wrapped[key] = tv_tensors.Mask(wrapped[key])
        kind = tv_tensors.Video if example.ndim == 4 else tv_tensors.Image
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            example, new = self.transform(kind(example), wrapped)
        plain = {key: v.as_subclass(Tensor) if isinstance(v, Tensor) else v for key, v in new.items()}
        return example.as_subclass(Tensor), _without_empty(plain)


@dataclass(frozen=True)
class FromAlbumentations:
    """A transform of albumentations as one of these; pictures with labels, class maps, boxes and masks. A ``Compose``
    for boxes is made with ``bbox_params=BboxParams("pascal_voc", label_fields=["indices"])``."""

    transform: Any

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        _refuse(target, "albumentations")
        if not hasattr(self.transform, "set_random_seed"):
            raise InvalidArgument(
                "The transform cannot be seeded; expected a Compose of albumentations 1.4.19 or later."
            )
        if "boxes" in target:
            self._check_boxes()
        self.transform.set_random_seed(int(torch.randint(2**31, (), generator=generator)))
        given: dict[str, Any] = {"image": example.permute(1, 2, 0).numpy()}
        if "mask" in target:
            given["mask"] = target["mask"].numpy().astype("int32")
        if "masks" in target and len(target["masks"]):
            given["masks"] = list(target["masks"].numpy())
        if "boxes" in target:
            height, width = size_of(example)  # beyond it no box may reach there
            inside = target["boxes"].clamp(min=0).minimum(torch.tensor([width, height, width, height]))
            given |= {"bboxes": inside.numpy(), "indices": list(range(len(inside)))}
        out = self.transform(**given)
        new = dict(target)
        if "mask" in target:
            new["mask"] = torch.as_tensor(out["mask"]).long()
        if "boxes" in target:
            kept = torch.as_tensor([int(i) for i in out["indices"]], dtype=torch.int64)
            if "masks" in given:
                new["masks"] = torch.stack([torch.as_tensor(mask) for mask in out["masks"]])
            elif "masks" in target:
                new["masks"] = target["masks"].new_zeros(0, *out["image"].shape[:2])
            new = {key: value[kept] if key in PER_OBJECT else value for key, value in new.items()}
            new["boxes"] = torch.as_tensor(out["bboxes"], dtype=torch.float32).reshape(-1, 4)
            new = _without_empty(new)
        return torch.as_tensor(out["image"]).permute(2, 0, 1).contiguous(), new

    def _check_boxes(self) -> None:
        """Without parameters for them boxes would come back as they went in, or be moved as if of another form."""
        boxes = getattr(self.transform, "processors", {}).get("bboxes")
        fields = getattr(boxes and boxes.params, "label_fields", None) or ()
        if boxes is None or boxes.params.format != "pascal_voc" or "indices" not in fields:
            raise InvalidArgument(
                "The transform is not made for boxes in pixels; expected a Compose with "
                'bbox_params=BboxParams("pascal_voc", label_fields=["indices"]).'
            )


def _refuse(target: Target, whose: str) -> None:
    if wrong := [key for key in ("keypoints", "flow") if key in target]:
        raise InvalidArgument(f"{whose}'s transforms are not applied to {wrong[0]}; take those of zoo_training.")


def _without_empty(target: Target) -> Target:
    """Objects whose box is gone are dropped, and areas are those of what is left."""
    if "boxes" not in target:
        return target
    areas = target["masks"].flatten(1).sum(1).float() if "masks" in target else _areas(target["boxes"])
    kept = (_areas(target["boxes"]) > 0) & (areas > 0)
    new = {**target, "area": areas}
    return {key: value[kept] if key in PER_OBJECT else value for key, value in new.items()}
