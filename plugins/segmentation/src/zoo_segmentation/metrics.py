"""Metrics of class maps: mean intersection over union and pixel accuracy, from pixel counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo_segmentation.losses import IGNORED


@dataclass(frozen=True)
class Scores:
    """Metrics in percent, as in the metrics of weights.

    Attributes:
        miou: mean of ``iou`` over the classes that occur; NaN if nothing was counted.
        pixel_acc: share of correctly classified pixels; NaN if nothing was counted.
        iou: per class, intersection over union of its true and predicted pixels; NaN for a class that neither occurs
            nor was predicted.
    """

    miou: float
    pixel_acc: float
    iou: list[float]


class ConfusionMatrix:
    """Pixel counts by true and predicted class. Counts are integers, so batching does not change them.

    Args:
        num_classes: number of classes, including background.
        ignore_index: true class of the pixels to ignore.

    Attributes:
        counts: int64 [num_classes, num_classes] on the CPU, true classes in rows, predicted ones in columns.

    >>> matrix = ConfusionMatrix(21)
    >>> matrix.update(target, model(images)["out"].argmax(1))      # batch by batch
    >>> matrix.merge(another_process_matrix)                      # or matrix.all_reduce()
    >>> matrix.compute().miou
    """

    def __init__(self, num_classes: int, ignore_index: int = IGNORED) -> None:
        self.num_classes = check_count("num_classes", num_classes, 1)
        self.ignore_index = ignore_index
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, target: Tensor, predicted: Tensor) -> None:
        """Count pixels.

        Args:
            target: integers of any shape, the true classes.
            predicted: integers of the same shape, the predicted classes.

        Raises:
            InvalidArgument: the shapes differ, the values are not integers, or a class is out of range. Nothing is
                counted then.
        """
        if target.shape != predicted.shape:
            raise InvalidArgument(
                f"target {list(target.shape)} and predicted {list(predicted.shape)}; expected the same shape. Convert "
                "logits "
                "[N, num_classes, H, W] to classes with argmax(1)."
            )
        counted = target != self.ignore_index
        target, predicted = target[counted], predicted[counted].to(target.device)
        for name, classes in (("target", target), ("predicted", predicted)):
            if classes.is_floating_point() or classes.dtype == torch.bool:
                raise InvalidArgument(f"{name} is {classes.dtype}; expected integers.")
            if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < self.num_classes:
                raise InvalidArgument(
                    f"{name} has classes from {int(classes.min())} to {int(classes.max())}; expected 0 to "
                    f"{self.num_classes - 1}, or ignore_index={self.ignore_index} in the target."
                )
        cells = target.long() * self.num_classes + predicted.long()
        self.counts += torch.bincount(cells, minlength=self.num_classes**2).view_as(self.counts).cpu()

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix, of other pictures.

        Raises:
            InvalidArgument: it has a different number of classes.
        """
        if other.num_classes != self.num_classes:
            raise InvalidArgument(
                f"Cannot merge a matrix of {other.num_classes} classes into one of {self.num_classes}."
            )
        self.counts += other.counts

    def all_reduce(self) -> None:
        """Add the counts of the other processes of ``torch.distributed``; every process then has the sum."""
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        counts = self.counts.to(device)
        torch.distributed.all_reduce(counts)
        self.counts = counts.cpu()

    def compute(self) -> Scores:
        counts = self.counts.double()
        right, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
        iou = right / (true + predicted - right)  # 0 / 0 is NaN: a class that does not occur
        return Scores(
            miou=100 * iou.nanmean().item(),
            pixel_acc=100 * (right.sum() / true.sum()).item(),
            iou=(100 * iou).tolist(),
        )
