"""KITTI's flow files: PNGs with three 16-bit channels: flow to the right, flow down, and whether it is known."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import load_image, opened

ZERO, STEPS = 2**15, 64  # the value of no motion, and the number of steps per pixel


def read_kitti_flow(path: str | os.PathLike[str]) -> tuple[Tensor, Tensor]:
    """The flow in a PNG in `KITTI's <https://www.cvlibs.net/publications/Menze2015CVPR.pdf>`_ format.

    Returns:
        The flow, float32 [2, H, W], in pixels, to the right and down; and where it is known, bool [H, W].

    Raises:
        UnreadableFile: the file does not exist, or is not a PNG with three 16-bit channels.
    """
    try:
        numbers = load_image(path, "UNCHANGED", apply_exif_orientation=False)
        with opened(path) as picture:
            mode = picture.mode
    except UnreadableFile as e:
        raise UnreadableFile(f"{str(path)!r} cannot be read as a PNG: {e}") from e
    if numbers.dtype != torch.uint16 or len(numbers) != 3:
        pixels = f"its pixels are {mode}, expected three 16-bit numbers"
        raise UnreadableFile(f"{str(path)!r} is not a KITTI flow: {pixels}.")
    right, down, known = numbers.int()
    return (torch.stack([right, down]).float() - ZERO) / STEPS, known > 0


def write_kitti_flow(flow: Tensor, path: str | os.PathLike[str], known: Tensor | None = None) -> None:
    """Write ``flow`` [2, H, W] as a PNG in KITTI's format, in 64ths of a pixel, replacing an existing file.

    Args:
        flow: floating point, in pixels, to the right and down, from -512 to below 512.
        path: path of the file, with the suffix ``.png``.
        known: bool [H, W], where the flow is known; by default where it is finite and below 1e9, the limit of ``.flo``
            files.

    Raises:
        InvalidArgument: the shape or dtype is another, there is no pixel, or a known flow is outside the format's
            range.
    """
    if flow.ndim != 3 or flow.shape[0] != 2 or not flow.numel() or not flow.is_floating_point():
        raise InvalidArgument(
            f"The flow is {flow.dtype} of shape {list(flow.shape)}; expected floating point [2, H, W], not empty."
        )
    vectors = flow.detach().cpu().double()
    if known is None:
        known = (vectors.abs() < 1e9).all(0)
    if known.dtype != torch.bool or known.shape != flow.shape[1:]:
        raise InvalidArgument(
            f"known is {known.dtype} of shape {list(known.shape)}; expected bool {list(flow.shape[1:])}."
        )
    known = known.cpu()
    steps = (vectors * STEPS + ZERO).round()
    wrong = known & ~((steps >= 0) & (steps < 2**16)).all(0)
    if wrong.any():
        y, x = wrong.nonzero()[0].tolist()
        raise InvalidArgument(
            f"The flow at row {y}, column {x} is {vectors[:, y, x].tolist()}; KITTI's files store -512 to 511.98 "
            "pixels. Write a .flo file, or mark the pixel as unknown with known=."
        )
    numbers = torch.cat([torch.where(known, steps, 0), known[None].double()]).permute(1, 2, 0)
    rows = numbers.numpy().astype(">u2")
    height, width, _ = rows.shape
    lines = np.zeros((height, 1 + 6 * width), np.uint8)  # first byte 0: no PNG filter
    lines[:, 1:] = rows.reshape(height, -1).view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)  # 16-bit RGB, not interlaced
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
