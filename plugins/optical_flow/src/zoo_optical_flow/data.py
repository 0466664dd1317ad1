"""Pairs of frames and the flow between them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from torch import Tensor
from torch.utils.data import Dataset

from zoo.errors import InvalidArgument, UnreadableFile, listed
from zoo.io import check_picture, find_files, input_and_truth, load_image
from zoo_optical_flow.flo import flo_size, read_flo
from zoo_optical_flow.kitti import read_kitti_flow
from zoo_optical_flow.plugin import ANIMATIONS, PICTURES

PAIRS = (("_1", "_2"), ("_img1", "_img2"))  # suffixes of the names of two frames
UNKNOWN = 1e9  # Middlebury writes larger numbers where the flow is unknown
LAYOUTS = (("images", "flow"), ("frames", "flow"), ("image_2", "flow_occ"), ("final", "flow"))


class Pairs(Dataset[tuple[tuple[Tensor, Tensor], dict[str, Tensor]]]):
    """Each ``annotations/NAME.flo`` (Middlebury's format), or otherwise ``annotations/NAME.png`` (KITTI's), is
    the flow of a pair of frames: ``images/NAME_1.png`` and ``images/NAME_2.png`` (also ``…_img1`` and ``…_img2`` for
    ``NAME_flow.flo``, as in FlyingChairs); or ``images/NAME.png`` and the next file in its folder, as in Sintel and
    KITTI.

    Args:
        path: the folder of frames; or the folder that contains ``images`` (``frames``, ``image_2``, ``final``) and
            ``flow`` (``flow_occ``). It may be the same as ``annotations``.
        annotations: the folder of flows.
        categories: not used.
        check_files: whether to require both frames of every flow.

    Raises:
        InvalidArgument: a folder is missing, or flows have no frames.
    """

    categories: Sequence[str] = ()

    def __init__(
        self,
        path: Path,
        annotations: Path | None = None,
        *,
        categories: Sequence[str] | None = None,
        check_files: bool = True,
    ) -> None:
        images, truth = input_and_truth(path, annotations, LAYOUTS, "a folder of .flo files, or of KITTI's PNGs")
        self.notes: list[str] = []
        every = find_files(truth, (".flo", ".png"), notes=self.notes)
        flows = [path for path in every if path.suffix.lower() == ".flo"] or every
        found = {path.relative_to(truth).with_suffix("").as_posix(): path for path in flows}
        frames = _frames(images, self.notes)
        pairs = {name: _pair(name, frames) for name in found}
        if not any(pairs.values()):
            first = f", such as {str(flows[0])!r}" if flows else ""
            raise InvalidArgument(
                f"None of the {len(flows)} flows in {str(truth)!r}{first}, has its frames in {str(images)!r}: expected "
                "NAME_1.png and NAME_2.png for NAME.flo, or NAME.png and the next file."
            )
        missing = {name: (images / f"{name}_1.*", images / f"{name}_2.*") for name in pairs}
        self.names, self._flows = list(found), list(found.values())
        self.paths = [pair or missing[name] for name, pair in pairs.items()]
        without = [f"{str(found[name])!r} has no frames in {str(images)!r}" for name, pair in pairs.items() if not pair]
        if check_files and without:
            raise InvalidArgument(listed("Flows without frames:", without))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[tuple[Tensor, Tensor], dict[str, Tensor]]:
        first, second = self.paths[i]
        frames, target = (load_image(first), load_image(second)), self.target(i)
        sizes = [tuple(x.shape[-2:]) for x in (*frames, target["flow"])]
        if len(set(sizes)) > 1:
            raise InvalidArgument(
                f"{self.names[i]!r}: its frames and flow have {sizes[0]}, {sizes[1]}, {sizes[2]} pixels."
            )
        return frames, target

    def target(self, i: int) -> dict[str, Tensor]:
        """``{"flow": float32 [2, H, W], "valid": bool [H, W]}``."""
        flow, valid = read_flow(self._flows[i])
        return {"flow": flow, "valid": valid}

    def source(self, i: int) -> tuple[Path, Path]:
        """The two frames."""
        return self.paths[i]

    def annotation(self, i: int) -> str:
        """The file of the flow."""
        return str(self._flows[i])

    def problems(self) -> list[str]:
        """Problems of the files, each with its location: unreadable frames and flows, or different sizes."""
        found: list[str] = []
        for i, flow in enumerate(self._flows):
            try:
                sizes = [*map(check_picture, self.paths[i]), flow_size(flow)]
            except UnreadableFile as e:
                found.append(str(e))
                continue
            if len(set(sizes)) > 1:
                first, second, third = (f"{h} × {w}" for h, w in sizes)
                found.append(f"{str(flow)!r} has {third} pixels, but its frames have {first} and {second}")
        return found

    def select(self, indices: Sequence[int]) -> Self:
        """A reader of these pairs only."""
        chosen = copy.copy(self)
        for name in ("paths", "names", "_flows"):
            setattr(chosen, name, [getattr(self, name)[i] for i in indices])
        return chosen

    def counts(self) -> dict[str, int]:
        """Empty: flows have no categories."""
        return {}

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether a folder of flows is found."""
        folders = [annotations] if annotations is not None else [path / flow for _, flow in LAYOUTS]
        return any(folder.is_dir() for folder in folders)


def read_flow(path: Path) -> tuple[Tensor, Tensor]:
    """A flow [2, H, W] and where it is known [H, W], from a ``.flo`` file or KITTI's PNG."""
    if path.suffix.lower() == ".png":
        return read_kitti_flow(path)
    flow = read_flo(path)
    return flow, (flow.abs() < UNKNOWN).all(0)


def flow_size(path: Path) -> tuple[int, int]:
    """Height and width of a flow's file; only the header is read.

    Raises:
        UnreadableFile: the file is not a flow, or is truncated.
    """
    return check_picture(path) if path.suffix.lower() == ".png" else flo_size(path)


def _frames(images: Path, notes: list[str]) -> dict[str, tuple[Path, Path | None]]:
    """Name → the frame, and the next frame in its folder."""
    folders: dict[Path, list[Path]] = {}
    for file in find_files(images, (*PICTURES, *ANIMATIONS), notes=notes) if images.is_dir() else ():
        folders.setdefault(file.parent, []).append(file)
    return {
        file.relative_to(images).with_suffix("").as_posix(): (file, after)
        for files in folders.values()
        for file, after in zip(files, [*files[1:], None], strict=True)
    }


def _pair(name: str, frames: Mapping[str, tuple[Path, Path | None]]) -> tuple[Path, Path] | None:
    """The frames of the flow ``name``; None if they do not exist."""
    for first, second in ((name.removesuffix("_flow") + one, name.removesuffix("_flow") + two) for one, two in PAIRS):
        if first in frames and second in frames:
            return frames[first][0], frames[second][0]
    frame, after = frames.get(name, (None, None))
    return None if frame is None or after is None else (frame, after)


READERS = {"flow": Pairs}
