"""Optical flow for ``zoo.pipeline``: two frames in, a flow out that can be drawn and saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zoo import Weights
from zoo.draw import contact_sheet, flow_arrows, flow_to_image, legible, warped_difference
from zoo.errors import InvalidArgument
from zoo.io.image import open_image
from zoo.transforms import OpticalFlow
from zoo.transforms.functional import get_dimensions, to_pil_image
from zoo_optical_flow.flo import write_flo

Picture = Image.Image | Tensor
SMALLEST = 128  # of both sides, that RAFT takes
MULTIPLE = 8  # that both sides must be of


@dataclass(frozen=True)
class Flow:
    """How one frame moves into the next.

    Attributes:
        flow: float32 [2, H, W]: how far each pixel of the first frame moves to the right and down, in pixels.
        frames: the two pictures.
    """

    flow: Tensor
    frames: tuple[Picture, Picture]

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints; there is one line, whatever ``k``."""
        facts = self.to_dict()
        right, down = facts["mean"]
        return [
            f"moves {facts['mean_length']:.2f} px on average, {facts['max_length']:.2f} px at most; "
            f"mean ({right:+.2f}, {down:+.2f}) px to the right and down"
        ]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: size and statistics. :meth:`save` writes the numbers themselves."""
        length = self.flow.norm(dim=0)
        return {
            "size": list(self.flow.shape[1:]),
            "mean": self.flow.mean((1, 2)).tolist(),
            "mean_length": length.mean().item(),
            "max_length": length.max().item(),
        }

    def draw(self) -> Image.Image:
        """The first frame with arrows, the flow in colours, and both frames' difference before and after warping."""
        colours = legible(to_pil_image(flow_to_image(self.flow)))
        still = warped_difference(*self.frames, torch.zeros_like(self.flow))
        warped = warped_difference(*self.frames, self.flow)
        step = max(4, max(self.flow.shape) // 20)
        return contact_sheet(
            [flow_arrows(self.frames[0], self.flow, step), colours, legible(still), legible(warped)], 2
        )

    def save(self, folder: Path, stem: str) -> list[Path]:
        """Write the picture that :meth:`draw` gives, the flow in colours at its own size, and its numbers.

        Returns:
            The paths: ``stem.png``, ``stem-flow.png`` and ``stem.flo``, in ``folder``.
        """
        paths = [folder / f"{stem}{ending}" for ending in (".png", "-flow.png", ".flo")]
        self.draw().save(paths[0])
        to_pil_image(flow_to_image(self.flow)).save(paths[1])
        write_flo(self.flow, paths[2])
        return paths


def load(source: Any) -> tuple[Picture, Picture]:
    """Two pictures, each from a path; PIL images and tensors are taken as they are.

    Raises:
        InvalidArgument: other than two sources.
    """
    if not isinstance(source, list | tuple) or len(source) != 2:
        raise InvalidArgument(f"{source!r} is no pair of frames; expected (first, second).")
    first, second = (open_image(one) if isinstance(one, str | Path) else one for one in source)
    return first, second


def transform(weights: Weights, *, pad: bool = True) -> Callable[[tuple[Picture, Picture]], tuple[Tensor, Tensor]]:
    """What prepares a pair: scaling as the weights want it, and where ``pad`` is set, :func:`pad_frames`."""
    preset = weights.transforms() if weights.transforms else OpticalFlow()

    def prepare(frames: tuple[Picture, Picture]) -> tuple[Tensor, Tensor]:
        first, second = preset(*frames)
        return (pad_frames(first), pad_frames(second)) if pad else (first, second)

    return prepare


def pad_frames(frames: Tensor) -> Tensor:
    """Frames [..., C, H, W] with their edges repeated around, as little as RAFT needs: multiples of 8, at least 128."""
    height, width = frames.shape[-2:]
    top, bottom = _margins(height)
    left, right = _margins(width)
    flat = frames.reshape(-1, *frames.shape[-3:])
    return F.pad(flat, (left, right, top, bottom), mode="replicate").reshape(
        *frames.shape[:-2], height + top + bottom, width + left + right
    )


def crop_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Of a flow [..., H, W] between frames that :func:`pad_frames` padded, what is theirs: [..., height, width].

    A flow of that size already is returned as it is.

    Raises:
        InvalidArgument: a flow of neither size.
    """
    if tuple(flow.shape[-2:]) == (height, width):
        return flow
    (top, bottom), (left, right) = _margins(height), _margins(width)
    if tuple(flow.shape[-2:]) != (height + top + bottom, width + left + right):
        raise InvalidArgument(
            f"The flow has shape {list(flow.shape)}; expected that of frames of {height}×{width} pixels after "
            f"pad_frames: {height + top + bottom}×{width + left + right}."
        )
    return flow[..., top : top + height, left : left + width]


def _margins(size: int) -> tuple[int, int]:
    """What a side lacks, half before and half after."""
    missing = max(-(-size // MULTIPLE) * MULTIPLE, SMALLEST) - size
    return missing // 2, missing - missing // 2


def collate(prepared: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Prepared pairs of one size → the first frames [N, 3, H, W], the second ones."""
    first, second = zip(*prepared, strict=True)
    return torch.stack(first), torch.stack(second)


def decode(outputs: Any, inputs: Sequence[tuple[Picture, Picture]], weights: Weights) -> list[Flow]:
    """The model's last flows [N, 2, H, W], cut to the size of the frames → one result per pair."""
    flows = (outputs if isinstance(outputs, Tensor) else outputs[-1]).float().cpu()
    results = []
    for flow, frames in zip(flows, inputs, strict=True):
        _, height, width = get_dimensions(frames[0])
        results.append(Flow(crop_flow(flow, height, width).clone(), frames))
    return results


def draw(result: Flow) -> Image.Image:
    return result.draw()
