"""Readers of data sets for training."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InvalidArgument
from zoo.io import open_image
from zoo.transforms.functional import pil_to_tensor

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


class ClassFolders:
    """Pictures in a folder for each class; an example is ``(uint8 [3, H, W], {"label": int})``.

    Attributes:
        categories: names of the classes, in label order.
        names: of the examples, relative to the folder.
    """

    def __init__(self, root: Path, categories: Sequence[str], names: Sequence[str]) -> None:
        self.root, self.categories, self.names = root, list(categories), list(names)
        self._labels = [self.categories.index(Path(name).parts[0]) for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def source(self, i: int) -> Path:
        """The file of example ``i``."""
        return self.root / self.names[i]

    def counts(self) -> dict[str, int]:
        """Category → how many examples."""
        found = Counter(self._labels)
        return {name: found[i] for i, name in enumerate(self.categories)}

    def __getitem__(self, i: int) -> tuple[Tensor, dict[str, Any]]:
        picture = pil_to_tensor(open_image(self.source(i)).convert("RGB"))
        return picture, {"label": self._labels[i]}


def open_data(
    path: str | os.PathLike[str], task: str, *, val: float = 0.2, seed: int = 0
) -> tuple[ClassFolders, ClassFolders]:
    """Open a folder of class folders, split by ``train`` and ``val`` folders or else at random within each class.

    Args:
        path: the folder.
        task: ``"image-classification"``.
        val: share of each class that is held out, where the folder is not split.
        seed: of the split.

    Raises:
        InvalidArgument: another task, no class folders, or a class without pictures.
    """
    root = Path(path)
    if task != "image-classification":
        raise InvalidArgument(f"There is no reader of files for {task!r}; give data=(train, val), two readers.")
    if not root.is_dir():
        raise InvalidArgument(f"data: there is no folder {str(root)!r}.")
    if (root / "train").is_dir() and (root / "val").is_dir():
        held = _names(root / "val")
        every = _names(root / "train")
        if unknown := sorted(held.keys() - every.keys()):
            raise InvalidArgument(f"val has classes that train has not: {', '.join(unknown)}.")
        training, validation = every, {name: held.get(name, []) for name in every}
        return _reader(root / "train", training), _reader(root / "val", validation)
    if not 0 < val < 1:
        raise InvalidArgument(f"val is {val!r}; expected a share between 0 and 1.")
    training, validation = {}, {}
    for number, (category, names) in enumerate(_names(root).items()):
        if len(names) < 2:
            raise InvalidArgument(
                f"{root / category} has one picture; expected two, one to train on and one to hold out."
            )
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed * 1_000_003 + number)).tolist()
        n = min(max(1, round(val * len(names))), len(names) - 1)
        training[category] = sorted(names[i] for i in order[n:])
        validation[category] = sorted(names[i] for i in order[:n])
    return _reader(root, training), _reader(root, validation)


def _reader(root: Path, every: dict[str, list[str]]) -> ClassFolders:
    return ClassFolders(root, list(every), [name for names in every.values() for name in names])


def _names(root: Path) -> dict[str, list[str]]:
    """Category → its pictures, relative to ``root``."""
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if len(folders) < 2:
        raise InvalidArgument(f"{root} has {len(folders)} folder(s); expected one for each of at least two classes.")
    every = {
        folder.name: sorted(
            file.relative_to(root).as_posix() for file in folder.rglob("*") if file.suffix.lower() in PICTURES
        )
        for folder in folders
    }
    if empty := [name for name, names in every.items() if not names]:
        raise InvalidArgument(f"{root}: these classes have no pictures: {', '.join(empty)}.")
    return every
