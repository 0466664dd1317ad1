"""Augmentation in plain tensors, right for pictures, boxes, masks, keypoints, class maps and flow together.

Everything is called as ``transform(input, target, generator)`` with what :class:`zoo.contract.Examples` gives, and
returns an input and a target; what was given is not changed. All chance is drawn from the ``torch.Generator`` (of the
CPU), so an augmentation is a function of it: :func:`generator_of` makes one of a seed, an epoch and an index.
Coordinates are continuous: a picture is from 0 to W, a pixel is one long, and flipping is x → W - x.
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
