"""Datasets under the names that other programs know. ``zoo.open_data`` reads many more forms."""

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
    """Pictures in folders of their classes, ``root/split/CLASS/*.JPEG``: item i is ``(picture, class)``.

    ImageNet's archives have to be unpacked to such folders; nothing is downloaded. Classes are numbered in the order of
    their folders' names, which for ImageNet's (``n01440764``, …) is that of the published weights' categories.

    Args:
        root: of the dataset.
        split: ``"train"`` or ``"val"``, the folder below it.
        transform: of the picture, an RGB :class:`PIL.Image.Image`; ``target_transform`` of the class, an int.
        loader: path → picture, in place of Pillow's.

    Attributes:
        classes: the folders' names, ``class_to_idx`` their numbers.
        samples: (path, class) of each picture, also called ``imgs``; ``targets`` the classes alone.

    Raises:
        InvalidArgument: no such split or folder, one without folders of classes, or a class without pictures.
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
                f"There are no folders of classes in {folder}; expected {folder}/CLASS/*.JPEG. ImageNet's archives "
                "have to be unpacked so; they are not downloaded."
            )
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for name, number in self.class_to_idx.items():
            found = sorted(str(p) for p in (folder / name).rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
            if not found:
                raise InvalidArgument(f"There is no picture in {folder / name}; expected {', '.join(sorted(ENDINGS))}.")
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
    """A picture in RGB, turned as it is stored.

    Raises:
        UnreadableFile: Pillow cannot decode it.
    """
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError) as e:
        raise UnreadableFile(f"{path} cannot be read as a picture: {e}") from e
