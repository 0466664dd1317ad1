"""Masks as run lengths: COCO's numbers column by column, its letters, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from zoo.errors import InvalidArgument
from zoo.io import decode_mask, encode_mask, run_lengths
from zoo.io.masks import compress, expand


def test_runs_go_down_the_columns_and_begin_with_zeros() -> None:
    mask = torch.tensor([[0, 1, 1], [0, 0, 1]]).bool()
    assert run_lengths(mask) == {"size": [2, 3], "counts": [2, 1, 1, 2]}
    assert run_lengths(~mask) == {"size": [2, 3], "counts": [0, 2, 1, 1, 2]}
    assert run_lengths(torch.zeros(2, 2).bool())["counts"] == [4]
    assert run_lengths(torch.ones(2, 2).bool())["counts"] == [0, 4]
    assert run_lengths(torch.zeros(0, 4).bool()) == {"size": [0, 4], "counts": [0]}


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (30, 40)])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_masks_come_back_and_parts_are_as_the_whole(size: tuple[int, int], share: float) -> None:
    mask = torch.rand(size, generator=torch.Generator().manual_seed(0)) < share
    for runs in (encode_mask(mask), run_lengths(mask)):
        assert torch.equal(decode_mask(runs), mask)
    whole = torch.zeros(size[0] + 5, size[1] + 3, dtype=torch.bool)
    whole[2 : 2 + size[0], 3:] = mask
    assert run_lengths(mask, tuple(whole.shape), (2, 3)) == run_lengths(whole)


def test_letters_are_cocos() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    generator = torch.Generator().manual_seed(0)
    for share in (0.001, 0.3, 0.9):
        mask = torch.rand(300, 400, generator=generator) < share
        theirs = coco.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        assert encode_mask(mask) == {"size": [300, 400], "counts": theirs["counts"].decode()}


def test_large_numbers_and_differences_below_zero() -> None:
    for counts in ([], [0], [5], [0, 31, 32, 1, 10**7, 3, 2], [7] * 9, [10**9, 1, 10**9, 1]):
        assert expand(compress(counts)) == counts


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({"size": [2, 2], "counts": [5]}, "have 5 pixels; expected 2 × 2"),
        ({"size": [2, 2], "counts": [5, -1]}, "expected 2 × 2"),
        ({"size": [2, 2], "counts": "~"}, "invalid character '~'"),
        ({"size": [2, 2], "counts": "P"}, "truncated"),
        ({"counts": [4]}, "not run lengths"),
        ({"size": 3, "counts": [4]}, "not run lengths"),
    ],
)
def test_what_are_no_run_lengths_is_refused(runs: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        decode_mask(runs)


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="uint8"):
        run_lengths(torch.zeros(2, 2, dtype=torch.uint8))
    with pytest.raises(InvalidArgument, match=r"expected it inside a picture of \[4, 4\]"):
        run_lengths(torch.zeros(2, 2).bool(), (4, 4), (3, 0))
