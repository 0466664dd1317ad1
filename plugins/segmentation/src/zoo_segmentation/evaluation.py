"""Mean IoU and pixel accuracy for ``zoo evaluate``, from pictures and PNGs whose pixels are classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from zoo import Examples, Weights
from zoo.errors import InvalidArgument
from zoo_segmentation.class_maps import read_class_map as read_class_map
from zoo_segmentation.data import Masks
from zoo_segmentation.losses import IGNORED
from zoo_segmentation.metrics import ConfusionMatrix
from zoo_segmentation.task import Segmentation


class ClassMaps:
    """Mean IoU and pixel accuracy, in percent, and each class's IoU. Sums are exact pixel counts.

    ``annotations/NAME.png`` is the class map of ``images/NAME.jpg`` (or another suffix; both may be in subfolders of
    the same name): a PNG of the picture's size, with a palette or grey levels, whose pixels are classes. Pictures
    without one are skipped, and a note gives their number.

    Args:
        images: the folder of pictures, or a reader of class maps.
        annotations: the folder of class maps.
        weights: weights whose categories name the classes.
        ignore_index: true class of the pixels to ignore.

    Raises:
        InvalidArgument: a folder is missing or empty, or two pictures have the same name.
    """

    def __init__(
        self, images: Path | Examples, annotations: Path | None, weights: Weights, ignore_index: int = IGNORED
    ) -> None:
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise InvalidArgument(f"ignore_index is {ignore_index!r}; expected a whole number.")
        reader: Any = images if isinstance(images, Examples) else Masks(images, annotations, check_files=False)
        self._notes: list[str] = list(getattr(reader, "notes", ()))
        self.reader = reader
        self._index = {name: i for i, name in enumerate(reader.names)}
        self.sources = {name: reader.source(i) for i, name in enumerate(reader.names)}
        self._categories = weights.read_categories()
        self._ignored = ignore_index
        self.protocol = {"compared_at": "the picture's size"}
        self.notes = self._notes

    def measure(self, name: str, result: Segmentation) -> dict[str, Any]:
        """The number of pixels by true and predicted class, without zeros."""
        matrix = ConfusionMatrix(len(result.categories), self._ignored)
        i = self._index[name]
        truth = self.reader.target(i)["mask"]
        try:
            matrix.update(truth, result.class_map)
        except InvalidArgument as e:
            beyond = truth[(truth != self._ignored) & ((truth < 0) | (truth >= matrix.num_classes))]
            percent = 100 * beyond.numel() / truth.numel()
            share = f" {percent:.3g} % of its pixels have no valid class." * bool(len(beyond))
            raise InvalidArgument(
                f"{self.reader.annotation(i)!r} does not fit the picture or the model: {e}{share}"
            ) from e
        cells = matrix.counts.nonzero()
        rows = torch.cat([cells, matrix.counts[tuple(cells.T)][:, None]], 1)
        ignored = truth.numel() - int(matrix.counts.sum())
        return {"classes": matrix.num_classes, "counts": rows.tolist(), "ignored": ignored}

    def summarize(self, records: Sequence[dict[str, Any]]) -> dict[str, float]:
        matrix = ConfusionMatrix(records[0]["classes"], self._ignored)
        true, predicted, pixels = torch.tensor([row for record in records for row in record["counts"]]).reshape(-1, 3).T
        matrix.counts.index_put_((true, predicted), pixels, accumulate=True)
        scores = matrix.compute()
        names = self._categories if len(self._categories) == matrix.num_classes else range(matrix.num_classes)
        each = {f"iou/{name}": iou for name, iou in zip(names, scores.iou, strict=True)}
        ignored = sum(record["ignored"] for record in records)
        absent = [str(name) for name, n in zip(names, matrix.counts.sum(1).tolist(), strict=True) if not n]
        self.notes = [*self._notes, *self._coverage(ignored, int(matrix.counts.sum()), absent, matrix.num_classes)]
        return {"miou": scores.miou, "pixel_acc": scores.pixel_acc, **each}

    def _coverage(self, ignored: int, counted: int, absent: Sequence[str], classes: int) -> Iterator[str]:
        """Notes on what the metrics do not cover: masks of 0 and 255 instead of 0 and 1 would score well."""
        if ignored:
            share = 100 * ignored / (ignored + counted)
            yield f"{share:.3g} % of the annotated pixels are {self._ignored}, which is ignored (ignore_index)."
        if absent:
            shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
            yield f"{len(absent)} of {classes} classes never occur in the annotations: {shown}."
