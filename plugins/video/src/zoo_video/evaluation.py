"""Accuracy for ``zoo evaluate``: one folder of videos per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import Examples, Weights
from zoo_classification.evaluation import ClassFolders
from zoo_video.plugin import VIDEO_CLASSIFICATION

if TYPE_CHECKING:
    from zoo_video.task import VideoLabels


class VideoFolders(ClassFolders):
    """:class:`~zoo_classification.evaluation.ClassFolders` of videos.

    ``acc@1`` and ``acc@5`` count videos: probabilities are averaged over a video's clips before they are compared. With
    several clips per video (``--clips``), ``clip_acc@1`` and ``clip_acc@5`` count the individual clips.
    """

    def measure(self, name: str, result: VideoLabels) -> dict[str, Any]:  # type: ignore[override]
        clips = [super(VideoFolders, self).measure(name, clip)["top"] for clip in result.clips]
        return {**super().measure(name, result), "clips": clips}

    def summarize(self, records: Sequence[dict[str, Any]]) -> dict[str, float]:
        clips = [{**record, "top": top} for record in records for top in record["clips"]]
        each = super().summarize(clips) if len(clips) > len(records) else {}
        return {**super().summarize(records), **{f"clip_{name}": value for name, value in each.items()}}


def evaluate(images: Path | Examples, annotations: Path | None, weights: Weights) -> VideoFolders:
    """The evaluator of the task."""
    return VideoFolders(images, annotations, weights, suffixes=VIDEO_CLASSIFICATION.suffixes)
