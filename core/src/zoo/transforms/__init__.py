"""Preprocessing: the presets that weights name, and the pieces they are made of, under torchvision's names."""

from __future__ import annotations

from zoo.transforms import functional
from zoo.transforms.functional import InterpolationMode
from zoo.transforms.pieces import (
    CenterCrop,
    Compose,
    ConvertImageDtype,
    Normalize,
    PILToTensor,
    Resize,
    ToPILImage,
    ToTensor,
)
from zoo.transforms.presets import (
    ImageClassification,
    ObjectDetection,
    OpticalFlow,
    SemanticSegmentation,
    VideoClassification,
)

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
    "Resize",
    "SemanticSegmentation",
    "ToPILImage",
    "ToTensor",
    "VideoClassification",
    "functional",
]
