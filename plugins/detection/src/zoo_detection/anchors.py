"""Anchors: the reference boxes of a detector, several around every cell of every feature map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo_detection.transform import ImageList


def single(dtype: torch.dtype) -> torch.dtype:
    """At least single precision: half precision cannot represent every pixel position of a large image."""
    return torch.promote_types(dtype, torch.float32)


def grid(size: Sequence[int], like: Tensor, offset: float) -> tuple[Tensor, Tensor]:
    """x and y, each [H * W], of all cells of a map of ``size`` (H, W), row by row, shifted by ``offset`` cells."""
    y, x = (torch.arange(n, device=like.device, dtype=single(like.dtype)) + offset for n in size)
    y, x = torch.meshgrid(y, x, indexing="ij")
    return x.flatten(), y.flatten()


class AnchorGenerator(nn.Module):
    """Anchors of fixed sizes and shapes around every cell: ``(image_list, feature_maps)`` → one tensor per image.

    Args:
        sizes: per feature map, the square roots of the anchors' areas in pixels, one or several.
        aspect_ratios: height over width, per feature map or once for all maps.

    The call returns the same [A, 4] in xyxy for every image: ordered by map, row and cell, and within a cell first all
    sizes of the first aspect ratio, then of the second.

    Raises:
        InvalidArgument: ``sizes`` and ``aspect_ratios`` have different numbers of maps, or a different number from the
            feature maps.
    """

    def __init__(
        self,
        sizes: Sequence[Sequence[int] | int] = ((128, 256, 512),),
        aspect_ratios: Sequence[Sequence[float]] | Sequence[float] = ((0.5, 1.0, 2.0),),
    ) -> None:
        super().__init__()
        per_map = [tuple(ratios) for ratios in aspect_ratios if isinstance(ratios, Sequence)]
        if not per_map:
            per_map = [tuple(r for r in aspect_ratios if not isinstance(r, Sequence))]
        if len(per_map) == 1:
            per_map *= len(sizes)
        if len(sizes) != len(per_map):
            raise InvalidArgument(
                f"sizes are given for {len(sizes)} feature maps and aspect_ratios for {len(per_map)}; expected the "
                "same number."
            )
        self.sizes = tuple(tuple(s) if isinstance(s, Sequence) else (s,) for s in sizes)
        self.aspect_ratios = tuple(per_map)
        self.cell_anchors = [self.generate_anchors(s, r) for s, r in zip(self.sizes, self.aspect_ratios, strict=True)]

    def num_anchors_per_location(self) -> list[int]:
        """Per feature map."""
        return [len(s) * len(r) for s, r in zip(self.sizes, self.aspect_ratios, strict=True)]

    def generate_anchors(
        self,
        scales: Sequence[float],
        aspect_ratios: Sequence[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """The anchors of one cell, [len(aspect_ratios) * len(scales), 4], centred at the origin, rounded to
        integers."""
        # On the CPU even if the model is built on meta: they are not in the checkpoint.
        height = torch.tensor(aspect_ratios, dtype=dtype, device=device).sqrt()[:, None]
        size = torch.tensor(scales, dtype=dtype, device=device)
        half = torch.stack([size / height, size * height], dim=-1).view(-1, 2) / 2
        return torch.cat([-half, half], dim=1).round()

    def set_cell_anchors(self, dtype: torch.dtype, device: torch.device | str) -> None:
        """Convert ``cell_anchors``, the anchors of one cell of each map, to another dtype or device."""
        self.cell_anchors = [anchors.to(dtype=dtype, device=device) for anchors in self.cell_anchors]

    def grid_anchors(
        self, grid_sizes: Sequence[Sequence[int]], strides: Sequence[Sequence[Any]], like: Tensor | None = None
    ) -> list[Tensor]:
        """The anchors [A, 4] of each map: the cell anchors around all cells.

        Args:
            grid_sizes: (H, W) of each map.
            strides: distance of neighbouring cells of each map in pixels, (vertical, horizontal).
            like: tensor with the dtype and device of the result; by default ``cell_anchors``.
        """
        if len(grid_sizes) != len(self.cell_anchors):
            raise InvalidArgument(
                f"There are {len(grid_sizes)} feature maps, but sizes and aspect_ratios for {len(self.cell_anchors)}; "
                "expected one tuple per map."
            )
        levels = []
        for size, (down, across), cell in zip(grid_sizes, strides, self.cell_anchors, strict=True):
            x, y = grid(size, cell if like is None else like, 0)
            x, y = x * across, y * down
            centres = torch.stack([x, y, x, y], dim=1)
            levels.append((centres[:, None] + cell.to(centres)).view(-1, 4))
        return levels

    def per_level(self, image_size: Sequence[int], feature_maps: Sequence[Tensor]) -> list[Tensor]:
        """The anchors [A, 4] of each map, for images of ``image_size`` (H, W), padding included."""
        sizes = [features.shape[-2:] for features in feature_maps]
        strides = [[image_size[-2] // height, image_size[-1] // width] for height, width in sizes]
        first, methods = feature_maps[0], ("grid_anchors", "set_cell_anchors")
        if all(getattr(getattr(self, m), "__func__", None) is vars(AnchorGenerator)[m] for m in methods):
            # cell_anchors is not moved: a call that changes state is not safe for threads and graphs.
            return self.grid_anchors(sizes, strides, first)
        self.set_cell_anchors(single(first.dtype), first.device)
        tensors = [[torch.tensor(stride, device=first.device) for stride in of_map] for of_map in strides]
        return self.grid_anchors([list(size) for size in sizes], tensors)

    def forward(self, image_list: ImageList, feature_maps: Sequence[Tensor]) -> list[Tensor]:
        anchors = torch.cat(self.per_level(image_list.tensors.shape[-2:], feature_maps))
        return [anchors] * len(image_list.image_sizes)


class DefaultBoxGenerator(nn.Module):
    """SSD's default boxes, whose sizes are fractions of the image: ``(image_list, feature_maps)`` → [A, 4] per image.

    Every cell of map k has a square of scale ``s_k``, one of the geometric mean of ``s_k`` and ``s_(k+1)``, and for
    each aspect ratio a wide and a tall box of scale ``s_k``.

    Args:
        aspect_ratios: per feature map, the aspect ratios in addition to the squares.
        min_ratio, max_ratio: scale of the first map and of the last; the others are evenly spaced. With a single map
            ``max_ratio`` is the scale after it, which otherwise is 1.
        scales: one more than the number of maps; replaces ``min_ratio`` and ``max_ratio``.
        steps: per feature map, pixels from one cell to the next; by default the image's size divided by the map's.
        clip: clip boxes larger than the image to its size.

    Raises:
        InvalidArgument: the numbers of maps differ.
    """

    def __init__(
        self,
        aspect_ratios: Sequence[Sequence[int]],
        min_ratio: float = 0.15,
        max_ratio: float = 0.9,
        scales: Sequence[float] | None = None,
        steps: Sequence[int] | None = None,
        clip: bool = True,
    ) -> None:
        super().__init__()
        maps = len(aspect_ratios)
        if scales is None:
            spacing = (max_ratio - min_ratio) / max(maps - 1, 1)
            scales = [*(min_ratio + spacing * k for k in range(maps)), 1.0 if maps > 1 else max_ratio]
        if len(scales) != maps + 1 or (steps is not None and len(steps) != maps):
            raise InvalidArgument(
                f"aspect_ratios are given for {maps} feature maps; expected {maps + 1} scales and {maps} steps, not "
                f"{len(scales)} and {len(steps or ())}."
            )
        self.aspect_ratios = [list(ratios) for ratios in aspect_ratios]
        self.scales, self.steps, self.clip = list(scales), None if steps is None else list(steps), clip
        self.wh_pairs = [self._sizes(k) for k in range(maps)]

    def _sizes(self, k: int) -> Tensor:
        """Width and height [boxes per cell, 2] of the boxes of map ``k``, as fractions of the image."""
        scale, next_scale = self.scales[k : k + 2]
        pairs = [[scale] * 2, [math.sqrt(scale * next_scale)] * 2]
        for ratio in self.aspect_ratios[k]:
            wide = [scale * math.sqrt(ratio), scale / math.sqrt(ratio)]
            pairs += [wide, wide[::-1]]
        sizes = torch.tensor(pairs, dtype=torch.float32, device="cpu")
        return sizes.clamp(0, 1) if self.clip else sizes

    def num_anchors_per_location(self) -> list[int]:
        """Per feature map."""
        return [2 + 2 * len(ratios) for ratios in self.aspect_ratios]

    def forward(self, image_list: ImageList, feature_maps: Sequence[Tensor]) -> list[Tensor]:
        if len(feature_maps) != len(self.wh_pairs):
            raise InvalidArgument(
                f"There are {len(feature_maps)} feature maps but aspect_ratios for {len(self.wh_pairs)}."
            )
        height, width = image_list.tensors.shape[-2:]
        boxes = []
        for k, features in enumerate(feature_maps):
            rows, columns = features.shape[-2:]
            x, y = grid((rows, columns), features, 0.5)
            if self.steps is not None:
                rows, columns = height / self.steps[k], width / self.steps[k]  # type: ignore[assignment]
            centres = torch.stack([x / columns, y / rows], dim=1)[:, None]
            half = self.wh_pairs[k].to(centres) / 2
            boxes.append(torch.cat([centres - half, centres + half], dim=2).view(-1, 4))
        pixels = torch.cat(boxes) * boxes[0].new_tensor([width, height, width, height])
        return [pixels] * len(image_list.image_sizes)
