"""Video classification for ``zoo.pipeline``: a video in, labels with probabilities out, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zoo import PictureTask, Weights
from zoo.draw import contact_sheet, label_image, legible, with_caption
from zoo.errors import InvalidArgument
from zoo.io.video import Frame, VideoReader, clip_times
from zoo.transforms.functional import as_pil, to_pil_image
from zoo_classification.task import Classification, ClassificationTask

FRAMES = 16  # frames of a clip, if neither model nor weights define them
STILLS, STILL_SIDE = 4, 240  # pictures kept per clip, and their longest side in pixels; small ones are enlarged


@dataclass
class Video:
    """A video and the clips sampled from it.

    Attributes:
        source: path of the video, or its frames [T, C, H, W].
        spans: start and end of each clip that the model received, in seconds.
        stills: a few frames of each clip.
    """

    source: Path | Tensor
    spans: list[tuple[float, float]] = field(default_factory=list)
    stills: list[list[Image.Image]] = field(default_factory=list)


@dataclass(frozen=True)
class Clip(Classification):
    """The prediction for one clip, from ``start`` to ``end`` in seconds; ``image`` shows some of its frames."""

    start: float
    end: float

    def __str__(self) -> str:
        return f"{self.start:.1f}–{self.end:.1f} s"

    def draw(self, k: int = 5) -> Image.Image:
        """Its frames in a row with the time below, and beside them the ``k`` most probable labels."""
        return label_image(with_caption(as_pil(self.image), str(self)), self.top(k), largest=None)


@dataclass(frozen=True)
class VideoLabels(Classification):
    """The prediction for a video: probabilities averaged over its clips; ``image`` is the first clip's."""

    clips: Sequence[Clip]

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: the labels and, if there are several clips, each clip's label in order of
        time."""
        lines = super().lines(k)
        if len(self.clips) > 1:
            width = max(len(str(clip)) for clip in self.clips)
            lines += [f"{clip!s:>{width}} {p:7.2%}  {label}" for clip in self.clips for label, p in clip.top(1)]
        return lines

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        clips = [{"start": clip.start, "end": clip.end, **clip.to_dict(k)} for clip in self.clips]
        return {**super().to_dict(k), "clips": clips}

    def draw(self, k: int = 5) -> Image.Image:
        """One row per clip: some of its frames, their times, and beside them its labels."""
        if len(self.clips) == 1:
            return self.clips[0].draw(k)
        return contact_sheet([clip.draw(min(k, 3)) for clip in self.clips], 1)


class Prepare:
    """Takes clips from a video and prepares their frames one by one, so that few are held at their full size.

    Args:
        weights: their ``transforms`` prepare a frame; their ``num_frames`` and ``frame_rate`` are the defaults.
        clips: number of clips, evenly spaced; a single one is taken from the middle.
        frames: number of frames per clip.
        stride: take every ``stride``-th frame, regardless of the frame rate.
        spread: spread the frames of the clips evenly over the whole video.
    """

    def __init__(
        self,
        weights: Weights,
        clips: int = 1,
        frames: int | None = None,
        stride: int | None = None,
        spread: bool = False,
    ) -> None:
        if weights.transforms is None:
            raise InvalidArgument("The weights define no preprocessing; pass zoo.Weights(transforms=zoo.Preset(…)).")
        if spread and stride is not None:
            raise InvalidArgument(f"spread=True and stride={stride}; expected at most one of them.")
        self.preset = weights.transforms()
        self.frame_rate: float | None = weights.extra.get("frame_rate")
        every = stride if stride is not None or self.frame_rate else 1  # weights without a frame rate
        self.clips = clips
        self.sampling: dict[str, Any] = {
            "clips": clips,
            "frames": frames if frames is not None else sampled_frames(weights),
            "stride": None if spread else every,
            "frame_rate": None if spread or every else self.frame_rate,
        }
        clip_times([0.0], 1.0, **self.sampling)  # invalid numbers raise before the first video is read

    def __call__(self, video: Video) -> Tensor:
        """The clips, [clips, C, T, H, W], in the form that the model takes."""
        if isinstance(video.source, Tensor):  # assumed to have the frame rate of the weights
            step = 1 / (self.frame_rate or 25)
            times = [i * step for i in range(len(video.source))]
            wanted = clip_times(times, len(times) * step, **self.sampling)
            frames = self.shown(video.source, step, sorted({t for clip in wanted for t in clip}))
        else:
            reader = VideoReader(video.source)
            wanted = clip_times(reader.times, reader.end, **self.sampling)
            frames = reader.frames_at(sorted({t for clip in wanted for t in clip}))
        stills = [{clip[len(clip) * i // STILLS] for i in range(STILLS)} for clip in wanted]
        prepared, pictures = {}, {}
        for image, time in frames:
            prepared[time] = self.preset(image[None])
            if any(time in clip for clip in stills):
                pictures[time] = legible(
                    to_pil_image(image), smallest=STILL_SIDE, enlarged=STILL_SIDE, largest=STILL_SIDE
                )
        video.spans = [(clip[0], clip[-1]) for clip in wanted]
        video.stills = [[pictures[time] for time in sorted(clip)] for clip in stills]
        return torch.stack([torch.cat([prepared[time] for time in clip], dim=1) for clip in wanted])

    def shown(self, frames: Tensor, step: float, times: Sequence[float]) -> Iterator[Frame]:
        for time in times:
            yield Frame(frames[min(int(time / step + 1e-3), len(frames) - 1)], time)


@dataclass
class VideoTask(PictureTask):
    """Videos in, labels with probabilities out; the options are those of :class:`Prepare`."""

    clips: int = 1
    frames: int | None = None
    stride: int | None = None
    spread: bool = False

    def load(self, source: Any) -> Video:
        """A video from a path, or from frames [T, C, H, W], uint8 in [0, 255] or float in [0, 1]."""
        if isinstance(source, str | Path):
            return Video(Path(source))
        if not isinstance(source, Tensor) or source.ndim != 4 or not len(source):
            what = list(source.shape) if isinstance(source, Tensor) else type(source).__name__
            raise InvalidArgument(f"Cannot use {what} as a video; expected a path or a tensor of frames [T, C, H, W].")
        return Video(source)

    def transform(self, weights: Weights) -> Prepare:
        return Prepare(weights, self.clips, self.frames, self.stride, self.spread)

    def protocol(self, weights: Weights) -> dict[str, Any]:
        rate = weights.extra.get("frame_rate")
        frames = self.frames if self.frames is not None else sampled_frames(weights)
        taken: dict[str, Any] = {"frame_rate": rate} if rate else {"stride": 1}
        if self.spread or self.stride is not None:
            taken = {"stride": "spread over the video" if self.spread else self.stride}
        return {**super().protocol(weights), "clips_per_video": self.clips, "num_frames": frames, **taken}

    def collate(self, prepared: Sequence[Tensor]) -> tuple[Tensor]:
        """The clips of all videos, each [clips, C, T, H, W] → a batch [N, C, T, H, W]."""
        return (torch.cat(list(prepared)),)

    def decode(self, outputs: Tensor, inputs: Sequence[Video], weights: Weights) -> list[VideoLabels]:
        """Logits [N, num_classes] of the clips of all videos → one result per video."""
        results = []
        of_each = torch.split(outputs, [len(video.spans) for video in inputs])
        for logits, video in zip(of_each, inputs, strict=True):
            strips = [contact_sheet(stills, columns=len(stills)) for stills in video.stills]
            each = ClassificationTask().decode(logits, strips, weights)
            clips = [
                Clip(one.probabilities, one.categories, one.image, start, end)
                for one, (start, end) in zip(each, video.spans, strict=True)
            ]
            mean = torch.stack([clip.probabilities for clip in clips]).mean(0)
            results.append(VideoLabels(mean, clips[0].categories, clips[0].image, clips))
        return results

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[Tensor]:
        """One clip, [1, C, T, H, W], with the number of frames that the model takes."""
        (picture,) = super().example(model, weights, size)
        frames = frames_of(model, weights)
        return (torch.stack([picture.roll(t, -1) for t in range(frames)], 2),)


def frames_of(model: nn.Module, weights: Weights | None) -> int:
    """Frames of a clip: the number that the model takes, that its weights were evaluated with, or 16."""
    own: int | None = getattr(model, "num_frames", None)
    return own or sampled_frames(weights)


def sampled_frames(weights: Weights | None) -> int:
    frames: int = weights.extra.get("num_frames", FRAMES) if weights else FRAMES
    return frames
