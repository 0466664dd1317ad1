"""Accuracy for ``zoo evaluate``: a folder of videos for each class. No torch here."""

from __future__ import annotations

from pathlib import Path

from zoo import Weights
from zoo_classification.evaluation import ClassFolders
from zoo_video.plugin import VIDEO_CLASSIFICATION


def evaluate(images: Path, annotations: Path | None, weights: Weights) -> ClassFolders:
    """The evaluator of the task: :class:`~zoo_classification.evaluation.ClassFolders` of videos.

    Probabilities are averaged over a video's clips before they are compared; ``--clips`` says how many there are.
    """
    return ClassFolders(images, annotations, weights, suffixes=VIDEO_CLASSIFICATION.suffixes)
