"""End-point error and outliers for ``zoo evaluate``, from frames and the true flow of each pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo import Examples, Weights
from zoo.errors import InvalidArgument
from zoo_optical_flow.data import Pairs, read_flow as read_flow
from zoo_optical_flow.metrics import distances, outliers
from zoo_optical_flow.result import Flow

BEYOND = (1, 3, 5)  # pixels


class FlowPairs:
    """End-point error in pixels, over all pixels (``epe``) and averaged over pairs (``per_image_epe``), the share of
    outliers in percent (``fl_all``: error above 3 pixels and above 5 % of the motion), and the shares of pixels with an
    error above 1, 3 and 5 pixels (``beyond_1px``, …).

    Each ``annotations/NAME.flo`` (Middlebury's format), or otherwise ``annotations/NAME.png`` (KITTI's), is the
    flow of a pair of frames. They are ``images/NAME_1.png`` and ``images/NAME_2.png`` (also ``…_img1`` and ``…_img2``
    for ``NAME_flow.flo``, as in FlyingChairs); or ``images/NAME.png`` and the next file in its folder, as in Sintel and
    KITTI. All may be in subfolders of the same names, and frames may have any picture format. Pixels whose flow is
    unknown are ignored.

    Args:
        images: the folder of frames, or a reader of pairs.
        annotations: the folder of flows.
        weights: not used.

    Raises:
        InvalidArgument: a folder is missing, or contains no flow with frames.
    """

    def __init__(self, images: Path | Examples, annotations: Path | None, weights: Weights) -> None:
        reader: Any = images if isinstance(images, Examples) else Pairs(images, annotations, check_files=False)
        self.notes: list[str] = list(getattr(reader, "notes", ()))
        self.reader, self._index = reader, {name: i for i, name in enumerate(reader.names)}
        self.sources = {name: reader.source(i) for i, name in enumerate(reader.names)}

    def measure(self, name: str, result: Flow) -> dict[str, Any]:
        """Number of pixels, the sum of their distances to the truth, and the numbers of outliers and of larger
        errors."""
        i = self._index[name]
        target = self.reader.target(i)
        truth, known = target["flow"], target["valid"]
        if truth.shape != result.flow.shape:
            (_, h, w), (_, height, width) = truth.shape, result.flow.shape
            raise InvalidArgument(
                f"{self.reader.annotation(i)!r} has {h} × {w} pixels, but its frames have {height} × {width}."
            )
        distance, length = distances(result.flow, truth, known)
        return {
            "pixels": len(distance),
            "distance": distance.sum().item(),
            "outliers": int(outliers(distance, length).sum()),
            "beyond": [int((distance > limit).sum()) for limit in BEYOND],
        }

    def summarize(self, records: Sequence[dict[str, Any]]) -> dict[str, float]:
        known = [record for record in records if record["pixels"]]
        pixels = sum(record["pixels"] for record in known)
        shares = {f"beyond_{limit}px": sum(r["beyond"][i] for r in known) for i, limit in enumerate(BEYOND)}
        if not pixels:
            return dict.fromkeys(("epe", "per_image_epe", "fl_all", *shares), math.nan)
        return {
            "epe": math.fsum(record["distance"] for record in known) / pixels,
            "per_image_epe": math.fsum(record["distance"] / record["pixels"] for record in known) / len(known),
            "fl_all": 100 * sum(record["outliers"] for record in known) / pixels,
            **{name: 100 * n / pixels for name, n in shares.items()},
        }
