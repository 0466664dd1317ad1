"""Labelled videos: folders that are named by class, or a CSV file. A clip of each is decoded when it is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.io import VideoReader
from zoo_classification.data import Folders, Labelled, Table
from zoo_video.plugin import VIDEO_CLASSIFICATION


class _Clips(Labelled):
    """Frames of a video: ``frames`` of them at ``frame_rate``, from the middle of the video; the last one repeats
    where it is shorter. ``clip(i, start)`` begins elsewhere."""

    frames: int = 16
    frame_rate: float | None = 15

    def clip(self, i: int, start: float | None = None) -> Tensor:
        """uint8 [T, 3, H, W] from ``start`` on, a share (0 to 1) of where a clip may begin; by default the middle."""
        reader = VideoReader(self.paths[i])
        step = 1 / (self.frame_rate or reader.fps)
        room = max(0.0, reader.end - reader.times[0] - self.frames * step)
        first = reader.times[0] + room * (0.5 if start is None else start)
        # half a step: a moment between two frames is not rounded to the one before
        return torch.stack([f.image for f in reader.frames_at(first + (k + 0.5) * step for k in range(self.frames))])

    def __getitem__(self, i: int) -> tuple[Any, dict[str, Any]]:
        return self.clip(i), self.target(i)


class VideoFolders(_Clips, Folders):
    """:class:`zoo_classification.data.Folders` of videos: an input is a clip, uint8 [T, 3, H, W].

    Attributes:
        frames: of a clip, 16.
        frame_rate: of a clip, frames a second; None takes every frame of the file.
    """

    suffixes = VIDEO_CLASSIFICATION.suffixes


class VideoTable(_Clips, Table):
    """:class:`zoo_classification.data.Table` of videos."""


READERS = {"folders": VideoFolders, "csv": VideoTable}
