"""Reading and writing of videos: frames and their times. FFmpeg's formats need PyAV, animated pictures only Pillow."""

from __future__ import annotations

import bisect
import importlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo.io.sources import SEEK_BEYOND, SLACK, Frame as Frame, open_source
from zoo.transforms.functional import to_pil_image


class VideoReader:
    """The frames of a video, one by one: at most two are in memory.

    Args:
        path: a file that FFmpeg can read, through PyAV (``pip install 'zoo-video[av]'``), or an animated GIF, WebP or
            PNG, through Pillow.
        frame_rate: frames per second: the frame that is shown at each time, so that some are repeated or left out. By
            default every frame once, at its own time, even if the intervals vary.

    Attributes:
        times: start of each frame of the file, in seconds; read without decoding the frames, if the format allows it.
        end: end of the last frame, in seconds.
        fps: average number of frames per second.

    Raises:
        UnreadableFile: the file is not a video, or is damaged; raised on opening, or where the damage is reached.
        InvalidArgument: ``frame_rate`` is not positive.

    >>> for image, time in VideoReader("clip.mp4", frame_rate=5): ...
    """

    def __init__(self, path: str | os.PathLike[str], frame_rate: float | None = None) -> None:
        self.path = Path(path)
        self.frame_rate = check_frame_rate(frame_rate)
        self._source = open_source(self.path)
        self.times, self.end = self._source.times, self._source.end

    @property
    def fps(self) -> float:
        return len(self.times) / (self.end - self.times[0])

    def __iter__(self) -> Iterator[Frame]:
        if self.frame_rate is None:
            return self._source.frames(-math.inf)
        return self.frames_at(steady_times(self.times[0], self.end, self.frame_rate))

    def frames_at(self, times: Iterable[float]) -> Iterator[Frame]:
        """The frame that is shown at each of ``times``, in seconds, ascending; the first frame before the beginning,
        the last one after the end. Long gaps are skipped by seeking."""
        stream: Iterator[Frame] = iter(())
        shown: Frame | None = None
        following: Frame | None = None
        for time in times:
            if shown is None or (following is not None and time > following.time + SEEK_BEYOND):
                stream = self._source.frames(time)
                shown, following = next(stream), next(stream, None)
            while following is not None and following.time <= time + SLACK:
                shown, following = following, next(stream, None)
            yield Frame(shown.image, time)


def check_frame_rate(frame_rate: float | None) -> float | None:
    """``frame_rate``, checked to be positive or None."""
    number = isinstance(frame_rate, int | float) and not isinstance(frame_rate, bool)
    if frame_rate is not None and not (number and 0 < frame_rate < math.inf):
        raise InvalidArgument(f"frame_rate is {frame_rate!r}; expected a positive number of frames per second.")
    return frame_rate


def steady_times(start: float, end: float, frame_rate: float) -> list[float]:
    """The times from ``start`` to before ``end`` at a rate per second; at least one."""
    return [start + i / frame_rate for i in range(max(1, math.ceil((end - start - SLACK) * frame_rate)))]


