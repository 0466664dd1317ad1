"""Tints and edges of regions, from a plane of owner indices; time and memory do not depend on the number of regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageColor
from torch import Tensor

from zoo.draw.canvas import INK, RGB, edge_width

Plane = NDArray[np.integer[Any]]


def blend(pixels: Tensor, owner: Tensor, colors: Sequence[RGB], opacity: float, *, everywhere: bool = False) -> Tensor:
    """``pixels`` [3, H, W] tinted by the colours of their owners: ``owner`` [H, W] is 0 for none, else 1 + the index of
    the colour. With ``everywhere``, pixels without an owner are mixed with themselves, which rounds some down by
    one."""
    if pixels.dtype == torch.uint8:
        table = np.array([(0, 0, 0), *colors], np.float32)[:, :, None]
        levels = np.arange(256, dtype=np.float32)
        mixed = (levels * np.float32(1 - opacity) + table * np.float32(opacity)).astype(np.uint8)
        mixed[0] = levels * np.float32(1 - opacity) + levels * np.float32(opacity) if everywhere else levels
        places = owner.cpu().numpy().astype(np.intp) * 256
        planes = pixels.cpu().numpy()
        out = np.empty_like(planes)
        for c in range(3):
            np.take(mixed[:, c].ravel(), places + planes[c], out=out[c])
        return torch.from_numpy(out).to(pixels.device)
    base = pixels.float() if pixels.dtype in (torch.float16, torch.bfloat16) else pixels
    colours = torch.tensor([(0, 0, 0), *colors]).to(base) / 255
    layer = colours[owner.long()].movedim(-1, 0)
    under = torch.where(owner > 0, layer, base)
    mixed_all = base * (1 - opacity) + under * opacity
    return (mixed_all if everywhere else torch.where(owner > 0, mixed_all, base)).to(pixels.dtype)


def paint_edges(pixels: Tensor, owner: Plane, colors: Sequence[RGB], width: int) -> None:
    """Draw, in ``pixels`` [3, H, W], the edges of the regions of ``owner`` [H, W]: -1 for none, the lowest index in
    front.

    ``width`` pixels along the inside of a region have its full colour. Around it is a dark line, which does not cover
    regions in front.
    """
    kind = np.int16 if len(colors) < np.iinfo(np.int16).max else np.int32
    front = np.where(owner < 0, np.iinfo(kind).max, owner).astype(kind)
    least = slide(front, width, np.minimum)
    inside = (owner >= 0) & ((least < front) | (slide(front, width, np.maximum) > front))
    put(pixels, inside, np.array(colors, np.uint8)[owner[inside]])
    dark = edge_width(width)
    put(pixels, (least if dark == width else slide(front, dark, np.minimum)) < front, ImageColor.getrgb(INK))


def slide(plane: NDArray[Any], radius: int, function: np.ufunc) -> NDArray[Any]:
    """The minimum or maximum in a square of ``2 * radius + 1`` pixels around each pixel, for ``function`` np.minimum or
    np.maximum; pixels beyond the border are ignored."""
    for axis in (0, 1):
        runs = []
        for sign in (1, -1):
            run, reach = plane, 0  # of a pixel and the ``reach`` pixels after it, or before it
            while reach < radius:
                step = min(reach + 1, radius - reach)
                run = _with_shifted(run, sign * step, axis, function)
                reach += step
            runs.append(run)
        plane = function(*runs)
    return plane


def _with_shifted(plane: NDArray[Any], by: int, axis: int, function: np.ufunc) -> NDArray[Any]:
    """Each pixel combined with the one ``by`` places after it, if there is one."""
    out = plane.copy()
    if abs(by) < plane.shape[axis]:
        here, there = slice(None, -by) if by > 0 else slice(-by, None), slice(by, None) if by > 0 else slice(None, by)
        at = (here, slice(None)) if axis == 0 else (slice(None), here)
        from_ = (there, slice(None)) if axis == 0 else (slice(None), there)
        function(plane[at], plane[from_], out=out[at])
    return out


def put(pixels: Tensor, where: NDArray[np.bool_], colours: Any) -> None:
    """Set the pixels of [3, H, W] selected by ``where`` [H, W] to a colour, or to N colours [N, 3]; from 0 to 255."""
    values = np.asarray(colours, np.uint8).T
    if pixels.dtype == torch.uint8 and pixels.device.type == "cpu":
        for plane, value in zip(pixels.numpy(), values, strict=True):
            plane[where] = value
        return
    given = torch.from_numpy(values.reshape(3, -1).copy()).to(pixels.device)
    given = given if pixels.dtype == torch.uint8 else (given / 255).to(pixels.dtype)
    pixels[:, torch.from_numpy(where).to(pixels.device)] = given
