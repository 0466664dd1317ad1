"""Non-maximum suppression: by hand, against a loop over boxes, by its defining properties, and at its limits."""

from __future__ import annotations

import math

import pytest
import torch
from core.ops import reference
from core.ops.memory import peak_allocated
from hypothesis import given, settings, strategies as st
from torch import Tensor

import zoo.ops as ops
from zoo.errors import InvalidArgument
from zoo.ops.suppression import _rounded_down, _rows, _strike, _sweep


def scattered(n: int, size: float = 100, least: float = 2, most: float = 20) -> tuple[Tensor, Tensor]:
    corner = torch.rand(n, 2) * size
    return torch.cat([corner, corner + least + torch.rand(n, 2) * (most - least)], 1), torch.rand(n)


def crowded(n: int, places: int) -> tuple[Tensor, Tensor]:
    objects, _ = scattered(places, least=10)
    return objects[torch.randint(0, places, (n,))] + torch.randn(n, 4) * 0.5, torch.rand(n)


def test_by_hand(device: str) -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 10, 5]], device=device)
    scores = torch.tensor([0.8, 0.9, 0.1, 0.7], device=device)
    # 1 and 0 share 90 of 110; 3 shares 45 of 105 with 1, and half of 0.
    assert ops.nms(boxes, scores, 0.5).tolist() == [1, 3, 2]
    assert ops.nms(boxes, scores, 0.4).tolist() == [1, 2]
    assert ops.nms(boxes, scores, 0.9).tolist() == [1, 0, 3, 2]
    classes = torch.tensor([7, 3, 3, 7], device=device)
    assert ops.batched_nms(boxes, scores, classes, 0.49).tolist() == [1, 0, 2]
    assert ops.nms_padded(boxes, scores, 0.5, 5).tolist() == [1, 3, 2, -1, -1]
    assert ops.nms_padded(boxes, scores, 0.5, 2).tolist() == [1, 3]
    assert ops.nms_padded(boxes, scores, 0.49, 4, classes).tolist() == [1, 0, 2, -1]
    valid = torch.arange(len(boxes), device=device) != 1
    assert ops.nms_padded(boxes, scores, 0.49, 4, classes, valid).tolist() == [0, 2, -1, -1]
    assert ops.nms_padded(boxes, scores, 0.49, 2, None, valid & False).tolist() == [-1, -1]


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7])
@pytest.mark.parametrize(
    "made", [lambda: scattered(400), lambda: crowded(400, 8), lambda: scattered(400, least=60, most=90)]
)
def test_equals_a_loop_over_boxes(made: object, threshold: float, device: str) -> None:
    boxes, scores = made()  # type: ignore[operator]
    classes = torch.randint(0, 5, (len(boxes),))
    kept = ops.nms(boxes.to(device), scores.to(device), threshold)
    assert kept.tolist() == reference.nms(boxes, scores, threshold)
    kept = ops.batched_nms(boxes.to(device), scores.to(device), classes.to(device), threshold)
    assert kept.tolist() == reference.nms(boxes, scores, threshold, classes)


@pytest.mark.parametrize("n", [1, 31, 33, 255, 257, 1025, 3000])
def test_sweeping_equals_striking(n: int) -> None:
    boxes, scores = scattered(n, size=500)
    classes = torch.randint(0, 3, (n,))
    order = scores.argsort(descending=True)
    for by_class in (False, True):
        rows = _rows(boxes[order], classes[order] if by_class else None)
        space = rows.new_empty(4 << 16)
        waiting, struck = torch.arange(n), []
        while len(waiting):
            kept, waiting = _strike(rows, 0.4, waiting, by_class, space)
            struck.append(kept)
        swept = _sweep(rows, 0.4, by_class, space)
        if n > 1000:
            assert swept is not None, "this many scattered boxes use the sweep"
        assert swept is None or torch.equal(swept, torch.cat(struck))


