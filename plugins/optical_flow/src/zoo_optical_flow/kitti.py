"""KITTI's flow files: PNGs of three channels of 16 bits, flow to the right, down, and whether it is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.errors import UnreadableFile

ZERO, STEPS = 2**15, 64  # the number that stands for no motion, and how many there are to a pixel
HIGH, LOW = "RGB;16B", "RGB;16L"  # which byte of each number Pillow keeps when it reads 16 bits as 8


def read_kitti_flow(path: str | os.PathLike[str]) -> tuple[Tensor, Tensor]:
    """The flow in a PNG of `KITTI's <https://www.cvlibs.net/publications/Menze2015CVPR.pdf>`_ kind.

    Returns:
        The flow, float32 [2, H, W], in pixels, to the right and down; and where it is known, bool [H, W].

    Raises:
        UnreadableFile: there is no such file, or it is no PNG of three channels of 16 bits.
    """
    high, low = (_bytes(Path(path), which) for which in (HIGH, LOW))
    right, down, known = (high.astype(np.int32) * 256 + low).transpose(2, 0, 1)
    flow = (np.stack([right, down]).astype(np.float32) - ZERO) / STEPS
    return torch.from_numpy(flow), torch.from_numpy(known > 0)


def _bytes(path: Path, which: str) -> np.ndarray:
    """One byte of each number, uint8 [H, W, 3]: Pillow has no pictures of three times 16 bits."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            decoder, area, offset, mode = picture.tile[0]
            if mode == HIGH:
                cast(Any, picture).tile = [(decoder, area, offset, which)]
                return np.asarray(picture)
    except Exception as e:  # the decoder of a broken file may raise anything
        raise UnreadableFile(f"{str(path)!r} cannot be read as a PNG: {str(e) or type(e).__name__}") from e
    raise UnreadableFile(f"{str(path)!r} is no KITTI flow: its pixels are {mode}, expected three numbers of 16 bits.")
