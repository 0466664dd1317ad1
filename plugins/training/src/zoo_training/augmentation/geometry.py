"""Flipping, resizing and cropping of an input together with its target; and random generators."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Target = dict[str, Any]
Transform = Callable[[Any, Target, Generator], tuple[Any, Target]]
PER_OBJECT = ("boxes", "labels", "masks", "keypoints", "area", "iscrowd")
PERSON_SIDES = tuple((i, i + 1) for i in range(1, 17, 2))  # left and right of COCO's 17 keypoints
FILL = 114  # fill value outside a picture, near the mean of natural pictures


def generator_of(seed: int, epoch: int, index: int) -> Generator:
    """The generator of an example in an epoch: independent of the process and of other random numbers."""
    number = hashlib.blake2b(f"{seed} {epoch} {index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(number, "little") >> 1)


def uniform(low: float, high: float, generator: Generator) -> float:
    """A random number between ``low`` and ``high``."""
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def size_of(example: Any) -> tuple[int, int]:
    """Height and width of an input: a picture, a video, or a pair of frames."""
    first = example[0] if isinstance(example, tuple) else example
    return first.shape[-2], first.shape[-1]


def each(example: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return tuple(map(change, example)) if isinstance(example, tuple) else change(example)


def _resampled(x: Tensor, size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Resize [..., H, W]; the dtype is kept."""
    flat = x.reshape(1, -1, *x.shape[-2:]).to(torch.float32)
    smooth = {"antialias": True, "align_corners": False} if mode == "bilinear" else {}
    out = F.interpolate(flat, size, mode=mode, **smooth).reshape(*x.shape[:-2], *size)
    return out if x.is_floating_point() else out.round().clamp(*_range(x.dtype)).to(x.dtype)


def _range(dtype: torch.dtype) -> tuple[float, float]:
    return (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)


def flipped(example: Any, target: Target, sides: Sequence[tuple[int, int]] | None = None) -> tuple[Any, Target]:
    """Flip horizontally. ``sides`` are pairs of keypoints to swap; by default those of COCO's 17 keypoints."""
    width = size_of(example)[1]
    new = dict(target)
    if "boxes" in new:
        left, top, right, bottom = new["boxes"].unbind(1)
        new["boxes"] = torch.stack([width - right, top, width - left, bottom], 1)
    for key in ("masks", "mask", "valid"):
        if key in new:
            new[key] = new[key].flip(-1)
    if "keypoints" in new:
        points = new["keypoints"].clone()
        points[..., 0] = torch.where(points[..., 2] > 0, width - points[..., 0], points[..., 0])
        order = list(range(points.shape[1]))
        for a, b in sides if sides is not None else PERSON_SIDES if len(order) == 17 else ():
            order[a], order[b] = b, a
        new["keypoints"] = points[:, order]
    if "flow" in new:
        new["flow"] = new["flow"].flip(-1) * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return each(example, lambda x: x.flip(-1)), new


def resized(example: Any, target: Target, height: int, width: int) -> tuple[Any, Target]:
    """Resize; boxes, keypoints, areas and flow are scaled accordingly."""
    h, w = size_of(example)
    x, y = width / w, height / h
    new = dict(target)
    if "boxes" in new:
        new["boxes"] = new["boxes"] * torch.tensor([x, y, x, y])
    if "area" in new:
        new["area"] = new["area"] * (x * y)
    for key in ("masks", "mask", "valid"):
        if key in new:
            new[key] = _nearest(new[key], (height, width))
    if "keypoints" in new:
        new["keypoints"] = new["keypoints"] * torch.tensor([x, y, 1])
    if "flow" in new:
        # If part of the flow is unknown, neighbouring values must not be interpolated.
        whole = bool(target["valid"].all())
        flow = _resampled(new["flow"], (height, width)) if whole else _nearest(new["flow"], (height, width))
        new["flow"] = flow * torch.tensor([x, y]).view(2, 1, 1)
    return each(example, lambda p: _resampled(p, (height, width))), new


def _nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (
        ((torch.arange(new) + 0.5) * old / new).long().clamp(max=old - 1)
        for new, old in zip(size, x.shape[-2:], strict=True)
    )
    return x[..., rows, :][..., columns]


def cropped(
    example: Any, target: Target, top: int, left: int, height: int, width: int, visible: float = 0.0
) -> tuple[Any, Target]:
    """Crop ``height`` × ``width`` from (``top``, ``left``). Outside the picture, the crop is grey, of class 255, and
    without flow. Boxes are clipped, or recomputed from the cropped masks if there are masks. Objects of whose box at
    most the share ``visible`` remains are removed, and keypoints outside become invisible."""
    h, w = size_of(example)
    new = dict(target)
    window = (top, left, height, width)
    if "mask" in new:
        new["mask"] = _window(new["mask"], window, 255)
    if "flow" in new:
        new["flow"], new["valid"] = _window(new["flow"], window, 0), _window(new["valid"], window, False)
    if "boxes" in new:
        old = new["boxes"]
        shift = torch.tensor([left, top, left, top], dtype=old.dtype)
        limit = torch.tensor([min(width, w - left), min(height, h - top)] * 2, dtype=old.dtype)
        least = torch.tensor([max(0, -left), max(0, -top)] * 2, dtype=old.dtype)
        boxes = torch.maximum(torch.minimum(old - shift, limit), least)
        before, after = areas(old), areas(boxes)
        cut = (boxes != old - shift).any(1)
        new["boxes"] = boxes
        share = after / before.clamp(min=1e-9)
        if "area" in new:
            new["area"] = torch.where(cut, new["area"] * share, new["area"])
        if "masks" in new:
            new["masks"] = _window(new["masks"], window, 0)
            for i in cut.nonzero()[:, 0].tolist():
                ys, xs = (new["masks"][i].amax(1).nonzero(), new["masks"][i].amax(0).nonzero())
                if len(ys):
                    edges = [xs[0].item(), ys[0].item(), xs[-1].item() + 1, ys[-1].item() + 1]
                    new["boxes"][i] = torch.tensor(edges, dtype=old.dtype)
                if "area" in new:
                    new["area"][i] = new["masks"][i].sum()
        if "keypoints" in new:
            points = new["keypoints"].clone()
            points[..., :2] -= shift[:2]
            x, y = points[..., 0], points[..., 1]
            outside = (x < least[0]) | (y < least[1]) | (x >= limit[0]) | (y >= limit[1]) | (points[..., 2] == 0)
            points[outside] = 0
            new["keypoints"] = points
        kept = (share > visible) & (after > 0)
        if "masks" in new:
            kept &= new["masks"].bool().flatten(1).any(1)
        new = {key: value[kept] if key in PER_OBJECT else value for key, value in new.items()}
    return each(example, lambda x: _window(x, window, FILL)), new


def _window(x: Tensor, window: tuple[int, int, int, int], fill: float) -> Tensor:
    top, left, height, width = window
    h, w = x.shape[-2:]
    if top >= 0 and left >= 0 and top + height <= h and left + width <= w:
        return x[..., top : top + height, left : left + width].clone()
    whole = x.new_full((*x.shape[:-2], height, width), fill)
    y1, y2, x1, x2 = max(0, top), min(h, top + height), max(0, left), min(w, left + width)
    if y2 > y1 and x2 > x1:
        whole[..., y1 - top : y2 - top, x1 - left : x2 - left] = x[..., y1:y2, x1:x2]
    return whole


def areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