def test_ties_keep_the_order_of_the_input(device: str) -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 3 + [[50, 0, 60, 10]] * 3, device=device)
    scores = torch.ones(6, device=device)
    assert ops.nms(boxes, scores, 0.5).tolist() == [0, 3]
    assert ops.nms(boxes, scores, 1.0).tolist() == [0, 1, 2, 3, 4, 5]
    assert ops.batched_nms(boxes, scores, torch.tensor([1, 0, 1, 1, 0, 0], device=device), 0.5).tolist() == [0, 1, 3, 4]


def test_nan_scores_come_last() -> None:
    boxes, _ = scattered(5, size=1000, most=3)
    scores = torch.tensor([math.nan, 0.5, math.inf, math.nan, -1e30])
    assert ops.nms(boxes, scores, 0.5).tolist() == [2, 1, 4, 0, 3]
    same = boxes[:1].expand(5, 4)
    assert ops.nms(same, scores, 0.5).tolist() == [2]


def test_thresholds_at_and_beyond_their_limits() -> None:
    touching = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1], [0, 0, 1, 1], [0.5, 0, 1.5, 1]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert ops.nms(touching, scores, 1.0).tolist() == [0, 1, 2, 3]
    assert ops.nms(touching, scores, 7.0).tolist() == [0, 1, 2, 3]
    assert ops.nms(touching, scores, 0.0).tolist() == [0, 1]  # an edge has no area
    assert ops.nms(touching, scores, -0.5).tolist() == [0]
    assert ops.batched_nms(touching, scores, torch.tensor([0, 0, 1, 1]), -3.0).tolist() == [0, 2]
    with pytest.raises(InvalidArgument, match="nan"):
        ops.nms(touching, scores, math.nan)


def test_an_overlap_of_exactly_the_threshold() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])
    assert ops.nms(boxes, torch.tensor([1.0, 0.5]), 0.5).tolist() == [0, 1]
    # The threshold is not rounded to the type of the boxes: 3/10 in float32 is more than 0.3, 7/10 is less than 0.7.
    for threshold in (0.3, 0.7):
        rounded = _rounded_down(threshold, torch.float32)
        assert rounded <= threshold < torch.nextafter(torch.tensor(rounded), torch.tensor(1.0)).item()


def test_degenerate_boxes_neither_drop_nor_are_dropped() -> None:
    boxes = torch.tensor(
        [
            [5.0, 5, 5, 5],
            [5, 5, 5, 5],
            [0, 0, 10, 10],
            [8, 8, 2, 2],
            [0, 0, math.inf, 5],
            [math.nan, 0, 1, 1],
            [0, 0, 10, 9],
        ]
    )
    scores = torch.arange(7.0, 0, -1)
    for padding in (0, 3000):  # among few and among many
        others, low = scattered(padding, size=5000, most=3)
        kept = ops.nms(torch.cat([boxes, others + 100]), torch.cat([scores, low]), 0.5)
        assert kept[:6].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_still_suppresses(dtype: torch.dtype) -> None:
    boxes = torch.tensor([[0, 0, 1024, 1024], [0, 0, 1024, 1000], [0, 0, 64, 64]], dtype=dtype)
    scores = torch.tensor([0.5, 0.75, 0.25], dtype=dtype)
    assert ops.nms(boxes, scores, 0.5).tolist() == [1, 2]


def test_classes_never_overflow() -> None:
    boxes = torch.tensor([[0, 0, 60000, 60000], [0, 0, 60000, 50000], [3, 3, 9, 9], [3, 3, 9, 8]], dtype=torch.float16)
    far = torch.tensor([10**12, 10**12, -(10**12), 10**12 + 1])
    assert ops.batched_nms(boxes, torch.tensor([4.0, 3, 2, 1]), far, 0.5).tolist() == [0, 2, 3]


def test_no_boxes(device: str) -> None:
    none, scores = torch.zeros(0, 4, device=device), torch.zeros(0, device=device)
    for kept in (ops.nms(none, scores, 0.5), ops.batched_nms(none, scores, scores.long(), 0.5)):
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64
    assert ops.nms_padded(none, scores, 0.5, 3).tolist() == [-1, -1, -1]


