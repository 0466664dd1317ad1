"""Results of tasks that only this package provides: depth, panoptic segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.contract import Result, check_count, optional, save_picture
from zoo.draw import PAPER, class_color, legible, segmentation_overlay, ticks, with_scale
from zoo.io import Picture, encode_mask
from zoo.transforms.functional import as_pil

# From far to near: viridis, whose lightness increases evenly.
SCALE = [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
         (170, 220, 50), (253, 231, 37)]  # fmt: skip


@dataclass(frozen=True)
class Depth(Result):
    """The depth of each pixel of a picture.

    Attributes:
        values: float [H, W], of the picture's size: distances in metres if ``unit`` is ``"metres"``; if it is
            ``"relative"``, without a unit, and larger is nearer.
        unit: ``"metres"`` or ``"relative"``.
        image: the picture.
    """

    values: Tensor
    unit: str
    image: Picture

    @property
    def nearest(self) -> float:
        """The nearest value."""
        return (self.values.min() if self.unit == "metres" else self.values.max()).item()

    @property
    def farthest(self) -> float:
        """The farthest value."""
        return (self.values.max() if self.unit == "metres" else self.values.min()).item()

    def lines(self, k: int = 5) -> list[str]:
        """The output of ``zoo predict``: nearest value, value in the middle of the picture, farthest value."""
        check_count("k", k, 1)
        unit = " m" if self.unit == "metres" else ", relative: larger is nearer"
        height, width = self.values.shape
        middle = self.values[height // 2, width // 2].item()
        return [f"nearest {self.nearest:.3g}, in the middle {middle:.3g}, farthest {self.farthest:.3g}{unit}"]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """The output of ``zoo predict --json``: size, unit, and range of the values."""
        height, width = self.values.shape
        middle, mean = self.values[height // 2, width // 2].item(), self.values.double().mean().item()
        figures = {"nearest": self.nearest, "farthest": self.farthest, "mean": mean, "middle": middle}
        return {"height": height, "width": width, "unit": self.unit, **figures}

    def colours(self) -> Image.Image:
        """The values as colours, near is bright, of the picture's size."""
        low, high = self.values.min().double(), self.values.max().double()
        share = (self.values.double() - low) / (high - low).clamp_min(torch.finfo(torch.float64).tiny)
        return Image.fromarray(_painted((1 - share if self.unit == "metres" else share).numpy()))

    def draw(self) -> Image.Image:
        """The picture, the depth map in colours, and a scale with values, next to each other at the picture's own
        size."""
        near, far = self.nearest, self.farthest
        unit = " m" if self.unit == "metres" else ""
        low, high = sorted((near, far))
        marks = [value for value in ticks(low, high) if low <= value <= high]
        labels = [((value - far) / (near - far) if near != far else 0.5, f"{value:.3g}{unit}") for value in marks]
        depth = legible(self.colours(), largest=None)
        image = legible(as_pil(self.image), largest=None)
        side_by_side = depth.width <= 1.4 * depth.height
        gap = max(8, max(depth.size) // 80)
        size = (2 * depth.width + gap, depth.height) if side_by_side else (depth.width, 2 * depth.height + gap)
        both = Image.new("RGB", size, PAPER)
        both.paste(image.resize(depth.size) if image.size != depth.size else image, (0, 0))
        both.paste(depth, (depth.width + gap, 0) if side_by_side else (0, depth.height + gap))
        return with_scale(both, _colour, labels, ("near", "far"))

    def save(self, folder: str | Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002
        """Write ``STEM.png``, the result of :meth:`draw`, and ``STEM.npy``, the values, float32 [H, W]."""
        values = Path(folder) / f"{stem}.npy"
        np.save(values, self.values.float().numpy())
        return [save_picture(self.draw(), folder, stem, format), values]


def _colour(share: float) -> tuple[int, int, int]:
    red, green, blue = _painted(np.array(share)).tolist()
    return red, green, blue


def _painted(share: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Numbers from 0 to 1 → their colours on the scale, uint8 [..., 3]."""
    at = share * (len(SCALE) - 1)
    steps, table = np.arange(len(SCALE)), np.array(SCALE)
    return np.stack([np.interp(at, steps, table[:, c]) for c in range(3)], -1).round().astype(np.uint8)


@dataclass(frozen=True)
class PanopticSegmentation(Result):
    """A panoptic segmentation: each pixel belongs to at most one segment, an object or a region.

    Attributes:
        segment_map: int64 [H, W], of the picture's size: the index of the pixel's segment in the following, or -1.
        labels: int64 [S], labels of the segments.
        scores: float [S], in [0, 1].
        categories: names of the labels.
        image: the picture.
    """

    segment_map: Tensor
    labels: Tensor
    scores: Tensor
    categories: Sequence[str]
    image: Picture

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> list[str]:
        """The category of each segment."""
        return [self.categories[label] for label in self.labels.tolist()]

    @property
    def areas(self) -> list[float]:
        """The share of each segment in the picture, in [0, 1]."""
        counts = (self.segment_map.flatten() + 1).bincount(minlength=len(self) + 1)[1:]
        return (counts.double() / self.segment_map.numel()).tolist()

    def mask(self, i: int) -> Tensor:
        """The pixels of a segment, bool [H, W]."""
        return self.segment_map == i

    def _largest(self, k: int) -> list[tuple[int, str, float, float]]:
        rows = [*zip(range(len(self)), self.names, self.scores.tolist(), self.areas, strict=True)]
        return sorted(rows, key=lambda row: -row[3])[: check_count("k", k, 1)]

    def lines(self, k: int = 5) -> list[str]:
        """The output of ``zoo predict``: the ``k`` largest segments, each with its share of the picture and score."""
        rows = [f"{area:7.2%}  {name}  ({score:.0%})" for _, name, score, area in self._largest(k)]
        left = len(self) - len(rows)
        return [*rows, *([f"and {left} smaller"] if left else [])] or ["nothing found"]

    def to_dict(self, k: int | None = None) -> dict[str, Any]:
        """The output of ``zoo predict --json``: the ``k`` largest segments (all by default), each with its ``mask`` in
        COCO's compressed run length encoding, which :func:`zoo.io.decode_mask` reads."""
        height, width = self.segment_map.shape
        segments = [
            {
                "label": name,
                "id": int(self.labels[i]),
                "score": score,
                "share": area,
                "mask": encode_mask(self.mask(i)),
            }
            for i, name, score, area in self._largest(k or max(len(self), 1))
        ]
        return {"height": height, "width": width, "segments": segments}

    def to_supervision(self) -> Any:
        """All segments as ``supervision.Detections``: masks, boxes, scores, and ``class_name``.

        Raises:
            MissingPlugin: supervision is not installed.
        """
        sv = optional("supervision", "to_supervision()")
        masks = (self.segment_map == torch.arange(len(self))[:, None, None]).numpy()
        return sv.Detections(
            sv.mask_to_xyxy(masks),
            masks,
            confidence=self.scores.float().numpy(),
            class_id=self.labels.numpy().astype(int),
            data={"class_name": np.array(self.names)},
        )

    def draw(self) -> Image.Image:
        """The picture at its own size, with coloured segments and a legend."""
        segments = [f"{name} {score:.0%}" for name, score in zip(self.names, self.scores.tolist(), strict=True)]
        names = ["nothing", *segments]
        palette = [(0, 0, 0), *(class_color(i) for i in range(len(self)))]
        return segmentation_overlay(as_pil(self.image), self.segment_map + 1, names, palette, largest=None)
