"""Mean IoU and pixel accuracy for ``zoo evaluate``: pictures, and PNGs whose pixels are the classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo import Weights
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import find_files, opened
from zoo_segmentation.losses import IGNORED
from zoo_segmentation.metrics import ConfusionMatrix
from zoo_segmentation.plugin import SEGMENTATION
from zoo_segmentation.task import Segmentation

# Pillow's modes of one whole number a pixel.
INDEXED = ("P", "L", "1", "I", "I;16", "I;16B", "I;16L")


class ClassMaps:
    """Mean IoU and the share of right pixels, in percent, and each class's IoU. Pixels are counted: sums are exact.

    ``annotations/NAME.png`` is the truth of ``images/NAME.jpg`` (or of another ending; both may lie in folders of one
    name): a PNG of the picture's size, with a palette or grey, whose pixels are classes. A picture without one is left
    out, and a note says how many there were.

    Args:
        images: the folder of pictures.
        annotations: the folder of class maps.
        weights: its categories name the classes.
        ignore_index: true class of the pixels that do not count.

    Raises:
        InvalidArgument: a folder is missing or empty, or two pictures have one name.
    """

    def __init__(self, images: Path, annotations: Path | None, weights: Weights, ignore_index: int = IGNORED) -> None:
        if annotations is None or not annotations.is_dir():
            given = "none was given" if annotations is None else f"{str(annotations)!r} is none"
            raise InvalidArgument(f"annotations: expected a folder of PNGs whose pixels are the classes; {given}.")
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise InvalidArgument(f"ignore_index is {ignore_index!r}; expected a whole number.")
        self._notes: list[str] = []
        self._truth = _by_name(annotations, (".png",), self._notes)
        pictures = _by_name(images, SEGMENTATION.suffixes, self._notes)
        if not pictures.keys() & self._truth.keys():
            raise InvalidArgument(
                f"No PNG in {str(annotations)!r} ({len(self._truth)} there) has the name of a picture in "
                f"{str(images)!r} ({len(pictures)} there)."
            )
        self.sources = {name: pictures.get(name, images / f"{name}.*") for name in self._truth}
        if left := len(pictures.keys() - self._truth.keys()):
            self._notes.append(f"{left} of {len(pictures)} pictures have no annotation and were left out.")
        self._categories = weights.read_categories()
        self._ignored = ignore_index
        self.protocol = {"compared_at": "the picture's size"}
        self.notes = self._notes

    def measure(self, name: str, result: Segmentation) -> dict[str, Any]:
        """The pixels, counted by true and predicted class: the counts that are not zero."""
        matrix = ConfusionMatrix(len(result.categories), self._ignored)
        truth = read_class_map(self._truth[name])
        try:
            matrix.update(truth, result.class_map)
        except InvalidArgument as e:
            beyond = truth[(truth != self._ignored) & ((truth < 0) | (truth >= matrix.num_classes))]
            share = f" {100 * beyond.numel() / truth.numel():.3g} % of its pixels are no class." * bool(len(beyond))
            raise InvalidArgument(
                f"{str(self._truth[name])!r} does not fit the picture or the model: {e}{share}"
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
        """What of the truth the figures do not speak of: 0 and 255 in place of 0 and 1 would give good ones."""
        if ignored:
            share = 100 * ignored / (ignored + counted)
            yield f"{share:.3g} % of the annotated pixels are {self._ignored}, which is ignored (ignore_index)."
        if absent:
            shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
            yield f"{len(absent)} of {classes} classes never occur in the annotations: {shown}."


def _by_name(folder: Path, suffixes: Sequence[str], notes: list[str]) -> dict[str, Path]:
    """Path within the folder, without its ending → the file."""
    found: dict[str, Path] = {}
    for path in find_files(folder, suffixes, notes=notes) if folder.is_dir() else ():
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InvalidArgument(f"{str(path)!r} and {str(found[name])!r} have one name; only one is expected.")
        found[name] = path
    return found


def read_class_map(path: Path) -> Tensor:
    """The classes that a PNG holds, int64 [H, W]: its palette's indices, or its grey levels.

    Raises:
        UnreadableFile: no picture, a damaged one, or one in colours.
    """
    with opened(path) as picture:
        mode = picture.mode
        values = np.asarray(picture).astype(np.int64) if mode in INDEXED else None
    if values is None:
        raise UnreadableFile(f"{str(path)!r} has pixels of mode {mode}; expected one number each: a palette, or grey.")
    return torch.from_numpy(values)
