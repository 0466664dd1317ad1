"""Optical flow for ``zoo.pipeline``: two frames in and a flow out, or a video in and its flows out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo import PictureTask, Weights
from zoo.contract import check_count
from zoo.errors import InvalidArgument, suggest
from zoo.io import Picture
from zoo.io.video import check_frame_rate
from zoo.transforms import OpticalFlow
from zoo.transforms.functional import get_dimensions
from zoo_optical_flow.result import Flow, check_flow_format
from zoo_optical_flow.video import FlowVideo, Pairs, Video, is_video

Pair = tuple[Picture, Picture]
SMALLEST = 128  # minimum of both sides for RAFT
MULTIPLE = 8  # both sides must be multiples of this
PADDINGS = ("sintel", "kitti")  # position of the padding: half on each side; for KITTI at the bottom
UPDATES = 12  # RAFT's default


class Prepare:
    """Scales a pair of frames as the weights require; for a video, each frame with the next.

    Args:
        weights: their ``transforms`` prepare a pair.
        pad: whether to :func:`pad_frames`; ``padding`` is its argument.
        stride: for a video, take every ``stride``-th frame.
        frame_rate: for a video, take this many frames per second, regardless of its own rate.

    Raises:
        InvalidArgument: ``stride`` or ``frame_rate`` is not positive, both are given, or ``padding`` is unknown.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        pad: bool = True,
        padding: str = "sintel",
        stride: int | None = None,
        frame_rate: float | None = None,
    ) -> None:
        if stride is not None and frame_rate is not None:
            raise InvalidArgument(f"stride={stride} and frame_rate={frame_rate}; expected at most one of them.")
        if stride is not None:
            check_count("stride", stride, 1)
        check_frame_rate(frame_rate)
        self.preset = weights.transforms() if weights.transforms else OpticalFlow()
        self.pad, self.padding, self.stride, self.frame_rate = pad, check_padding(padding), stride, frame_rate

    def __call__(self, frames: Pair | Video) -> tuple[Tensor, Tensor] | Pairs:
        """Two pictures [3, H, W], or an iterator of a video's pairs."""
        if isinstance(frames, Video):
            frames.choose(self.stride, self.frame_rate)
            return Pairs(frames, self.pair)
        return self.pair(frames)

    def pair(self, frames: Pair) -> tuple[Tensor, Tensor]:
        first, second = self.preset(*frames)
        return (pad_frames(first, self.padding), pad_frames(second, self.padding)) if self.pad else (first, second)


def check_padding(padding: Any) -> str:
    if padding not in PADDINGS:
        close = suggest(str(padding), PADDINGS)
        raise InvalidArgument(f"padding is {padding!r}; expected one of {', '.join(map(repr, PADDINGS))}.{close}")
    return str(padding)


def pad_frames(frames: Tensor, padding: str = "sintel") -> Tensor:
    """Pad frames [..., C, H, W] by repeating their edges to the next size that RAFT takes: multiples of 8, at least
    128.

    Args:
        frames: frames of the same size.
        padding: ``"sintel"`` puts half on each side; ``"kitti"`` puts the height's padding at the bottom.
    """
    height, width = frames.shape[-2:]
    top, bottom, left, right = _margins(height, width, padding)
    flat = frames.reshape(-1, *frames.shape[-3:])
    return F.pad(flat, (left, right, top, bottom), mode="replicate").reshape(
        *frames.shape[:-2], height + top + bottom, width + left + right
    )


def crop_flow(flow: Tensor, height: int, width: int, padding: str = "sintel") -> Tensor:
    """Crop a flow [..., H, W] between frames padded by :func:`pad_frames` to their size: [..., height, width].

    A flow that already has that size is returned unchanged.

    Raises:
        InvalidArgument: the flow has neither size.
    """
    if tuple(flow.shape[-2:]) == (height, width):
        return flow
    top, bottom, left, right = _margins(height, width, padding)
    if tuple(flow.shape[-2:]) != (height + top + bottom, width + left + right):
        raise InvalidArgument(
            f"The flow has shape {list(flow.shape)}; expected that of frames of {height}×{width} pixels after "
            f"pad_frames: {height + top + bottom}×{width + left + right}."
        )
    return flow[..., top : top + height, left : left + width]


