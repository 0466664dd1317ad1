"""What a model sees of a pair of frames: a flow that can be drawn, saved and put in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo.contract import Result, save_picture
from zoo.draw import contact_sheet, flow_arrows, flow_to_image, legible, warped_difference
from zoo.io import Picture
from zoo.transforms.functional import to_pil_image
from zoo_optical_flow.flo import write_flo


@dataclass(frozen=True)
class Flow(Result):
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
        return [describe(facts["mean"], facts["mean_length"], facts["max_length"])]

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

    def save(self, folder: Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002
        """Write the picture that :meth:`draw` gives, the flow in colours at its own size, and its numbers.

        Returns:
            The paths: ``stem.png``, ``stem-flow.png`` and ``stem.flo``, in ``folder``.
        """
        drawn = save_picture(self.draw(), folder, stem, format)
        colours = save_picture(to_pil_image(flow_to_image(self.flow)), folder, f"{stem}-flow", format)
        numbers = folder / f"{stem}.flo"
        write_flo(self.flow, numbers)
        return [drawn, colours, numbers]


def describe(mean: Sequence[float], mean_length: float, max_length: float) -> str:
    """Statistics of a flow, in words; lengths in pixels."""
    right, down = mean
    return (
        f"moves {mean_length:.2f} px on average, {max_length:.2f} px at most; "
        f"mean ({right:+.2f}, {down:+.2f}) px to the right and down"
    )
