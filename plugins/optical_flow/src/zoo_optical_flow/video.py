"""Optical flow of a video: the flow between each frame and the next, measured over time and rendered as a video."""

from __future__ import annotations

import importlib.util
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract import Result, check_count
from zoo.draw import contact_sheet, flow_to_image, legible, with_caption, with_wheel
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import opened
from zoo.io.video import Frame, VideoReader, save_video, steady_times
from zoo.transforms.functional import as_pil, convert_mode, pil_to_tensor, to_pil_image
from zoo_optical_flow.plugin import ANIMATIONS, VIDEOS
from zoo_optical_flow.result import Flow, describe, direction

FRAME_RATE = 25  # assumed for frames given as a tensor
FULL = 0.95  # share of the pairs whose motion is at most the length drawn in full colour
SHOWN = 4  # number of moments in the picture of a video


def is_video(source: Any) -> bool:
    """Whether a source contains several frames: a video or animation, or a tensor [T, C, H, W]."""
    if isinstance(source, Tensor):
        return source.ndim == 4
    suffix = Path(source).suffix.lower() if isinstance(source, str | Path) else ""
    if suffix not in ANIMATIONS:
        return suffix in VIDEOS
    try:
        with opened(source) as image:
            return bool(getattr(image, "is_animated", False))
    except UnreadableFile:  # opening it as a video raises the right error
        return suffix in (".gif", ".apng")


class Video:
    """The frames of a video for optical flow.

    Args:
        source: a path, or frames [T, C, H, W], uint8 in [0, 255] or float in [0, 1], at 25 frames per second.

    Attributes:
        times: times of the frames, in seconds. All frames, until :meth:`choose` selects some.
        end: end of the last frame, in seconds.

    Raises:
        UnreadableFile: the file is not a video, or is damaged.
    """

    def __init__(self, source: Path | Tensor) -> None:
        self.source = source
        if isinstance(source, Tensor):
            self.times = [i / FRAME_RATE for i in range(len(source))]
            self.end = len(source) / FRAME_RATE
        else:
            self.reader = VideoReader(source)
            self.times, self.end = self.reader.times, self.reader.end

    def choose(self, stride: int | None, frame_rate: float | None) -> None:
        """Keep every ``stride``-th frame, or ``frame_rate`` frames per second.

        Raises:
            InvalidArgument: fewer than two frames are left.
        """
        there = len(self.times)
        if frame_rate is not None and self.times:
            self.times = steady_times(self.times[0], self.end, frame_rate)
        self.times = self.times[:: stride or 1]
        if len(self.times) < 2:
            name = "The video" if isinstance(self.source, Tensor) else repr(str(self.source))
            taken = f", of which {len(self.times)} would be taken" if there > 1 else ""
            frames = "one frame" if there == 1 else f"{there} frames"
            raise InvalidArgument(f"{name} has {frames}{taken}; expected at least two.")

    def frames(self) -> Iterator[Frame]:
        """The frames, decoded again at each call, one by one."""
        if isinstance(self.source, Tensor):
            places = (min(int(time * FRAME_RATE + 1e-3), len(self.source) - 1) for time in self.times)
            return (Frame(self.source[i], time) for i, time in zip(places, self.times, strict=True))
        return self.reader.frames_at(self.times)


class Pairs(Iterator[tuple[tuple[Tensor, Tensor], Any]]):
    """Each frame with the next one, and the pair after ``prepare``; decoded on demand."""

    def __init__(self, video: Video, prepare: Callable[[tuple[Tensor, Tensor]], Any]) -> None:
        self._pairs = itertools.pairwise(frame.image for frame in video.frames())
        self._prepare = prepare
        self._left = len(video.times) - 1

    def __next__(self) -> tuple[tuple[Tensor, Tensor], Any]:
        pair = next(self._pairs)
        self._left -= 1
        return pair, self._prepare(pair)

    def __length_hint__(self) -> int:
        return self._left


@dataclass(frozen=True)
class Motion:
    """Statistics of the motion between two frames.

    Attributes:
        start, end: times of the frames, in seconds.
        mean: mean of the flow, to the right and down, in pixels.
        mean_length, max_length: mean and maximum length of its vectors, in pixels.
    """

    start: float
    end: float
    mean: tuple[float, float]
    mean_length: float
    max_length: float


