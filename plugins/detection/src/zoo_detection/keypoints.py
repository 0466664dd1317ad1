"""Heat maps of keypoints: training targets, and their peaks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo_detection.masks import exact

PIXELS = 1 << 24  # of enlarged heat maps that are computed at once


def keypoint_loss(logits: Tensor, keypoints: Tensor, boxes: Tensor) -> Tensor:
    """The cross-entropy of each keypoint's cell among all cells of its box, averaged over the visible keypoints in
    their box.

    Args:
        logits: [P, K, S, S], one row per box.
        keypoints: [P, K, 3] in pixels of the image, with visibility.
        boxes: xyxy [P, 4].
    """
    index, valid = keypoints_to_heatmap(keypoints, boxes, logits.shape[-1])
    seen = valid > 0
    loss = F.cross_entropy(logits.flatten(2)[seen], index[seen], reduction="sum")
    return loss / seen.sum().clamp(min=1)


def keypoints_to_heatmap(keypoints: Tensor, rois: Tensor, heatmap_size: int) -> tuple[Tensor, Tensor]:
    """The cell of its box's heat map for each keypoint, and whether it is visible there: int64 [P, K] both.

    Args:
        keypoints: [P, K, 3] in pixels of the image, with visibility.
        rois: boxes, xyxy [P, 4].
        heatmap_size: number of cells per row and column.
    """
    corner, extent = rois[:, None, :2], (rois[:, 2:] - rois[:, :2])[:, None]
    xy = keypoints[..., :2]
    cell = ((xy - corner) * (heatmap_size / extent)).floor().long()
    cell = torch.where(xy == rois[:, None, 2:], heatmap_size - 1, cell)  # the border is in the last cell
    valid = (((cell >= 0) & (cell < heatmap_size)).all(2) & (keypoints[..., 2] > 0)).long()
    return (cell[..., 1] * heatmap_size + cell[..., 0]) * valid, valid


def keypoints_of(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The peak of every heat map, enlarged to its box.

    The maps are enlarged bicubically to integer sizes, rows and columns separately, by matrix products, for groups of
    boxes of similar size, limited by memory. The grouping depends on values, so in a captured graph this is one opaque
    operator.

    Args:
        logits: [D, K, S, S], one row per box.
        boxes: xyxy [D, 4].

    Raises:
        InvalidArgument: called in the tracing ONNX exporter.

    Returns:
        [D, K, 3], x and y in pixels of the image, and 1; and the logits at the peaks, [D, K].
    """
    if torch.jit.is_tracing() and torch.onnx.is_in_onnx_export():  # type: ignore[attr-defined, no-untyped-call]
        raise InvalidArgument(
            "torch.onnx.export(…, dynamo=False) cannot write the peaks of heat maps, whose sizes depend on values: use "
            "zoo.export(model, path, image_size=…), or zoo export on the command line."
        )
    return (_keypoints_op if torch.compiler.is_compiling() else _keypoints_of)(logits, boxes)


def heatmaps_to_keypoints(maps: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`keypoints_of` with torchvision's signature."""
    return keypoints_of(maps, rois)


@exact
def _keypoints_of(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    n, k, cells, _ = logits.shape
    if not n:  # torch cannot pad empty tensors
        return logits.new_zeros(0, k, 3), logits.new_zeros(0, k)
    sizes = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)  # width, height
    whole = sizes.ceil()
    found, scores = logits.new_ones(n, k, 3), logits.new_zeros(n, k)
    padded = F.pad(logits.flatten(0, 1)[None], (2, 2, 2, 2), mode="replicate")[0].view(n, k, cells + 4, cells + 4)
    for part in _groups(whole, k):
        width, height = whole[part].unbind(1)
        x, y = _interpolation(width, cells).to(logits), _interpolation(height, cells).to(logits)
        enlarged = y[:, None] @ (padded[part] @ x[:, None].transpose(2, 3))  # [G, K, height, width]
        beyond = _beyond(height)[:, None, :, None] | _beyond(width)[:, None, None, :]
        peak, position = enlarged.masked_fill_(beyond, -torch.inf).flatten(2).max(2)
        row, column = position // x.shape[1], position % x.shape[1]
        xy = torch.stack([column, row], dim=2) + 0.5
        found[part, :, :2] = xy * (sizes[part] / whole[part])[:, None] + boxes[part, None, :2]
        scores[part] = peak
    return found, scores


@torch.library.custom_op("zoo_detection::keypoints_of", mutates_args=())
def _keypoints_op(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    return _keypoints_of(logits, boxes)


@_keypoints_op.register_fake
def _(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    n, k = logits.shape[:2]
    return logits.new_empty(n, k, 3), logits.new_empty(n, k)


def _groups(sizes: Tensor, maps: int) -> list[Tensor]:
    """Indices of boxes of ``sizes`` [D, 2], in groups of similar size that are computed at once."""
    order = sizes.prod(1).argsort(descending=True)
    groups: list[list[int]] = []
    width = height = 0.0
    for index, (w, h) in zip(order.tolist(), sizes[order].tolist(), strict=True):
        width, height = max(width, w), max(height, h)
        wasted = groups and 4 * w * h < width * height  # most of the work would be outside the box
        if not groups or wasted or (len(groups[-1]) + 1) * maps * width * height > PIXELS:
            groups.append([])
            width, height = w, h
        groups[-1].append(index)
    return [torch.tensor(group, device=sizes.device) for group in groups]


def _beyond(sizes: Tensor) -> Tensor:
    """bool [G, largest]: whether a pixel is outside its box."""
    return torch.arange(int(sizes.max()), device=sizes.device) >= sizes[:, None]


def _interpolation(sizes: Tensor, cells: int) -> Tensor:
    """[G, pixels, cells + 4]: the weight of each cell, including two on either side, when enlarged to ``sizes`` [G]."""
    pixel = torch.arange(int(sizes.max()), device=sizes.device)
    position = (pixel + 0.5) * (cells / sizes[:, None]) - 0.5
    cell = torch.arange(-2, cells + 2, device=sizes.device)
    d = (position[..., None] - cell).abs()
    a = -0.75  # coefficient of the cubic convolution, as in torch
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))
