"""Pictures with class maps: pictures whose pixels are classes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from zoo.errors import InvalidArgument, UnreadableFile, listed
from zoo.io import check_picture, find_files, input_and_truth, load_image
from zoo_classification.data import read_names
from zoo_segmentation.class_maps import ClassMapping, colours_beside, read_class_map
from zoo_segmentation.losses import IGNORED
from zoo_segmentation.plugin import SEGMENTATION

LAYOUTS = (("images", "masks"), ("images", "annotations"), ("images", "labels"), ("JPEGImages", "SegmentationClass"))


class Masks(Dataset[tuple[Tensor, dict[str, Any]]]):
    """Pictures with a class for every pixel, in PNGs: a palette's indices, grey levels, or colours. 255 is ignored.

    ``annotations/NAME.png`` is the class map of ``images/NAME.jpg`` (or another suffix; both may be in subfolders of
    the same name). Pictures without one are skipped, and a note gives their number.

    Args:
        path: the folder of pictures; or the folder that contains ``images`` and ``masks`` (also ``annotations``,
            ``labels``), or ``JPEGImages`` and ``SegmentationClass``.
        annotations: the folder of class maps.
        categories: names of the classes; by default the lines of ``classes.txt`` in ``path``, otherwise the numbers
            that occur.
        mapping: value of a pixel → class, such as ``{0: 0, 255: 1}`` for black and white masks, or ``{(0, 0, 0): 0,
            (128, 0, 0): 1}`` for colours; other values are an error. By default it is read from ``class_dict.csv``,
            ``label_colors.txt`` or ``labelmap.txt`` beside the folders, if present: one class per line, in order, with
            its colour.
        check_files: whether to read every class map when the data are opened, to check its size and its classes and to
            count its pixels.

    Raises:
        InvalidArgument: files are invalid; the message lists them.
    """

    def __init__(
        self,
        path: Path,
        annotations: Path | None = None,
        *,
        categories: Sequence[str] | None = None,
        mapping: Mapping[Any, int] | None = None,
        check_files: bool = True,
    ) -> None:
        path = Path(path)
        images, truth = input_and_truth(path, annotations, LAYOUTS, "a folder of PNGs whose pixels are the classes")
        self.notes: list[str] = []
        maps = _by_name(truth, (".png",), self.notes)
        pictures = _by_name(images, SEGMENTATION.suffixes, self.notes)
        if not pictures.keys() & maps.keys():
            raise InvalidArgument(
                f"No PNG in {str(truth)!r} ({len(maps)} files) has the name of a picture in {str(images)!r} "
                f"({len(pictures)} files)."
            )
        self.names = list(maps)
        self.paths = [pictures.get(name, images / f"{name}.*") for name in maps]
        self._maps = list(maps.values())
        if left := len(pictures.keys() - maps.keys()):
            self.notes.append(f"{left} of {len(pictures)} pictures have no annotation and were skipped.")
        if mapping is None and (colours := colours_beside(path) or colours_beside(truth.parent)):
            names = list(colours) if categories is None else list(categories)
            if unknown := [repr(name) for name in colours if name not in names]:
                raise InvalidArgument(listed("Classes with a colour that are not categories:", unknown))
            mapping, categories = {colour: names.index(name) for name, colour in colours.items()}, names
        self.mapping = None if mapping is None else ClassMapping(mapping)
        if categories is None and (path / "classes.txt").is_file():
            categories = read_names(path / "classes.txt")
        self._pixels: list[dict[int, int]] = [{} for _ in self.names]
        if check_files:
            self._check(None if categories is None else len(categories))
        seen = max((c for found in self._pixels for c in found if c != IGNORED), default=-1)
        self.categories = list(categories) if categories is not None else [str(i) for i in range(seen + 1)]

    def _check(self, classes: int | None) -> None:
        problems: list[str] = []
        only: set[int] = set()
        for i, file in enumerate(self._maps):
            try:
                size = check_picture(self.paths[i])
                truth = self.target(i)["mask"]
            except (UnreadableFile, InvalidArgument) as e:
                problems.append(str(e))
                continue
            values, n = (t.tolist() for t in torch.unique(truth, return_counts=True))
            self._pixels[i] = dict(zip(values, n, strict=True))
            only |= self._pixels[i].keys()
            if tuple(truth.shape) != size:
                shown = f"{truth.shape[0]} × {truth.shape[1]}"
                problems.append(f"{str(file)!r} has {shown} pixels, but its picture has {size[0]} × {size[1]}")
            wrong = [v for v in values if v != IGNORED and not 0 <= v < (classes or IGNORED)]
            if wrong:
                problems.append(f"{str(file)!r} has classes {wrong[:5]}; expected fewer than {classes or IGNORED}")
        if self.mapping is None and only and only <= {0, IGNORED} and IGNORED in only:
            problems.append(
                "Every pixel is 0 or 255, and 255 is ignored: for black and white masks pass mapping={0: 0, 255: 1}"
            )
        if problems:
            raise InvalidArgument(listed("The class maps cannot be used:", problems))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, Any]]:
        return load_image(self.paths[i]), self.target(i)

    def target(self, i: int) -> dict[str, Any]:
        """``{"mask": int64 [H, W]}``."""
        read = read_class_map if self.mapping is None else self.mapping.read
        return {"mask": read(self._maps[i])}

    def source(self, i: int) -> Path:
        """The picture's file."""
        return self.paths[i]

    def annotation(self, i: int) -> str:
        """The file of the class map."""
        return str(self._maps[i])

    def select(self, indices: Sequence[int]) -> Self:
        """A reader of these pictures only."""
        chosen = copy.copy(self)
        for name in ("paths", "names", "_maps", "_pixels"):
            setattr(chosen, name, [getattr(self, name)[i] for i in indices])
        return chosen

    def labels_of(self, i: int) -> list[int]:
        """The classes of a picture's pixels except class 0, if pixels were counted."""
        return sorted(label for label in self._pixels[i] if 0 < label != IGNORED)

    def counts(self) -> dict[str, int]:
        """Category → number of its pixels, counted when the data were opened."""
        return {name: sum(found.get(label, 0) for found in self._pixels) for label, name in enumerate(self.categories)}

    @staticmethod
    def matches(path: Path, annotations: Path | None) -> bool:
        """Whether there is a folder of class maps."""
        folders = [annotations] if annotations is not None else [path / masks for _, masks in LAYOUTS]
        return any(folder.is_dir() for folder in folders)


def _by_name(folder: Path, suffixes: Sequence[str], notes: list[str]) -> dict[str, Path]:
    """Path within the folder, without its suffix → the file."""
    found: dict[str, Path] = {}
    for path in find_files(folder, suffixes, notes=notes) if folder.is_dir() else ():
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InvalidArgument(
                f"{str(path)!r} and {str(found[name])!r} have the same name; expected only one of them."
            )
        found[name] = path
    return found


READERS = {"masks": Masks}
