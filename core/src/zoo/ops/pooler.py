"""RoIAlign over a feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo.nn.checks import refuse_script
from zoo.ops._checks import captured, check_number, check_shape, check_whole, exporting_to_onnx, is_list, pair, widened
from zoo.ops.boxes import box_area
from zoo.ops.pooling import table_of
from zoo.ops.regions import onnx_roi_align, pool_aligned


class LevelMapper:
    """Boxes ``[L, 4]`` of each image → the pyramid level of each box, int64 ``[all L]``, 0 for the finest.

    Args:
        k_min, k_max: the finest level and the coarsest, as powers of two of their strides.
        eps: prevents that rounding puts a box of exactly a level's size below it.
    """

    def __init__(
        self, k_min: int, k_max: int, canonical_scale: int = 224, canonical_level: int = 4, eps: float = 1e-6
    ) -> None:
        self.k_min, self.k_max = k_min, k_max
        self.s0, self.lvl0, self.eps = canonical_scale, canonical_level, eps

    def __call__(self, boxlists: Sequence[Tensor]) -> Tensor:
        size = box_area(torch.cat(list(boxlists))).clamp(min=0).sqrt()
        level = torch.floor(self.lvl0 + torch.log2(size / self.s0) + self.eps)
        return level.nan_to_num().clamp(self.k_min, self.k_max).long() - self.k_min


class MultiScaleRoIAlign(nn.Module):
    """RoIAlign in which each region reads the pyramid level that fits its size.

    `Feature Pyramid Networks for Object Detection <https://arxiv.org/abs/1612.03144>`_, equation 1: a box of area A
    belongs to level ``canonical_level + log2(sqrt(A) / canonical_scale)``, rounded down and limited to existing levels.
    All levels are in one table of feature rows, and all regions of all levels are pooled at once.

    Args:
        featmap_names: keys of the features to pool, from the finest to the coarsest.
        output_size: height and width of the result, or one number for both.
        sampling_ratio: samples per cell and axis; if below 1, about one per pixel. See :func:`~zoo.ops.roi_align`.
        canonical_scale: size in pixels of a box that belongs to ``canonical_level``.
        canonical_level: a level, whose stride is 2 to this power.
    """

    __prepare_scriptable__ = refuse_script

    def __init__(
        self,
        featmap_names: Sequence[str],
        output_size: int | Sequence[int],
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        if not is_list(featmap_names):
            raise InvalidArgument(f"featmap_names must be a list of names, but got {featmap_names!r}.")
        check_whole("sampling_ratio", sampling_ratio)
        check_number("canonical_scale", canonical_scale)
        check_number("canonical_level", canonical_level)
        self.featmap_names = list(featmap_names)
        self.output_size = pair("output_size", output_size)
        self.sampling_ratio = sampling_ratio
        self.canonical_scale = canonical_scale
        self.canonical_level = canonical_level

    def forward(self, x: dict[str, Tensor], boxes: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]) -> Tensor:
        """Features ``[K, C, height, width]`` of ``boxes``, ``[L, 4]`` per image, in pixels of the image, in xyxy.

        ``x`` are the levels ``[N, C, H, W]`` by name, ``image_shapes`` the (height, width) of each image before it was
        padded to the batch; the largest determines each level's stride, a power of two.
        """
        if not (isinstance(x, dict) and is_list(boxes) and is_list(image_shapes)):
            given = ", ".join(type(value).__name__ for value in (x, boxes, image_shapes))
            raise InvalidArgument(f"Expected a dict of features, lists of boxes and of shapes, but got {given}.")
        levels = [x[name] for name in self.featmap_names if name in x]
        if not levels:
            raise InvalidArgument(f"None of the features {self.featmap_names} is among those given: {list(x)}.")
        if not (len(boxes) == len(image_shapes) == len(levels[0])):
            raise InvalidArgument(
                f"Expected boxes and a shape for each of {len(levels[0])} images, but got {len(boxes)} tensors of "
                f"boxes and {len(image_shapes)} shapes."
            )
        for i, part in enumerate(boxes):
            check_shape(f"boxes[{i}]", part, "L", 4)
        largest = max(shape[0] for shape in image_shapes)
        strides = [-round(math.log2(level.shape[2] / largest)) for level in levels]
        regions = widened(torch.cat(list(boxes)).detach())
        images = torch.cat([part.new_full(part.shape[:1], i, dtype=torch.int64) for i, part in enumerate(boxes)])
        return self.pooled(levels, strides, regions, images)

    def pooled(self, levels: Sequence[Tensor], strides: Sequence[int], regions: Tensor, images: Tensor) -> Tensor:
        """Features ``[K, C, height, width]`` of ``regions`` ``[K, 4]``, each of the image with the index in ``images``
        ``[K]``.

        ``strides`` are those of the ``levels``, as powers of two. Sizes and numbers may be symbolic.
        """
        if levels[0].is_meta:
            return levels[0].new_empty(len(regions), levels[0].shape[1], *self.output_size)
        level = LevelMapper(strides[0], strides[-1], self.canonical_scale, self.canonical_level)([regions])
        if exporting_to_onnx():
            # Each level pools its own regions, and the results are put back in the regions' order.
            of_level = level[:, None] == torch.arange(len(levels), device=level.device)
            pooled = []
            for f, stride, own in zip(levels, strides, of_level.unbind(1), strict=True):
                rows = own.nonzero().squeeze(1)
                where = (f, images[rows], regions[rows], self.output_size, 2.0**-stride)
                pooled.append(onnx_roi_align(*where, self.sampling_ratio, False))
            count = of_level.sum(0)
            place = of_level.long().cumsum(0) - 1 + count.cumsum(0) - count
            return torch.cat(pooled)[place.gather(1, level[:, None]).squeeze(1)]
        if len(levels) == 1:
            table = table_of(levels[0])
        elif captured():  # the number of images may be symbolic
            table = torch.cat([widened(f).permute(0, 2, 3, 1).flatten(0, 2) for f in levels])
        else:  # views of single images, so that permuting and concatenating them is one copy
            table = torch.cat([image.permute(1, 2, 0).flatten(0, 1) for f in levels for image in widened(f)])
        # For each level: height, width, the row of the table where it begins, and the scale.
        begin, facts = 0, []
        for f, stride in zip(levels, strides, strict=True):
            facts.append((f.shape[2], f.shape[3], begin, 2.0**-stride))
            begin += f.shape[0] * f.shape[2] * f.shape[3]
        height, width, begins, scale = _table(facts, table.device)[level].unbind(1)
        return pool_aligned(
            table,
            regions.to(table.dtype),
            begins.long() + images * (height * width).long(),
            height.to(table.dtype),
            width.to(table.dtype),
            scale.to(table.dtype)[:, None],
            self.output_size,
            self.sampling_ratio,
            False,
            levels[0],
        )

    def extra_repr(self) -> str:
        return (
            f"featmap_names={self.featmap_names}, output_size={self.output_size}, sampling_ratio={self.sampling_ratio}"
        )


def _table(rows: Sequence[Sequence[float]], device: torch.device) -> Tensor:
    """Numbers, of which some may be symbolic, as a float64 tensor."""
    if not captured():
        return torch.tensor(rows, dtype=torch.float64, device=device)
    cells = [[torch.full((), number, dtype=torch.float64, device=device) for number in row] for row in rows]
    return torch.stack([torch.stack(row) for row in cells])