class FlowVideo(Result):
    """The flow of a video; iterating over it yields the :class:`Flow` of each pair of frames.

    Flows are stored in half precision in a temporary file (4 bytes per pixel and pair), which is deleted with the
    result. Frames are read from the video again.

    Attributes:
        source: path of the video, or its frames.
        motions: one :class:`Motion` per pair of frames.
        size: height and width of frames and flows, in pixels.
        both_ways: whether the backward flows are stored too.
    """

    def __init__(self, video: Video, flows: Iterable[Flow]) -> None:
        self.source = video.source
        self.motions: list[Motion] = []
        self.size = (0, 0)
        self.both_ways = False
        self._video = video
        self._file = tempfile.TemporaryFile(prefix="zoo-flow-")  # noqa: SIM115  closed when it is forgotten
        for (start, end), flow in zip(itertools.pairwise(video.times), flows, strict=True):
            facts = flow.to_dict()
            right, down = facts["mean"]
            self.motions.append(Motion(start, end, (right, down), facts["mean_length"], facts["max_length"]))
            self.size = flow.flow.shape[1], flow.flow.shape[2]
            self.both_ways = flow.backward is not None
            for one in (flow.flow, flow.backward):
                if one is not None:
                    self._file.write(one.half().numpy().tobytes())

    def __len__(self) -> int:
        return len(self.motions)

    def __iter__(self) -> Iterator[Flow]:
        for i, (first, second) in enumerate(itertools.pairwise(frame.image for frame in self._video.frames())):
            if self.both_ways:
                yield Flow(self._flow(2 * i), (first, second), self._flow(2 * i + 1))
            else:
                yield Flow(self._flow(i), (first, second))

    def _flow(self, i: int) -> Tensor:
        """The ``i``-th stored flow, float32 [2, H, W]."""
        height, width = self.size
        self._file.seek(i * 2 * height * width * 2)
        numbers = np.frombuffer(self._file.read(2 * height * width * 2), np.float16)
        return torch.from_numpy(numbers.reshape(2, height, width).astype(np.float32))

    @property
    def full_length(self) -> float:
        """The length drawn in full colour, in pixels, the same for all pairs.

        No pixel moves further in 95 % of the pairs; scaling to the others, such as scene cuts, would make the rest
        pale.
        """
        lengths = torch.tensor([motion.max_length for motion in self.motions])
        return max(lengths.quantile(FULL).item(), 1e-3)

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: statistics of the video, and of ``k`` parts of equal duration."""
        spans = _spans(self.motions, check_count("k", k, 1))
        whole = _summary(self.motions)
        lines = [f"{len(self)} flows of {self.size[1]}×{self.size[0]} pixels: {describe(**whole)}"]
        if len(spans) > 1:
            times = [f"{span[0].start:.1f}–{span[-1].end:.1f} s" for span in spans]
            width = max(map(len, times))
            lines += [f"{t:>{width}}  {describe(**_summary(s))}" for t, s in zip(times, spans, strict=True)]
        return lines

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: size, statistics, and the statistics of each pair; lengths in pixels."""
        pairs = [{"start": m.start, "end": m.end, **_summary([m])} for m in self.motions]
        return {
            "size": list(self.size),
            **_summary(self.motions),
            "full_colour_length": self.full_length,
            "pairs": pairs,
        }

    def render(self) -> Iterator[Frame]:
        """Each pair's first frame, and beside it (below it, if it is wide) its flow in colours; uint8 [3, H, W].

        The colour scale is the same for all pairs: see :attr:`full_length`.
        """
        full = self.full_length
        side_by_side = self.size[0] >= self.size[1]
        for flow, motion in zip(self, self.motions, strict=True):
            yield Frame(torch.cat(_panels(flow, full), 2 if side_by_side else 1), motion.start)

    def draw(self) -> Image.Image:
        """A few moments, one below the other, each with its flow in colours beside it."""
        shown = {len(self) * i // SHOWN for i in range(SHOWN)}
        full, panels = self.full_length, []
        for i, (flow, motion) in enumerate(zip(self, self.motions, strict=True)):
            if i not in shown:
                continue
            frame, colours = (legible(to_pil_image(panel)) for panel in _panels(flow, full))
            panels.append(with_caption(frame, f"{motion.start:.2f} s"))
            panels.append(with_caption(with_wheel(colours, full), direction(*motion.mean)))
        return contact_sheet(panels, 2)

    def save(self, folder: Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002  not a picture
        """Write the frames of :meth:`render` as ``stem.mp4`` or, if PyAV is missing, as an animated ``stem.gif``.

        Returns:
            The path, in ``folder``.
        """
        path = folder / f"{stem}{'.mp4' if importlib.util.find_spec('av') else '.gif'}"
        save_video(self.render(), path, self.motions[-1].end)
        return [path]


def _panels(flow: Flow, full: float) -> list[Tensor]:
    """The first frame and the flow in colours, uint8 [3, H, W]."""
    frame = flow.frames[0]
    return [pil_to_tensor(convert_mode(as_pil(frame), "RGB")), flow_to_image(flow.flow, full)]


def _summary(motions: Sequence[Motion]) -> dict[str, Any]:
    n = len(motions)
    return {
        "mean": [sum(m.mean[i] for m in motions) / n for i in (0, 1)],
        "mean_length": sum(m.mean_length for m in motions) / n,
        "max_length": max(m.max_length for m in motions),
    }


def _spans(motions: Sequence[Motion], k: int) -> list[list[Motion]]:
    """``motions`` in up to ``k`` parts of equal duration, without empty parts."""
    start, end = motions[0].start, motions[-1].end
    parts: dict[int, list[Motion]] = {}
    for motion in motions:
        middle = (motion.start + motion.end) / 2
        parts.setdefault(int(k * (middle - start) / (end - start)), []).append(motion)
    return list(parts.values())
