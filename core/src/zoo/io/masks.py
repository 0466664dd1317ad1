"""Masks as run lengths, in the formats of COCO's files, which ``pycocotools`` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import InvalidArgument


def run_lengths(mask: Tensor, size: tuple[int, int] | None = None, offset: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """A mask as COCO's uncompressed run lengths: ``{"size": [height, width], "counts": [zeros, ones, zeros, …]}``,
    column by column.

    Args:
        mask: bool [h, w], for a picture or a part of it.
        size: height and width of the picture; by default the mask's.
        offset: row and column of the mask in the picture; pixels around it are zero.

    Raises:
        InvalidArgument: the mask is not bool [h, w], or not inside the picture.
    """
    if mask.dtype != torch.bool or mask.ndim != 2:
        raise InvalidArgument(f"mask is {mask.dtype} of the shape {list(mask.shape)}; expected bool [height, width].")
    height, width = size if size is not None else tuple(mask.shape)
    top, left = offset
    if top < 0 or left < 0 or top + mask.shape[0] > height or left + mask.shape[1] > width:
        raise InvalidArgument(
            f"mask is {list(mask.shape)} at {[top, left]}; expected it inside a picture of {[height, width]}."
        )
    columns = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    columns[:, 1:-1] = mask.cpu().numpy().T
    steps = np.diff(columns, axis=1)
    # Start and end of runs of ones, counted column by column; runs that touch across columns are merged.
    begins, ends = ((left + x) * height + top + y for x, y in (np.nonzero(steps == 1), np.nonzero(steps == -1)))
    apart = begins[1:] != ends[:-1]
    begins, ends = begins[np.r_[True, apart][: len(begins)]], ends[np.r_[apart, True][: len(ends)]]
    bounds = np.stack([begins, ends], 1).ravel()
    counts = np.diff(bounds, prepend=0, append=height * width)
    last = len(counts) - (len(bounds) > 0 and counts[-1] == 0)
    return {"size": [height, width], "counts": counts[:last].tolist()}


def compress(counts: Sequence[int]) -> str:
    """COCO's compressed run lengths: from the fourth on, the difference to the last but one, signed, with five bits per
    character from the lowest; a sixth bit means that more follow."""
    numbers = np.asarray(counts, np.int64)
    rest = numbers.copy()
    rest[3:] -= numbers[1:-2]
    characters, used = [], []
    more = np.ones(len(rest), bool)
    while more.any():
        bits, rest = rest & 31, rest >> 5
        used.append(more)
        more = more & (rest != np.where(bits & 16, -1, 0))
        characters.append(48 + bits + 32 * more)
    if not characters:
        return ""
    text: NDArray[np.int64] = np.stack(characters, 1)[np.stack(used, 1)]
    return text.astype(np.uint8).tobytes().decode("ascii")


def expand(text: str) -> list[int]:
    """The numbers from a text of :func:`compress`.

    Raises:
        InvalidArgument: it is not such a text.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise InvalidArgument(f"The run lengths contain the invalid character {character!r}.")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift or any(n < 0 for n in counts):
        raise InvalidArgument("The run lengths are truncated or damaged.")
    return counts


def encode_mask(mask: Tensor, size: tuple[int, int] | None = None, offset: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """:func:`run_lengths` with ``counts`` compressed to a text, as in COCO's result files."""
    runs = run_lengths(mask, size, offset)
    return {**runs, "counts": compress(runs["counts"])}


def decode_mask(runs: Mapping[str, Any]) -> Tensor:
    """Run lengths, compressed or not → the mask, bool [height, width].

    Raises:
        InvalidArgument: their sum is not the number of pixels of ``size``.
    """
    try:
        height, width = (int(side) for side in runs["size"])
        given = runs["counts"]
    except (KeyError, TypeError, ValueError) as e:
        raise InvalidArgument(
            f"{runs!r} are not run lengths; expected {{'size': [height, width], 'counts': …}}."
        ) from e
    counts = expand(given) if isinstance(given, str) else list(given)
    if min(height, width) < 0 or any(n < 0 for n in counts) or sum(counts) != height * width:
        raise InvalidArgument(f"The run lengths have {sum(counts)} pixels; expected {height} × {width}.")
    values = np.arange(len(counts)) % 2 == 1
    return torch.from_numpy(np.repeat(values, counts).reshape(width, height).T.copy())
