"""KITTI's flow files: PNGs of three channels of 16 bits, flow to the right, down, and whether it is known."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from zoo.errors import UnreadableFile
from zoo.io import load_image, opened

ZERO, STEPS = 2**15, 64  # the number that stands for no motion, and how many there are to a pixel


def read_kitti_flow(path: str | os.PathLike[str]) -> tuple[Tensor, Tensor]:
    """The flow in a PNG of `KITTI's <https://www.cvlibs.net/publications/Menze2015CVPR.pdf>`_ kind.

    Returns:
        The flow, float32 [2, H, W], in pixels, to the right and down; and where it is known, bool [H, W].

    Raises:
        UnreadableFile: there is no such file, or it is no PNG of three channels of 16 bits.
    """
    try:
        numbers = load_image(path, "UNCHANGED", apply_exif_orientation=False)
        with opened(path) as picture:
            mode = picture.mode
    except UnreadableFile as e:
        raise UnreadableFile(f"{str(path)!r} cannot be read as a PNG: {e}") from e
    if numbers.dtype != torch.uint16 or len(numbers) != 3:
        pixels = f"its pixels are {mode}, expected three numbers of 16 bits"
        raise UnreadableFile(f"{str(path)!r} is no KITTI flow: {pixels}.")
    right, down, known = numbers.int()
    return (torch.stack([right, down]).float() - ZERO) / STEPS, known > 0
