"""Slow and obvious: what the operators compute, one box, one sample, one pixel at a time."""
# ruff: noqa: A002

from __future__ import annotations

import math

import torch
from torch import Tensor


def iou(a: list[float], b: list[float]) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
    return w * h / union if union else 0.0


def nms(boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor | None = None) -> list[int]:
    order = sorted(range(len(boxes)), key=lambda i: -scores[i].item())
    kept: list[int] = []
    for i in order:
        rivals = [j for j in kept if classes is None or classes[i] == classes[j]]
        if all(iou(boxes[i].tolist(), boxes[j].tolist()) <= threshold for j in rivals):
            kept.append(i)
    return kept


def bilinear(image: Tensor, y: float, x: float) -> Tensor:
    """Of ``[C, H, W]``: the border's value up to a pixel outside, 0 beyond."""
    _, H, W = image.shape
    if not (-1 <= y <= H and -1 <= x <= W):
        return image.new_zeros(len(image))
    y, x = min(max(y, 0.0), H - 1.0), min(max(x, 0.0), W - 1.0)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, H - 1), min(x0 + 1, W - 1)
    top = image[:, y0, x0] * (1 - (x - x0)) + image[:, y0, x1] * (x - x0)
    bottom = image[:, y1, x0] * (1 - (x - x0)) + image[:, y1, x1] * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def roi_align(
    input: Tensor,
    rois: Tensor,
    size: tuple[int, int],
    scale: float,
    samples: int,
    aligned: bool,
    own_channels: bool = False,
) -> Tensor:
    C = input.shape[1] // (size[0] * size[1]) if own_channels else input.shape[1]
    out = input.new_zeros(len(rois), C, *size)
    for k, (n, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned else 0) for v in box)
        h, w = ((y2 - y1), (x2 - x1)) if aligned else (max(y2 - y1, 1.0), max(x2 - x1, 1.0))
        cell_h, cell_w = h / size[0], w / size[1]
        ny = samples if samples > 0 else math.ceil(cell_h)
        nx = samples if samples > 0 else math.ceil(cell_w)
        for i in range(size[0]):
            for j in range(size[1]):
                cell = i * size[1] + j
                image = input[int(n)][cell :: size[0] * size[1]] if own_channels else input[int(n)]
                values = [
                    bilinear(image, y1 + (i + (a + 0.5) / ny) * cell_h, x1 + (j + (b + 0.5) / nx) * cell_w)
                    for a in range(ny)
                    for b in range(nx)
                ]
                if values:
                    out[k, :, i, j] = torch.stack(values).mean(0)
    return out


def _round(v: float) -> int:
    return int(math.copysign(math.floor(abs(v) + 0.5), v))


def roi_pool(input: Tensor, rois: Tensor, size: tuple[int, int], scale: float, own_channels: bool = False) -> Tensor:
    """The maximum, or with ``own_channels`` the mean of each cell's channels."""
    _, C, H, W = input.shape
    C = C // (size[0] * size[1]) if own_channels else C
    out = input.new_zeros(len(rois), C, *size)
    for k, (n, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (_round(v * scale) for v in box)
        h, w = (max(y2 - y1, 1), max(x2 - x1, 1)) if own_channels else (max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1))
        end_y, end_x = (H - 1, W - 1) if own_channels else (H, W)
        for i in range(size[0]):
            for j in range(size[1]):
                top = min(max(math.floor(i * h / size[0]) + y1, 0), end_y)
                bottom = min(max(math.ceil((i + 1) * h / size[0]) + y1, 0), end_y)
                left = min(max(math.floor(j * w / size[1]) + x1, 0), end_x)
                right = min(max(math.ceil((j + 1) * w / size[1]) + x1, 0), end_x)
                cell = i * size[1] + j
                image = input[int(n)][cell :: size[0] * size[1]] if own_channels else input[int(n)]
                window = image[:, top:bottom, left:right].flatten(1)
                if window.shape[1]:
                    out[k, :, i, j] = window.mean(1) if own_channels else window.amax(1)
    return out


def deform_conv2d(
    input: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, dilation: int, mask: Tensor
) -> Tensor:
    N, C, H, W = input.shape
    C_out, C_group, kH, kW = weight.shape
    G = offset.shape[1] // (2 * kH * kW)
    out = bias[None, :, None, None].repeat(N, 1, *offset.shape[2:])
    padded = torch.nn.functional.pad(input, (1, 1, 1, 1))  # zeros outside, reached by interpolation
    for n in range(N):
        for i in range(offset.shape[2]):
            for j in range(offset.shape[3]):
                for c in range(C):
                    for k in range(kH * kW):
                        g = c // (C // G)
                        tap = g * kH * kW + k
                        y = i * stride - padding + (k // kW) * dilation + offset[n, 2 * tap, i, j].item()
                        x = j * stride - padding + (k % kW) * dilation + offset[n, 2 * tap + 1, i, j].item()
                        if not (-1 < y < H and -1 < x < W):
                            continue
                        read = bilinear(padded[n, c : c + 1], y + 1, x + 1)[0] * mask[n, tap, i, j]
                        group = c // C_group
                        members = slice(group * (C_out * C_group // C), (group + 1) * (C_out * C_group // C))
                        out[n, members, i, j] += read * weight[members, c % C_group, k // kW, k % kW]
    return out
