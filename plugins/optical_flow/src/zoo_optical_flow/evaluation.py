"""End-point error and outliers for ``zoo evaluate``: frames, and the true flow of each pair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from zoo import Weights
from zoo.errors import InvalidArgument
from zoo.io import find_files
from zoo_optical_flow.flo import read_flo
from zoo_optical_flow.kitti import read_kitti_flow
from zoo_optical_flow.metrics import distances, outliers
from zoo_optical_flow.plugin import ANIMATIONS, PICTURES
from zoo_optical_flow.result import Flow

PAIRS = (("_1", "_2"), ("_img1", "_img2"))  # what the names of two frames end in
BEYOND = (1, 3, 5)  # pixels
UNKNOWN = 1e9  # Middlebury writes larger numbers where the flow is unknown


class FlowPairs:
    """End-point error in pixels, over all pixels (``epe``) and as a mean over pairs (``per_image_epe``), the share of
    outliers in percent (``fl_all``: off by over 3 pixels and over 5 % of the motion), and the shares of pixels that are
    off by over 1, 3 and 5 pixels (``beyond_1px``, …).

    Each ``annotations/NAME.flo`` (Middlebury's format), or if there are none ``annotations/NAME.png`` (KITTI's), is the
    flow of a pair of frames. They are ``images/NAME_1.png`` and ``images/NAME_2.png`` (also ``…_img1`` and ``…_img2``
    for ``NAME_flow.flo``, as FlyingChairs has them); or ``images/NAME.png`` and the file that follows it in its folder,
    as Sintel and KITTI have them. All may lie in folders of the same names, and frames be of any picture format.
    Pixels whose flow is unknown do not count.

    Args:
        images: the folder of frames.
        annotations: the folder of flows.
        weights: not needed.

    Raises:
        InvalidArgument: no folder, or nothing in it that belongs to a frame.
    """

    def __init__(self, images: Path, annotations: Path | None, weights: Weights) -> None:
        if annotations is None or not annotations.is_dir():
            given = "none was given" if annotations is None else f"{str(annotations)!r} is none"
            raise InvalidArgument(f"annotations: expected a folder of .flo files, or of KITTI's PNGs; {given}.")
        self.notes: list[str] = []
        every = find_files(annotations, (".flo", ".png"), notes=self.notes)
        flows = [path for path in every if path.suffix.lower() == ".flo"] or every
        self._truth = {path.relative_to(annotations).with_suffix("").as_posix(): path for path in flows}
        frames = _frames(images, self.notes)
        pairs = {name: _pair(name, frames) for name in self._truth}
        if not any(pairs.values()):
            first = f", such as {str(flows[0])!r}" if flows else ""
            raise InvalidArgument(
                f"None of the {len(flows)} flows in {str(annotations)!r}{first}, has its frames in {str(images)!r}: "
                "expected NAME_1.png and NAME_2.png for NAME.flo, or NAME.png and a file that follows it."
            )
        missing = {name: (images / f"{name}_1.*", images / f"{name}_2.*") for name in pairs}
        self.sources = {name: pair or missing[name] for name, pair in pairs.items()}

    def measure(self, name: str, result: Flow) -> dict[str, Any]:
        """How many pixels there are, the sum of their distances to the truth, how many are outliers and how far off."""
        truth, known = read_flow(self._truth[name])
        if truth.shape != result.flow.shape:
            (_, h, w), (_, height, width) = truth.shape, result.flow.shape
            raise InvalidArgument(
                f"{str(self._truth[name])!r} has {h} × {w} pixels, and its frames {height} × {width}."
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


def read_flow(path: Path) -> tuple[Tensor, Tensor]:
    """A flow [2, H, W] and where it is known [H, W], from a ``.flo`` file or KITTI's PNG."""
    if path.suffix.lower() == ".png":
        return read_kitti_flow(path)
    flow = read_flo(path)
    return flow, (flow.abs() < UNKNOWN).all(0)


def _frames(images: Path, notes: list[str]) -> dict[str, tuple[Path, Path | None]]:
    """Name → the frame, and the one that follows it in its folder."""
    folders: dict[Path, list[Path]] = {}
    for file in find_files(images, (*PICTURES, *ANIMATIONS), notes=notes) if images.is_dir() else ():
        folders.setdefault(file.parent, []).append(file)
    return {
        file.relative_to(images).with_suffix("").as_posix(): (file, after)
        for files in folders.values()
        for file, after in zip(files, [*files[1:], None], strict=True)
    }


def _pair(name: str, frames: Mapping[str, tuple[Path, Path | None]]) -> tuple[Path, Path] | None:
    """The frames of the flow ``name``, if they are there."""
    for first, second in ((name.removesuffix("_flow") + one, name.removesuffix("_flow") + two) for one, two in PAIRS):
        if first in frames and second in frames:
            return frames[first][0], frames[second][0]
    frame, after = frames.get(name, (None, None))
    return None if frame is None or after is None else (frame, after)