def test_bad_arguments_are_named() -> None:
    boxes, scores = scattered(4)
    with pytest.raises(InvalidArgument, match=r"\[4, 5\]"):
        ops.nms(torch.zeros(4, 5), scores, 0.5)
    with pytest.raises(InvalidArgument, match=r"\[4, 4\], \[3\]"):
        ops.nms(boxes, scores[:3], 0.5)
    with pytest.raises(InvalidArgument, match=r"int64.*float32"):
        ops.nms(boxes.long(), scores, 0.5)
    with pytest.raises(InvalidArgument, match="idxs"):
        ops.batched_nms(boxes, scores, torch.zeros(5), 0.5)
    with pytest.raises(InvalidArgument, match="cpu and meta"):
        ops.nms(boxes, scores.to("meta"), 0.5)
    with pytest.raises(InvalidArgument, match="nms_padded"):
        ops.nms(boxes.to("meta"), scores.to("meta"), 0.5)
    with pytest.raises(InvalidArgument, match="-1"):
        ops.nms_padded(boxes, scores, 0.5, -1)
    with pytest.raises(InvalidArgument, match=r"valid must be torch\.bool of the shape \[4\], but got torch\.int64"):
        ops.nms_padded(boxes, scores, 0.5, 3, valid=torch.ones(4, dtype=torch.int64))


grid = st.integers(0, 12)
cases = st.lists(
    st.tuples(grid, grid, st.integers(0, 6), st.integers(0, 6), st.integers(0, 50), st.integers(0, 2)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(cases, st.sampled_from([0.0, 0.1, 0.3, 0.5, 2 / 3, 0.9]), st.randoms(use_true_random=False))
def test_what_defines_it(case: list, threshold: float, random: object) -> None:
    numbers = torch.tensor(case, dtype=torch.float32)
    boxes, scores = ops.box_convert(numbers[:, :4], "xywh", "xyxy"), numbers[:, 4] + torch.arange(len(case)) * 1e-3
    classes = numbers[:, 5].long()
    kept = ops.batched_nms(boxes, scores, classes, threshold)
    overlap = (ops.box_iou(boxes, boxes).double() > threshold) & (classes[:, None] == classes)
    among = overlap[kept][:, kept].fill_diagonal_(False)
    assert not among.any(), "kept boxes do not overlap above the threshold"
    assert (scores[kept].diff() <= 0).all(), "from the best down"
    for i in set(range(len(case))) - set(kept.tolist()):
        assert any(overlap[i, j] and scores[j] >= scores[i] for j in kept), "a dropped box overlaps a better kept one"
    again = ops.batched_nms(boxes[kept], scores[kept], classes[kept], threshold)
    assert again.tolist() == list(range(len(kept))), "idempotent"
    shuffled = torch.randperm(len(case), generator=torch.Generator().manual_seed(random.randint(0, 99)))  # type: ignore[attr-defined]
    same = shuffled[ops.batched_nms(boxes[shuffled], scores[shuffled], classes[shuffled], threshold)]
    assert same.tolist() == kept.tolist(), "the order of the input does not matter"


@pytest.mark.parametrize("made", [lambda: scattered(100_000, size=3000), lambda: crowded(100_000, 50)])
def test_100_000_boxes_in_300_megabytes(made: object) -> None:
    boxes, scores = made()  # type: ignore[operator]
    assert 1e6 < peak_allocated(lambda: ops.nms(boxes, scores, 0.5)) < 300e6


def test_gradients_flow_through_what_was_kept() -> None:
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 5.0], [9.0, 9.0, 12.0, 12.0]], requires_grad=True)
    kept = ops.nms(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.5)
    boxes[kept].sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.sum(1).tolist() == [0.0, 4.0, 4.0]


def test_small_integer_classes_are_kept_apart() -> None:
    boxes, scores = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).expand(3, 4), torch.tensor([0.9, 0.8, 0.7])
    for dtype in (torch.uint8, torch.uint16, torch.int64):
        assert ops.batched_nms(boxes, scores, torch.tensor([200, 7, 200], dtype=dtype), 0.5).tolist() == [0, 1]
