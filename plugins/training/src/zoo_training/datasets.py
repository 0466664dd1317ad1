"""Datasets with the names of other libraries. ``zoo.open_data`` reads many more formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from torch.utils.data import Dataset

from zoo.errors import InvalidArgument, UnreadableFile

__all__ = ["ImageNet"]
ENDINGS = {".jpeg", ".jpg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}


class ImageNet(Dataset[tuple[Any, Any]]):
    """Pictures in one folder per class, ``root/split/CLASS/*.JPEG``: item i is ``(picture, class)``.

    ImageNet's archives must be unpacked to such folders first; nothing is downloaded. Classes are numbered in the order
    of their folder names, which for ImageNet (``n01440764``, …) is the order of the published weights' categories.

    Args:
        root: path of the dataset.
        split: ``"train"`` or ``"val"``, the subfolder.
        transform: transform of the picture, an RGB :class:`PIL.Image.Image`; ``target_transform``: of the class, an
            int.
        loader: path → picture, instead of Pillow's.

    Attributes:
        classes: names of the folders; ``class_to_idx``: their numbers.
        samples: (path, class) of each picture, also named ``imgs``; ``targets``: only the classes.

    Raises:
        InvalidArgument: unknown split, missing folder, no class folders, or a class without pictures.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        loader: Callable[[str], Any] | None = None,
    ) -> None:
        if split not in ("train", "val"):
            raise InvalidArgument(f"split is {split!r}; expected 'train' or 'val'.")
        self.root, self.split = str(root), split
        self.transform, self.target_transform, self.loader = transform, target_transform, loader or read_rgb
        folder = Path(root).expanduser() / split
        self.classes = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        if not self.classes:
            raise InvalidArgument(
                f"There are no class folders in {folder}; expected {folder}/CLASS/*.JPEG. ImageNet's archives must be "
                "unpacked to this layout; they are not downloaded."
            )
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for name, number in self.class_to_idx.items():
            found = sorted(str(p) for p in (folder / name).rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
            if not found:
                raise InvalidArgument(f"No picture in {folder / name}; expected {', '.join(sorted(ENDINGS))}.")
            self.samples += [(path, number) for path in found]
        self.imgs = self.samples
        self.targets = [number for _, number in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        picture = self.loader(path)
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, target if self.target_transform is None else self.target_transform(target)

    def __repr__(self) -> str:
        return f"ImageNet({self.root!r}, split={self.split!r}): {len(self)} pictures of {len(self.classes)} classes"


def read_rgb(path: str) -> Image.Image:
    """A picture in RGB, with the stored orientation.

    Raises:
        UnreadableFile: Pillow cannot decode it.
    """
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as e:
        raise UnreadableFile(f"{path} cannot be read as a picture: {e}") from e
