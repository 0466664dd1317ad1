"""The files that videos are read from: FFmpeg's formats through PyAV, animated pictures through Pillow."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.errors import UnreadableFile
from zoo.io.image import max_pixels, open_checked
from zoo.transforms.functional import convert_mode, pil_to_tensor

SLACK = 1e-4  # seconds: times are rounded to the container's time base
SEEK_BEYOND = 5.0  # seconds from which seeking a key frame is faster than decoding the frames between
# The formats that FFmpeg may assume: none that names other files or hosts, as ffconcat, HLS and SDP do.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,ogg,mpegts,mpeg,mpegvideo,h264,hevc,m4v,obu,av1,ivf,mjpeg,mxf,nut,"
    "dv,vc1,rm"
)
BREAK = 0.5  # seconds by which a video may be shorter than stated
ANIMATION = 100  # limit of an animation: this many times the pixels of one picture, which take a minute or two
UNTIMED = 100  # default duration of a frame of an animation, in milliseconds


class Frame(NamedTuple):
    """A frame, uint8 [3, H, W] (RGB, upright), and its time in seconds."""

    image: Tensor
    time: float


class Source(Protocol):
    """A file that is known to be a video. Each call of ``frames`` reads it again."""

    times: list[float]  # start of each frame, sorted
    end: float  # end of the last frame
    time_base: Fraction

    def frames(self, start: float) -> Iterator[Frame]:
        """The frames in order, from the frame that is shown at ``start`` or an earlier one."""


def open_source(path: Path) -> Source:
    if not path.is_file():
        reason = "is not a file" if path.exists() else "does not exist"
        raise UnreadableFile(f"{str(path)!r} cannot be read as a video: it {reason}.")
    with path.open("rb") as f:
        head = f.read(12)
    if not head:
        raise UnreadableFile(f"{str(path)!r} cannot be read as a video: it is empty.")
    if head.startswith((b"GIF8", b"\x89PNG")) or (head[:4] == b"RIFF" and head[8:] == b"WEBP"):
        return _Animation(path)
    return _Container(path)


@contextlib.contextmanager
def _reading(path: Path, seen: Sequence[Any] = ()) -> Iterator[None]:
    """A context that converts exceptions of a decoder to UnreadableFile; ``seen`` has the times of the frames read so
    far."""
    try:
        yield
    except UnreadableFile:
        raise
    except (
        Exception
    ) as e:  # a decoder may raise any exception for a damaged file: OSError, ValueError, SyntaxError, struct.error
        reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
        where = f" after {len(seen)} frame(s)" if seen else ""
        raise UnreadableFile(f"{str(path)!r} cannot be read as a video{where}: {reason}.") from e


class _Animation:
    """GIF, WebP and animated PNG, through Pillow."""

    time_base = Fraction(1, 1000)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times: list[float] = []
        passed = 0.0  # milliseconds, the unit of the files
        for image in self._each(self.times):
            self.times.append(passed / 1000)
            passed += image.info.get("duration") or UNTIMED
        self.end = passed / 1000

    def _each(self, seen: Sequence[Any] = ()) -> Iterator[Image.Image]:
        limit = max_pixels()
        room = ANIMATION * limit
        with _reading(self.path, seen), open_checked(self.path, limit) as image:
            # A PNG may begin with a picture for programs without animations, which is not a frame.
            for i in itertools.count(int(getattr(image, "default_image", False))):
                try:
                    image.seek(i)
                except EOFError:
                    return
                image.load()  # sets the duration of a WebP's frame
                room -= image.width * image.height
                if room < 0:
                    raise UnreadableFile(
                        f"{str(self.path)!r} is refused: {i} frames of {image.width} × {image.height} pixels and more "
                        f"would take minutes. If you trust it, raise ZOO_MAX_PIXELS, all frames together may "
                        f"have {ANIMATION} times that many."
                    )
                yield image

    def frames(self, start: float) -> Iterator[Frame]:
        first = max(0, bisect.bisect_right(self.times, start) - 1)
        for i, (time, frame) in enumerate(zip(self.times, self._each(), strict=True)):
            if i >= first:
                yield Frame(pil_to_tensor(convert_mode(frame, "RGB")), time)


class _Container:
    """All formats that FFmpeg reads, through PyAV."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as (container, stream), _reading(path):
            self.time_base = stream.time_base
            self.rate = float(stream.average_rate or stream.guessed_rate or 25)
            stamps: list[int | None] = []
            last = 0.0
            for packet in container.demux(stream):  # not decoded, and not kept
                if packet.size and not packet.is_discard:
                    stamps.append(packet.pts)
                    last = float((packet.duration or 0) * self.time_base)
            known = [float(stamp * self.time_base) for stamp in stamps if stamp is not None]
            # A raw stream has no times: its frames follow each other at its rate.
            self.timed = len(known) == len(stamps)
            self.times = sorted(known) if self.timed else [i / self.rate for i in range(len(stamps))]
            declared = stream.duration and float(stream.duration * self.time_base)
            if not declared and len(container.streams) == 1:  # of all streams together, in microseconds
                declared = (container.duration or 0) / 1e6
                if "matroska" in container.format.name and known:  # counts from zero, not from the first frame
                    declared -= min(known)
        if not self.times:
            raise UnreadableFile(f"{str(path)!r} cannot be read as a video: it has no frames.")
        self.end = self.times[-1] + (last or 1 / self.rate)
        self.declared = max(self.end, self.times[0] + (declared or 0))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        try:
            import av
        except ImportError:
            raise UnreadableFile(
                f"{str(self.path)!r} cannot be read: videos need PyAV, which is not installed: "
                "pip install 'zoo-video[av]' (animated GIF, WebP and PNG do not need it)."
            ) from None
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
        with _reading(self.path):  # an absolute path, since "concat:…" is a protocol
            container = av.open(str(self.path.absolute()), container_options=options)
        with container:
            # The cover of a song is a video stream of one picture.
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                other = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
                raise UnreadableFile(f"{str(self.path)!r} cannot be read as a video: it contains {other} and no video.")
            yield container, streams[0]

    def frames(self, start: float) -> Iterator[Frame]:
        if start > self.times[0] + SEEK_BEYOND and self.timed:
            found = self._decode(start)
            try:
                first = next(found)
            except UnreadableFile:  # there is no index for seeking
                first = None
            if first is not None and first.time <= start + SLACK:
                yield first
                yield from found
                return
            # The index is wrong: the file is read from the beginning.
        yield from self._decode(None)

    def _decode(self, start: float | None) -> Iterator[Frame]:
        seen: list[float] = []
        with self._opened() as (container, stream), _reading(self.path, seen):
            if start is not None:
                container.seek(int(start / self.time_base), stream=stream)
            size: dict[str, int] = {}
            for frame in container.decode(stream):
                size = size or {
                    "width": frame.width,
                    "height": frame.height,
                }  # the size of the first frame is used if it changes
                pixels = frame.to_ndarray(format="rgb24", **size)
                pixels = _upright(pixels, frame)
                timed = self.timed and frame.pts is not None
                seen.append(float(frame.pts * self.time_base) if timed else len(seen) / self.rate)
                yield Frame(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), seen[-1])
        if not seen:
            raise UnreadableFile(f"{str(self.path)!r} cannot be read as a video: none of its frames can be decoded.")
        if seen[-1] + BREAK < self.declared - (self.end - self.times[-1]):
            raise UnreadableFile(
                f"{str(self.path)!r} is truncated: its last frame is at {seen[-1]:.2f} s of {self.declared:.2f} s."
            )


def _upright(pixels: np.ndarray[Any, Any], frame: Any) -> np.ndarray[Any, Any]:
    """``pixels`` [H, W, 3] transformed by the display matrix of ``frame``: mirrored, then rotated.

    A point (x, y) is shown at (a x + c y, b x + d y); a negative determinant mirrors.
    """
    matrix = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if a * d - b * c < 0:
        pixels, a, b = pixels[:, ::-1], -a, -b
    return np.rot90(pixels, -round(math.degrees(math.atan2(b, a)) / 90))