def _margins(height: int, width: int, padding: str) -> tuple[int, int, int, int]:
    """Padding of the sides: top, bottom, left, right."""
    check_padding(padding)
    rows, columns = (max(-(-size // MULTIPLE) * MULTIPLE, SMALLEST) - size for size in (height, width))
    top = rows // 2 if padding == "sintel" else 0
    return top, rows - top, columns // 2, columns - columns // 2


@dataclass
class FlowTask(PictureTask):
    """Pairs of frames in and flows out, or videos in and all of their flows out.

    Args:
        pad, padding, stride, frame_rate: as in :class:`Prepare`.
        num_flow_updates: number of updates of a flow; None uses the model's default.
        backward: also compute the flow from the second frame to the first, which takes twice as long.
        flow_format: format in which results save the flow: ``"flo"``, ``"kitti"`` or ``"both"``.
    """

    pad: bool = True
    padding: str = "sintel"
    num_flow_updates: int | None = None
    backward: bool = False
    flow_format: str = "flo"
    stride: int | None = None
    frame_rate: float | None = None

    def __post_init__(self) -> None:
        if self.num_flow_updates is not None:
            check_count("num_flow_updates", self.num_flow_updates, 1)
        check_flow_format(self.flow_format)

    def load(self, source: Any) -> Pair | Video:
        """Two pictures, each from a path or a PIL image, with the EXIF orientation applied; tensors are used unchanged.
        Or a video's frames.

        Raises:
            InvalidArgument: there are not two sources.
            UnreadableFile: a source is not a picture or video.
        """
        if is_video(source):
            return Video(Path(source) if isinstance(source, str) else source)
        if not isinstance(source, list | tuple) or len(source) != 2:
            raise InvalidArgument(f"{source!r} is not a pair of frames; expected (first, second).")
        first, second = (super(FlowTask, self).load(one) for one in source)
        return first, second

    def transform(self, weights: Weights) -> Prepare:
        return Prepare(weights, pad=self.pad, padding=self.padding, stride=self.stride, frame_rate=self.frame_rate)

    def protocol(self, weights: Weights) -> dict[str, Any]:
        return {
            "num_flow_updates": self.num_flow_updates or UPDATES,
            "padding": self.padding if self.pad else "none",
        }

    def collate(self, prepared: Sequence[tuple[Tensor, Tensor]]) -> tuple[Any, ...]:
        """Prepared pairs of one size → the first frames [N, 3, H, W], the second ones, and the updates if given.

        With ``backward`` there are twice as many: all pairs, then all of them with the frames swapped.
        """
        first, second = (torch.stack(frames) for frames in zip(*prepared, strict=True))
        updates = () if self.num_flow_updates is None else (self.num_flow_updates,)
        if self.backward:
            return torch.cat([first, second]), torch.cat([second, first]), *updates
        return first, second, *updates

    def decode(self, outputs: Any, inputs: Sequence[Pair], weights: Weights) -> list[Flow]:
        """The model's last flows [N, 2, H, W], cropped to the size of the frames → one result per pair."""
        flows = (outputs if isinstance(outputs, Tensor) else outputs[-1]).float().cpu()
        results = []
        for i, frames in enumerate(inputs):
            _, height, width = get_dimensions(frames[0])
            pair = flows[i :: len(inputs)]  # forward, and backward if computed
            there, *back = (crop_flow(flow, height, width, self.padding).clone() for flow in pair)
            results.append(Flow(there, frames, back[0] if back else None, self.flow_format))
        return results

    def gather(self, source: Video, results: Iterator[Flow]) -> FlowVideo:
        """The flows of a video's pairs, from an iterator → one result."""
        return FlowVideo(source, results)

    def sequence(self, source: Any) -> bool:
        return is_video(source)

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[Tensor, Tensor]:
        """Two frames, [1, 3, H, W] in [-1, 1]."""
        (frame,) = super().example(model, weights, SMALLEST if size is None else max(size, SMALLEST))
        first = pad_frames(2 * frame - 1)
        return first, first.roll(1, -1)
