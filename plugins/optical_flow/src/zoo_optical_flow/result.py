"""The result of optical flow: a flow that can be drawn, saved and summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo.contract import Result, save_picture
from zoo.draw import (
    contact_sheet,
    error_map,
    flow_arrows,
    flow_to_image,
    legible,
    segmentation_masks,
    warped_difference,
    with_caption,
    with_wheel,
)
from zoo.errors import InvalidArgument, suggest
from zoo.io import Picture
from zoo.transforms.functional import as_pil, convert_mode, pil_to_tensor, to_pil_image
from zoo_optical_flow.consistency import forward_backward_error, occlusion
from zoo_optical_flow.flo import write_flo
from zoo_optical_flow.kitti import write_kitti_flow

FORMATS = ("flo", "kitti", "both")
SIDE = 960  # maximum length of the longer side of a panel, in pixels
HIDDEN = "#ff3c78"  # colour of occluded pixels


def check_flow_format(given: Any) -> str:
    if given not in FORMATS:
        expected = ", ".join(map(repr, FORMATS))
        raise InvalidArgument(f"flow_format is {given!r}; expected one of {expected}.{suggest(str(given), FORMATS)}")
    return str(given)


@dataclass(frozen=True)
class Flow(Result):
    """The motion from one frame to the next.

    Attributes:
        flow: float32 [2, H, W]: how far each pixel of the first frame moves to the right and down, in pixels.
        frames: the two pictures.
        backward: float32 [2, H, W], from the second frame to the first, with ``backward=True``; otherwise None.
        flow_format: format in which :meth:`save` writes the flow: ``"flo"``, ``"kitti"`` or ``"both"``.
    """

    flow: Tensor
    frames: tuple[Picture, Picture]
    backward: Tensor | None = None
    flow_format: str = "flo"

    @cached_property
    def occluded(self) -> Tensor | None:
        """bool [H, W]: which pixels of the first frame are occluded in the second or outside it, from
        :func:`zoo_optical_flow.occlusion`; None without ``backward``."""
        return None if self.backward is None else occlusion(self.flow, self.backward)

    @cached_property
    def _error(self) -> Tensor:
        """float32 [H, W]: the forward-backward error, in pixels."""
        return forward_backward_error(self.flow, self.flow if self.backward is None else self.backward)

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: one line, and a second one with ``backward``; ``k`` is ignored."""
        facts = self.to_dict()
        lines = [describe(facts["mean"], facts["mean_length"], facts["max_length"])]
        if self.backward is not None:
            error = facts["consistency"]
            lines.append(
                f"{facts['occluded']:.1%} occluded in the second frame;  "
                + ("no visible pixel" if error is None else f"forward-backward error elsewhere {error:.2f} px")
            )
        return lines

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: size and statistics; with ``backward`` the share of occluded pixels, and
        the mean forward-backward error of the others. :meth:`save` writes the flow itself."""
        length = self.flow.norm(dim=0)
        facts = {
            "size": list(self.flow.shape[1:]),
            "mean": self.flow.mean((1, 2)).tolist(),
            "mean_length": length.mean().item(),
            "max_length": length.max().item(),
        }
        if self.backward is not None and self.occluded is not None:
            seen = self._error[~self.occluded]
            facts |= {
                "occluded": self.occluded.float().mean().item(),
                "consistency": seen.mean().item() if len(seen) else None,
            }
        return facts

    def draw(self) -> Image.Image:
        """The first frame with arrows, the flow in colours with their wheel, and both frames' difference before and
        after warping; with ``backward`` also the occluded pixels, and the forward-backward error.
        """
        flow, frames, sample = self._shrunk()
        step = max(4, max(flow.shape) // 20)
        longest = self.flow.norm(dim=0).max().item()
        colours = legible(to_pil_image(flow_to_image(self.flow[sample], max(longest, 1e-3))), largest=None)
        still, warped = (warped_difference(*frames, motion) for motion in (torch.zeros_like(flow), flow))
        before, after = (pil_to_tensor(image).float().mean().item() for image in (still, warped))
        panels = [
            (flow_arrows(frames[0], flow, step, largest=None), "First frame, arrows to the second"),
            (with_wheel(colours, longest), f"Flow: {direction(*self.flow.mean((1, 2)).tolist())}"),
            (still, f"Difference of the frames: {before:.1f} of 255"),
            (warped, f"Difference along the flow: {after:.1f} of 255"),
        ]
        if self.backward is not None and self.occluded is not None:
            hidden = segmentation_masks(frames[0], self.occluded[sample[1:]][None], colors=HIDDEN)
            error = self._error[sample[1:]]
            finite = error[error.isfinite()]
            most = max(finite.quantile(0.99).item() if len(finite) else 1.0, 1.0)
            panels += [
                (hidden, f"Occluded in the second frame: {self.occluded.float().mean():.1%}"),
                (error_map(error, most), f"Forward-backward error, up to {most:.1f} px"),
            ]
        return contact_sheet([with_caption(legible(picture, largest=None), text) for picture, text in panels], 2)

    def _shrunk(self) -> tuple[Tensor, tuple[Image.Image, Image.Image], tuple[slice, slice, slice]]:
        """Flow and frames, reduced to the size of a panel if they are larger; and the slices of the flow's pixels
        used."""
        every = -(-max(self.flow.shape[1:]) // SIDE)
        sample = (slice(None), slice(every // 2, None, every), slice(every // 2, None, every))
        flow = self.flow[sample] / every
        size = (flow.shape[2], flow.shape[1])
        first, second = (convert_mode(as_pil(frame), "RGB") for frame in self.frames)
        if every > 1:
            first, second = (frame.resize(size, Image.Resampling.BOX) for frame in (first, second))
        return flow, (first, second), sample

    def save(self, folder: Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002
        """Write the picture from :meth:`draw`, the flow in colours at its own size, and the flow as numbers; with
        ``backward`` also the occluded pixels and the backward flow.

        Returns:
            The paths, in ``folder``: ``STEM.png``, ``STEM_flow.png``, ``STEM.flo`` or ``STEM_kitti.png``; and
            ``STEM_occluded.png``, white where occluded, ``STEM_backward.flo`` or ``STEM_backward_kitti.png``. In
            KITTI's files occluded pixels are marked as unknown.
        """
        paths = [save_picture(self.draw(), folder, stem, format)]
        paths.append(save_picture(to_pil_image(flow_to_image(self.flow)), folder, f"{stem}_flow", format))
        hidden = self.occluded
        if hidden is not None:
            paths.append(save_picture(to_pil_image(hidden.byte() * 255), folder, f"{stem}_occluded"))
        flows = {"": self.flow} if self.backward is None else {"": self.flow, "_backward": self.backward}
        for what, flow in flows.items():
            if self.flow_format in ("flo", "both"):
                paths.append(folder / f"{stem}{what}.flo")
                write_flo(flow, paths[-1])
            if self.flow_format in ("kitti", "both"):
                paths.append(folder / f"{stem}{what}_kitti.png")
                write_kitti_flow(flow, paths[-1], ~hidden if hidden is not None and not what else None)
        return paths


def direction(right: float, down: float) -> str:
    """A motion in words: ``3.2 px right, 6.0 px up``."""
    parts = [
        f"{abs(value):.1f} px {more if value > 0 else less}"
        for value, more, less in ((right, "right", "left"), (down, "down", "up"))
        if abs(value) >= 0.05
    ]
    return ", ".join(parts) or "no motion"


def describe(mean: Sequence[float], mean_length: float, max_length: float) -> str:
    """Statistics of a flow, in words; lengths in pixels."""
    return (
        f"moves {mean_length:.2f} px on average, {max_length:.2f} px at most; "
        f"taken together {direction(mean[0], mean[1])}"
    )
