"""Middlebury's ``.flo`` files: optical flow as numbers, one pair per pixel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InvalidArgument, UnreadableFile

TAG = b"PIEH"  # 202021.25 as a little-endian float32, which readers use to check the byte order
LARGEST = 2**28  # pixels; a header with more is damaged


def read_flo(path: str | os.PathLike[str]) -> Tensor:
    """The flow in a ``.flo`` file: float32 [2, H, W], in pixels, to the right and down.

    Unknown flow is stored as numbers above 1e9 in Middlebury's files; they are kept.

    Raises:
        UnreadableFile: the file does not exist, has another format, is truncated, or is a device or a pipe.
    """
    content, (height, width) = _read(Path(path), None)
    flow = np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2)
    return torch.from_numpy(flow.astype(np.float32)).permute(2, 0, 1).contiguous()


def flo_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of a ``.flo`` file; only the header is read.

    Raises:
        UnreadableFile: as in :func:`read_flo`.
    """
    return _read(Path(path), 12)[1]


def _read(file: Path, count: int | None) -> tuple[bytes, tuple[int, int]]:
    """The first ``count`` bytes of the file, or all, and the height and width in its header."""
    try:
        if not file.is_file() and file.exists():
            raise OSError("it is not a file")
        with file.open("rb") as f:
            content = f.read(count)
            size = f.seek(0, os.SEEK_END)
    except OSError as e:
        raise UnreadableFile(f"{str(file)!r} cannot be read: {e.strerror or e}.") from e
    if content[:4] != TAG or len(content) < 12:
        raise UnreadableFile(f"{str(file)!r} is not a .flo file: it begins with {content[:4]!r}, expected {TAG!r}.")
    width, height = (int(n) for n in np.frombuffer(content, "<i4", 2, offset=4))
    if width < 1 or height < 1 or width * height > LARGEST or size != 12 + 8 * width * height:
        raise UnreadableFile(
            f"{str(file)!r} is damaged or truncated: its header states {width} × {height} pixels, which need "
            f"{12 + 8 * width * height} bytes, but it has {size}."
        )
    return content, (height, width)


def write_flo(flow: Tensor, path: str | os.PathLike[str]) -> None:
    """Write ``flow`` [2, H, W] as a ``.flo`` file, in single precision, replacing an existing file.

    Raises:
        InvalidArgument: the shape is another, or has no pixel.
    """
    if flow.ndim != 3 or flow.shape[0] != 2 or not flow.numel():
        raise InvalidArgument(f"the flow has shape {list(flow.shape)}; expected [2, H, W] with at least one pixel.")
    _, height, width = flow.shape
    numbers = flow.detach().cpu().float().permute(1, 2, 0).contiguous().numpy().astype("<f4")
    Path(path).write_bytes(TAG + np.array([width, height], "<i4").tobytes() + numbers.tobytes())