def read_video(
    filename: str | os.PathLike[str],
    start_pts: float | Fraction = 0,
    end_pts: float | Fraction | None = None,
    pts_unit: str = "pts",
    output_format: str = "THWC",
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Read a video, or a part of it, into memory. :class:`VideoReader` reads long ones frame by frame.

    Args:
        filename: the file, as :class:`VideoReader` takes it.
        start_pts, end_pts: the first and last time of the frames to read; by default the entire video.
        pts_unit: ``"sec"`` for seconds, or ``"pts"`` for units of the stream's time base.
        output_format: ``"THWC"`` or ``"TCHW"``.

    Returns:
        The frames, uint8 [T, H, W, 3] (or [T, 3, H, W]), RGB and upright; the audio, which is not read: float32 [1, 0];
        and ``{"video_fps": …, "duration": …}``, average frames per second and seconds of the entire video.

    Raises:
        UnreadableFile: there is no such file, it is not a video, it is damaged, or PyAV is missing.
        InvalidArgument: the unit or format is unknown, or the end is before the start.
    """
    if pts_unit not in ("sec", "pts"):
        raise InvalidArgument(f"pts_unit is {pts_unit!r}; expected 'sec' or 'pts'.")
    if output_format.upper() not in ("TCHW", "THWC"):
        raise InvalidArgument(f"output_format is {output_format!r}; expected 'TCHW' or 'THWC'.")
    if end_pts is not None and end_pts < start_pts:
        raise InvalidArgument(f"end_pts is {end_pts} and start_pts {start_pts}; expected an end after the start.")
    reader = VideoReader(filename)
    clock = 1 if pts_unit == "sec" else reader._source.time_base
    start = float(start_pts * clock) - SLACK
    end = math.inf if end_pts is None else float(end_pts * clock) + SLACK
    # Allocated once: collecting the frames first would take twice the memory.
    most = bisect.bisect_right(reader.times, end) - bisect.bisect_left(reader.times, start)
    video, n = torch.empty(0, dtype=torch.uint8), 0
    for image, time in reader._source.frames(start):
        frame = image.permute(1, 2, 0) if output_format.upper() == "THWC" else image
        if video.ndim == 1:
            video = torch.empty(most, *frame.shape, dtype=torch.uint8)
        if time > end:
            break
        if time >= start:
            if n == len(video):  # the file has more frames than its index says
                video = torch.cat([video, torch.empty_like(frame[None])])
            video[n] = frame
            n += 1
    return video[:n], torch.empty(1, 0), {"video_fps": reader.fps, "duration": reader.end - reader.times[0]}


def save_video(frames: Iterable[tuple[Tensor, float]], path: str | os.PathLike[str], end: float) -> None:
    """Write a video, replacing an existing file. Frames are consumed one by one and not kept uncompressed.

    Args:
        frames: pictures of one size, uint8 [3, H, W] (RGB), with their times in seconds, ascending. The first time is
            the beginning of the video.
        path: ends in ``.mp4``, which is H.264 and needs PyAV (odd sides are padded by one pixel), or in ``.gif``: 256
            colours per frame, times rounded to 10 ms, and frames kept by Pillow until the end.
        end: end of the last frame, in seconds.

    Raises:
        InvalidArgument: the suffix is another, there are no frames, sizes differ, times do not ascend, or PyAV is
            missing for an ``.mp4``.
    """
    file = Path(path)
    save = {".mp4": _save_mp4, ".gif": _save_gif}.get(file.suffix.lower())
    if save is None:
        raise InvalidArgument(f"{str(file)!r} does not have the suffix of a supported video format; use .mp4 or .gif.")
    save(_checked(frames, end), file)


def _checked(frames: Iterable[tuple[Tensor, float]], end: float) -> Iterator[tuple[Tensor, float, float]]:
    """Each frame with its start and end, relative to the beginning."""
    given = iter(frames)
    image, time = next(given, (None, end))
    if image is None:
        raise InvalidArgument("There are no frames to write.")
    beginning, shape = time, image.shape
    while image is not None:
        following, until = next(given, (None, end))
        if image.dtype != torch.uint8 or image.shape != shape or image.ndim != 3 or len(image) != 3:
            raise InvalidArgument(
                f"A frame is {image.dtype} {list(image.shape)}; expected torch.uint8 [3, H, W], all of one size."
            )
        if not time < until:
            raise InvalidArgument(f"A frame at {time} s is followed by {until} s; expected ascending times.")
        yield image, time - beginning, until - beginning
        image, time = following, until


def _save_mp4(frames: Iterator[tuple[Tensor, float, float]], path: Path) -> None:
    try:
        import av
    except ImportError:
        raise InvalidArgument(
            f"{str(path)!r} cannot be written: videos need PyAV, which is not installed: pip install 'zoo-video[av]'. "
            "An animated .gif does not need it."
        ) from None
    clock = Fraction(1, 1000)
    first = next(frames)
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"  # not every build of FFmpeg has libx264
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(1 / first[2]).limit_denominator(1000))
        height, width = (side + side % 2 for side in first[0].shape[1:])  # its colours have half the resolution
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = clock
        lasts: dict[int, int] = {}  # time → duration, which the encoder drops

        def write(packets: Iterable[Any]) -> None:
            for packet in packets:
                packet.duration = lasts.pop(packet.pts, 0)
                container.mux(packet)

        for image, start, end in itertools.chain([first], frames):
            pixels = image.permute(1, 2, 0).numpy()
            missing = (height - pixels.shape[0], width - pixels.shape[1])
            pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base, frame.pts = clock, round(start * 1000)
            lasts[frame.pts] = round(end * 1000) - frame.pts
            write(stream.encode(frame))
        write(stream.encode())


def _save_gif(frames: Iterator[tuple[Tensor, float, float]], path: Path) -> None:
    durations: list[int] = []

    def pictures() -> Iterator[Image.Image]:
        for image, start, end in frames:
            durations.append(max(10, 10 * (round(100 * end) - round(100 * start))))
            yield to_pil_image(image)

    rest = pictures()
    # Pillow reads the list of durations after the pictures.
    next(rest).save(path, save_all=True, append_images=rest, duration=durations, loop=0)


def clip_times(
    times: Sequence[float],
    end: float,
    *,
    frames: int,
    clips: int = 1,
    stride: int | None = None,
    frame_rate: float | None = None,
) -> list[list[float]]:
    """The times of the frames of clips of a video.

    Clips are equally spaced, the first at the beginning and the last at the end; a single clip is in the middle. With
    ``stride`` a clip has every ``stride``-th frame, with ``frame_rate`` the frames shown at that rate; with neither,
    its frames are spread evenly over the entire video. The last frame is repeated if the video is too short.

    Args:
        times: start of each frame, in seconds, ascending; ``end``: end of the last frame.
        frames: number of frames per clip.
        clips: number of clips.

    Returns:
        For each clip, ``frames`` times in seconds, for :meth:`VideoReader.frames_at`.

    Raises:
        InvalidArgument: a number is below 1, or both ``stride`` and ``frame_rate`` are given.
    """
    check_count("frames", frames, 1)
    check_count("clips", clips, 1)
    if stride is not None and frame_rate is not None:
        raise InvalidArgument(f"stride={stride} and frame_rate={frame_rate}; expected at most one of them.")
    places = [0.5] if clips == 1 else [i / (clips - 1) for i in range(clips)]
    if stride is not None:
        check_count("stride", stride, 1)
        last = max(0, len(times) - 1 - (frames - 1) * stride)
        starts = [round(place * last) for place in places]
        return [[times[min(s + i * stride, len(times) - 1)] for i in range(frames)] for s in starts]
    if frame_rate is not None:
        room = max(0.0, times[-1] - times[0] - (frames - 1) / frame_rate)
        return [[times[0] + place * room + i / frame_rate for i in range(frames)] for place in places]
    step = (end - times[0]) / (clips * frames)
    return [[times[0] + (c * frames + i + 0.5) * step for i in range(frames)] for c in range(clips)]


def __getattr__(name: str) -> Any:
    importlib.import_module("zoo.io").say_what_serves(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
