"""Masks of boxes, M × M each, and masks of full images."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from zoo.errors import InvalidArgument

P = ParamSpec("P")
R = TypeVar("R")

CHUNK = 1 << 24  # pixels of image masks that are computed at once, in addition to the result


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run ``function`` without autocast, so that matrix products that move pixels are exact."""

    @functools.wraps(function)
    def without_autocast(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(arg for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor)).device
        if not torch.is_autocast_enabled(device.type):
            return function(*args, **kwargs)
        with torch.autocast(device.type, enabled=False):
            return function(*args, **kwargs)

    return without_autocast


@exact
def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int], chunk: int = CHUNK) -> Tensor:
    """Masks [N, 1, M, M] that fill their xyxy boxes [N, 4] → masks [N, 1, H, W] of an image of ``size`` (H, W).

    Every mask gets a border of zeros, is enlarged bilinearly to its box in integer pixels, and is zero outside. Rows
    and columns are interpolated separately, each by a matrix product, so that all masks are computed at once.
    """
    n, cells = masks.shape[0], masks.shape[-1]
    height, width = size
    first, last = _edges(boxes, cells)
    padded = torch.nn.functional.pad(masks[:, 0], (1, 1, 1, 1))

    def part(which: slice) -> Tensor:
        x = _interpolation(first[which, 0], last[which, 0], width, cells + 2).to(masks)
        y = _interpolation(first[which, 1], last[which, 1], height, cells + 2).to(masks)
        return y @ (padded[which] @ x.transpose(1, 2))

    graph = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
    step = 1 if graph else max(1, chunk // max(1, height * width))
    if graph or n <= step:
        # In a graph, writing to a slice would copy the complete tensor.
        return part(slice(None))[:, None]
    pasted = masks.new_empty(n, 1, height, width)
    for start in range(0, n, step):
        pasted[start : start + step, 0] = part(slice(start, start + step))
    return pasted


def _edges(boxes: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """First and last pixels, [N, 2] each, of masks with a border of one of their ``cells`` around boxes [N, 4]."""
    centres, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half * ((cells + 2) / cells)  # the border is outside the box
    first, last = (edge.sign() * edge.abs().floor() for edge in (centres - half, centres + half))  # old ONNX: no trunc
    return first, last


@exact
def paste_mask_window(mask: Tensor, box: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """:func:`paste_masks` for a mask [M, M] and a box [4], without the zeros around it: the mask's part of the picture,
    [h, w], and its row and column."""
    cells = mask.shape[-1]
    first, last = _edges(box[None], cells)
    spans = []
    for axis, pixels in ((1, size[0]), (0, size[1])):
        start = min(max(int(first[0, axis]), 0), pixels)
        end = min(max(int(last[0, axis]) + 1, start + 1), pixels)
        rows = _interpolation(first[:, axis] - start, last[:, axis] - start, end - start, cells + 2)
        spans.append((start, rows.to(mask)[0]))
    (top, y), (left, x) = spans
    return y @ (torch.nn.functional.pad(mask, (1, 1, 1, 1)) @ x.T), (top, left)


def paste_masks_in_image(masks: Tensor, boxes: Tensor, img_shape: tuple[int, int], padding: int = 1) -> Tensor:
    """:func:`paste_masks` with torchvision's signature; the border is always one cell.

    Raises:
        InvalidArgument: ``padding`` is not 1.
    """
    if padding != 1:
        raise InvalidArgument(f"padding is {padding!r}; expected 1, the width of the border.")
    return paste_masks(masks, boxes, img_shape)


def expand_boxes(boxes: Tensor, scale: float) -> Tensor:
    """Boxes [N, 4] that are ``scale`` times as wide and high, about their centres."""
    centres, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
    return torch.cat([centres - half, centres + half], dim=1)


def expand_masks(mask: Tensor, padding: int) -> tuple[Tensor, float]:
    """Masks [N, 1, M, M] with a border of zeros, and the factor by which they grew."""
    cells = mask.shape[-1]
    return torch.nn.functional.pad(mask, (padding,) * 4), (cells + 2 * padding) / cells


def paste_mask_in_image(mask: Tensor, box: Tensor, im_h: int, im_w: int) -> Tensor:
    """A mask [M, M] that fills its box [4], integers that include the last row and column → the mask
    [im_h, im_w] of an image."""
    edges = box[None].to(mask)
    x = _interpolation(edges[:, 0], edges[:, 2], im_w, mask.shape[-1]).to(mask)[0]
    y = _interpolation(edges[:, 1], edges[:, 3], im_h, mask.shape[-2]).to(mask)[0]
    return y @ mask @ x.T


def _interpolation(first: Tensor, last: Tensor, pixels: int, cells: int) -> Tensor:
    """[N, pixels, cells]: the weight of every cell in every pixel, for cells that span ``first`` to ``last`` [N]."""
    pixel = torch.arange(pixels, device=first.device, dtype=first.dtype)
    size = (last - first + 1).clamp(min=1)
    position = (pixel - first[:, None] + 0.5) * (cells / size[:, None]) - 0.5
    inside = (pixel >= first[:, None]) & (pixel < (first + size)[:, None])
    cell = torch.arange(cells, device=first.device, dtype=first.dtype)
    weights = (1 - (position.clamp(0, cells - 1)[..., None] - cell).abs()).clamp(min=0)
    return weights * inside[..., None]
