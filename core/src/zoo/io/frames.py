"""Frames of a video as inputs of tasks on pictures, read on access."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from zoo.errors import UnreadableFile
from zoo.io.sources import Frame
from zoo.io.video import VideoReader, steady_times
from zoo.transforms.functional import to_pil_image

AHEAD = 32  # frames that are kept for threads that read out of order


class _Clip:
    """A video that several threads read once, from beginning to end."""

    def __init__(self, path: Path, frame_rate: float) -> None:
        self.reader = VideoReader(path)
        self.times = steady_times(self.reader.times[0], self.reader.end, frame_rate)
        self.lock, self.next, self.kept = threading.Lock(), 0, dict[int, Frame]()
        self.frames: Iterator[Frame] | None = None

    def frame(self, i: int) -> Frame:
        with self.lock:
            if i in self.kept:
                return self.kept.pop(i)
            if self.frames is None or not self.next <= i < self.next + AHEAD:
                self.frames, self.next = self.reader.frames_at(self.times[i:]), i
                self.kept.clear()
            while True:
                frame = next(self.frames)
                self.next += 1
                if self.next > i:
                    return frame
                self.kept[self.next - 1] = frame


class VideoFrame:
    """One frame as an input.

    Attributes:
        path: path of the video.
        time: time of the frame, in seconds.
        stem: stem of the files made from it: ``clip_001.50s``.
        stamp: (size, time) of the video's file, to detect changes.
    """

    def __init__(self, clip: _Clip, i: int, stamp: tuple[int, int]) -> None:
        self.clip, self.i, self.stamp = clip, i, stamp
        self.path, self.time = clip.reader.path, clip.times[i]
        self.stem = f"{self.path.stem}_{self.time:06.2f}s"

    def __str__(self) -> str:
        return f"{self.path}#t={self.time:.2f}"

    def __fspath__(self) -> str:
        return str(self)

    def image(self) -> Image.Image:
        """The picture, RGB.

        Raises:
            UnreadableFile: the video is damaged there.
        """
        try:
            picture: Image.Image = to_pil_image(self.clip.frame(self.i).image)
        except StopIteration:
            raise UnreadableFile(f"{str(self)!r} cannot be read: the video ends before it.") from None
        return picture


def video_frames(path: str, frame_rate: float = 1.0) -> list[VideoFrame]:
    """The frames of a video, at a number of frames per second.

    Raises:
        UnreadableFile: it is not a video.
    """
    clip = _Clip(Path(path), frame_rate)
    about = Path(path).stat()
    return [VideoFrame(clip, i, (about.st_size, about.st_mtime_ns)) for i in range(len(clip.times))]
