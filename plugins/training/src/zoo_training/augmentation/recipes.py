"""Augmentation recipes by name, with their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Generator, Tensor

from zoo.errors import InvalidArgument
from zoo_training.augmentation.geometry import Target, Transform
from zoo_training.augmentation.looks import ColorJitter, Erase, TrivialAugment
from zoo_training.augmentation.mixing import CutMix, MixUp
from zoo_training.augmentation.places import (
    Compose,
    Flip,
    ObjectCrop,
    RandomCrop,
    ResizedCrop,
    ResizeShorter,
    ScaleJitter,
)


@dataclass(frozen=True)
class Recipe:
    """A transform for each example, the mixing of batches if the recipe has one (classification), and options of the
    task's training that are part of the recipe."""

    name: str
    transform: Transform
    mix: Sequence[Callable[..., tuple[Tensor, Tensor]]] = field(default=())
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        return self.transform(example, target, generator)


RECIPES = ("finetune", "imagenet", "detection")
_OBJECTS = ("object-detection", "instance-segmentation", "keypoint-detection")


def recipe(name: str, task: str, size: int | tuple[int, int], *, flip: float = 0.5) -> Recipe:
    """The augmentation recipe for training on a task.

    ``finetune``
        *classification*: crops of at least 35 % of the area, flips, slight colour jitter: Inception crops as used for
        fine-tuning in `Do Better ImageNet Models Transfer Better? <https://arxiv.org/abs/1805.08974>`_, but larger.
        *segmentation*: scale 0.5 to 2, crop, flip, as in `DeepLabv3 <https://arxiv.org/abs/1706.05587>`_.
        *video*: crops of at least 50 %, the same in all frames, flip, as in `I3D <https://arxiv.org/abs/1705.07750>`_.
        *flow*: colour, scale, crop, flip, as in `RAFT <https://arxiv.org/abs/2003.12039>`_.
        *detection, instance segmentation, keypoints*: flip, and shorter sides of 0.8 to 1 of ``size``, as in
        Detectron's multi-scale training of `Faster R-CNN <https://arxiv.org/abs/1506.01497>`_.
    ``imagenet``
        *classification*, from scratch: crops of at least 8 % (`GoogLeNet <https://arxiv.org/abs/1409.4842>`_), flips,
        `TrivialAugment <https://arxiv.org/abs/2103.10158>`_, random erasing
        (`1708.04896 <https://arxiv.org/abs/1708.04896>`_); batches mixed by
        `mixup <https://arxiv.org/abs/1710.09412>`_ or `CutMix <https://arxiv.org/abs/1905.04899>`_; label smoothing
        0.1, as in `Inception v3 <https://arxiv.org/abs/1512.00567>`_.
    ``detection``
        *detection, instance segmentation, keypoints*, for little data or from scratch: colour, crops that keep objects
        and flip of `SSD <https://arxiv.org/abs/1512.02325>`_, scale 0.8 to 1.25, then the shorter side at ``size``.

    Args:
        name: one of :data:`RECIPES`.
        task: name of the task.
        size: input size of the model in pixels, or (height, width). For detectors, the shorter side.
        flip: probability of a flip; 0 if left and right differ in meaning, as for digits and letters.

    Raises:
        InvalidArgument: unknown recipe, or not available for the task.
    """
    h, w = (size, size) if isinstance(size, int) else size
    short = min(h, w)
    mirror = Flip(flip)
    shorter = ResizeShorter([short], round(short * 5 / 3))
    known: dict[tuple[str, str], Recipe] = {}

    def add(name: str, task: str, *transforms: Transform, mix: Sequence[Any] = (), **options: Any) -> None:
        known[name, task] = Recipe(name, Compose(transforms), mix, options)

    slight = ColorJitter(0.2, 0.2, 0.2, 0.02)
    add("finetune", "image-classification", ResizedCrop(h, w, (0.35, 1.0)), mirror, slight)
    add("finetune", "video-classification", ResizedCrop(h, w, (0.5, 1.0)), mirror, slight)
    add("finetune", "semantic-segmentation", ScaleJitter(0.5, 2.0), RandomCrop(h, w), mirror, slight)
    add("finetune", "optical-flow", ColorJitter(hue=0.1), ScaleJitter(0.8, 1.5), RandomCrop(h, w), mirror)
    erase = Erase(0.1)
    mix = (MixUp(), CutMix())
    scratch = (ResizedCrop(h, w), mirror, TrivialAugment(), erase)
    add("imagenet", "image-classification", *scratch, mix=mix, label_smoothing=0.1)
    for objects in _OBJECTS:
        sizes = sorted({max(1, round(short * k / 20)) for k in range(16, 21)})
        add("finetune", objects, mirror, ResizeShorter(sizes, round(short * 5 / 3)))
        strong = ColorJitter(0.125, 0.5, 0.5, 0.05, p=0.5)
        add("detection", objects, strong, ObjectCrop(), mirror, ScaleJitter(0.8, 1.25), shorter)
    if (name, task) not in known:
        names = sorted({n for n, t in known if t == task})
        raise InvalidArgument(f"Unknown recipe {name!r} for {task!r}; available: {', '.join(names) or 'none'}.")
    return known[name, task]
