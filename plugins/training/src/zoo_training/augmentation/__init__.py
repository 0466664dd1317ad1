"""Augmentation with plain tensors, consistent for pictures, boxes, masks, keypoints, class maps and flow.

All transforms are called as ``transform(input, target, generator)`` with an example of :class:`zoo.contract.Examples`,
and return a new input and target; the arguments are not modified. All randomness is drawn from the (CPU)
``torch.Generator``, which determines the result: :func:`generator_of` makes one from a seed, an epoch and an index.
Coordinates are continuous: a picture extends from 0 to W, a pixel has side 1, and flipping is x → W - x.
"""

from __future__ import annotations

from zoo_training.augmentation.adapters import FromAlbumentations, FromTorchvision
from zoo_training.augmentation.geometry import (
    FILL,
    PER_OBJECT,
    PERSON_SIDES,
    Target,
    Transform,
    cropped,
    flipped,
    generator_of,
    resized,
    size_of,
    uniform,
)
from zoo_training.augmentation.looks import GREY, OPERATIONS, ColorJitter, Erase, TrivialAugment, operate
from zoo_training.augmentation.mixing import CutMix, MixUp, mixed_batches
from zoo_training.augmentation.places import (
    Compose,
    Flip,
    ObjectCrop,
    RandomCrop,
    ResizedCrop,
    ResizeShorter,
    ScaleJitter,
)
from zoo_training.augmentation.recipes import RECIPES, Recipe, recipe

__all__ = [
    "FILL",
    "GREY",
    "OPERATIONS",
    "PERSON_SIDES",
    "PER_OBJECT",
    "RECIPES",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Erase",
    "Flip",
    "FromAlbumentations",
    "FromTorchvision",
    "MixUp",
    "ObjectCrop",
    "RandomCrop",
    "Recipe",
    "ResizeShorter",
    "ResizedCrop",
    "ScaleJitter",
    "Target",
    "Transform",
    "TrivialAugment",
    "cropped",
    "flipped",
    "generator_of",
    "mixed_batches",
    "operate",
    "recipe",
    "resized",
    "size_of",
    "uniform",
]
