"""The confusion matrix and the losses, compared with values computed by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo_segmentation.losses import cross_entropy, segmentation_loss
from zoo_segmentation.metrics import ConfusionMatrix

#          truth                          prediction
TARGET = torch.tensor([[[0, 0, 1, 255], [0, 1, 1, 255]]])
PREDICTED = torch.tensor([[[0, 1, 1, 2], [0, 1, 0, 0]]])
# Counted: six pixels. Class 0: 2 right, 1 missed, 1 too many: 2 / 4. Class 1: likewise. Class 2 does not occur.


def test_scores_are_those_worked_out_by_hand() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(TARGET, PREDICTED)
    assert matrix.counts.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    scores = matrix.compute()
    assert scores.pixel_acc == pytest.approx(100 * 4 / 6)
    assert scores.iou[:2] == [50.0, 50.0]
    assert math.isnan(scores.iou[2])
    assert scores.miou == 50.0, "a class that neither occurs nor was predicted does not count"

    matrix.update(torch.tensor([2, 2]), torch.tensor([0, 0]))  # now it occurs, and was missed
    assert matrix.compute().iou == pytest.approx([100 * 2 / 6, 50, 0])


def test_nothing_counted_gives_no_score() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(torch.full((4,), 255), torch.zeros(4, dtype=torch.int64))
    assert math.isnan(matrix.compute().miou)
    assert math.isnan(matrix.compute().pixel_acc)


def test_scores_are_exact_however_the_pictures_are_split() -> None:
    generator = torch.Generator().manual_seed(0)
    target, predicted = torch.randint(0, 21, (2, 40, 30, 50), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.1] = 255
    whole, odd, even = ConfusionMatrix(21), ConfusionMatrix(21), ConfusionMatrix(21)
    whole.update(target, predicted)
    for i, (truth, guess) in enumerate(zip(target, predicted, strict=True)):
        (odd if i % 2 else even).update(truth.byte(), guess.to(torch.int32))
    odd.merge(even)
    assert torch.equal(odd.counts, whole.counts)
    assert odd.compute() == whole.compute()
    assert whole.counts.sum() == (target != 255).sum()
    expected = (target == predicted).sum() / (target != 255).sum()
    assert whole.compute().pixel_acc == pytest.approx(100 * expected.item())


def test_several_processes_count_together(tmp_path: Path) -> None:
    code = f"""
import sys, torch, torch.distributed as dist
from zoo_segmentation.metrics import ConfusionMatrix
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://{tmp_path}/meeting", rank=rank, world_size=2)
matrix = ConfusionMatrix(2)
matrix.update(torch.tensor([0, 1, 1]), torch.tensor([0, rank, 1]))
matrix.all_reduce()
assert matrix.counts.tolist() == [[2, 0], [1, 3]], matrix.counts
dist.destroy_process_group()
"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(rank)]) for rank in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]


@pytest.mark.parametrize(
    ("target", "predicted", "message"),
    [
        (torch.zeros(2, 2), torch.zeros(2, 3), "argmax"),
        (torch.tensor([3]), torch.tensor([0]), "target has classes from 3 to 3"),
        (torch.tensor([0]), torch.tensor([-1]), "predicted has classes from -1"),
        (torch.tensor([0]), torch.tensor([0.5]), "float32; expected integers"),
    ],
)
def test_what_cannot_be_counted_is_refused(target: torch.Tensor, predicted: torch.Tensor, message: str) -> None:
    matrix = ConfusionMatrix(3)
    with pytest.raises(InvalidArgument, match=message):
        matrix.update(target.long() if target.ndim == 1 else target, predicted)
    assert matrix.counts.sum() == 0
    with pytest.raises(InvalidArgument, match="of 2 classes into one of 3"):
        matrix.merge(ConfusionMatrix(2))


# ── losses ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cross_entropy_is_the_mean_over_the_pixels_that_count() -> None:
    logits = torch.randn(1, 3, 2, 4, requires_grad=True)
    target = TARGET
    by_hand = [-F.log_softmax(logits[0, :, y, x], 0)[target[0, y, x]] for y in range(2) for x in range(3)]
    loss = cross_entropy(logits, target.byte())
    assert loss.item() == pytest.approx(torch.stack(by_hand).mean().item(), rel=1e-6)
    loss.backward()
    assert (logits.grad[..., 3] == 0).all(), "ignored pixels do not contribute"
    assert (logits.grad[..., :3] != 0).any()


def test_pictures_without_a_pixel_that_counts_cost_nothing() -> None:
    logits = torch.randn(2, 3, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_auxiliary_loss_counts_half() -> None:
    out, aux = torch.randn(2, 1, 3, 2, 4)
    alone = segmentation_loss({"out": out}, TARGET)
    both = segmentation_loss({"out": out, "aux": aux}, TARGET)
    assert alone == cross_entropy(out, TARGET)
    assert both.item() == pytest.approx((alone + 0.5 * cross_entropy(aux, TARGET)).item())
    assert segmentation_loss({"out": out, "aux": aux}, TARGET, aux_weight=0.0) == alone
    with pytest.raises(InvalidArgument, match=r"expected \[N, num_classes, H, W\]"):
        cross_entropy(out, TARGET[0])
