"""Preprocessing: the presets of weights, and single transforms, under torchvision's names."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from zoo.contract.aliases import AliasFinder
from zoo.errors import MissingPlugin, suggest
from zoo.transforms import elsewhere, functional
from zoo.transforms.pieces import (
    CenterCrop,
    Compose,
    ConvertImageDtype,
    Normalize,
    Pad,
    PILToTensor,
    Resize,
    ToPILImage,
    ToTensor,
)
from zoo.transforms.presets import (
    ImageClassification,
    ObjectDetection,
    OpticalFlow,
    Pixels,
    SemanticSegmentation,
    VideoClassification,
)

if TYPE_CHECKING:
    from zoo.transforms.functional import InterpolationMode

__all__ = [
    "CenterCrop",
    "Compose",
    "ConvertImageDtype",
    "ImageClassification",
    "InterpolationMode",
    "Normalize",
    "ObjectDetection",
    "OpticalFlow",
    "PILToTensor",
    "Pad",
    "Pixels",
    "Resize",
    "SemanticSegmentation",
    "ToPILImage",
    "ToTensor",
    "VideoClassification",
    "functional",
]

# Their modules in torchvision.
_ALIASES = {"transforms": "zoo.transforms.pieces", "_presets": "zoo.transforms.presets"}
sys.meta_path += [AliasFinder(__name__, _ALIASES.get), elsewhere.Finder()]


def __getattr__(name: str) -> Any:
    if name in _ALIASES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "InterpolationMode":  # torchvision's functions only take its own, ours take both
        return getattr(sys.modules.get("torchvision.transforms"), name, functional.InterpolationMode)
    if sentence := elsewhere.where(name):
        raise MissingPlugin(
            sentence
        )  # an ImportError: `from zoo.transforms import …` would drop the message of any other
    raise AttributeError(f"module 'zoo.transforms' has no attribute {name!r}.{suggest(name, __all__)}")
