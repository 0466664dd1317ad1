"""Labelled videos: folders named by class, or a CSV file. Clips are decoded on access."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.io import VideoReader
from zoo_classification.data import Folders, Labelled, Table
from zoo_video.plugin import VIDEO_CLASSIFICATION


class _Clips(Labelled):
    """Clips of videos: ``frames`` frames at ``frame_rate``, from the middle of the video; shorter videos repeat the
    last frame. ``clip(i, start)`` begins elsewhere."""

    frames: int = 16
    frame_rate: float | None = 15

    def clip(self, i: int, start: float | None = None) -> Tensor:
        """uint8 [T, 3, H, W] from ``start``, a fraction (0 to 1) of the possible beginnings of a clip; by default the
        middle."""
        reader = VideoReader(self.paths[i])
        step = 1 / (self.frame_rate or reader.fps)
        room = max(0.0, reader.end - reader.times[0] - self.frames * step)
        first = reader.times[0] + room * (0.5 if start is None else start)
        # half a step, so that a time between two frames is not rounded down to the earlier one
        return torch.stack([f.image for f in reader.frames_at(first + (k + 0.5) * step for k in range(self.frames))])

    def __getitem__(self, i: int) -> tuple[Any, dict[str, Any]]:
        return self.clip(i), self.target(i)


class VideoFolders(_Clips, Folders):
    """:class:`zoo_classification.data.Folders` of videos: an input is a clip, uint8 [T, 3, H, W].

    Attributes:
        frames: number of frames of a clip, 16.
        frame_rate: frames per second of a clip; None takes every frame of the file.
    """

    suffixes = VIDEO_CLASSIFICATION.suffixes


class VideoTable(_Clips, Table):
    """:class:`zoo_classification.data.Table` of videos."""


READERS = {"folders": VideoFolders, "csv": VideoTable}
