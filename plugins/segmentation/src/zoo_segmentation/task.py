"""Semantic segmentation for ``zoo.pipeline``: a picture in, the class of every pixel out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zoo import Weights
from zoo.contract import check_count
from zoo.draw import segmentation_overlay, voc_palette
from zoo.errors import InvalidArgument
from zoo.io.image import open_image
from zoo.transforms.functional import get_dimensions, to_pil_image

Picture = Image.Image | Tensor


@dataclass(frozen=True)
class Segmentation:
    """What a model sees where in one picture.

    Attributes:
        class_map: [H, W] in the size of the picture, the class of every pixel; uint8, or int64 with more than 256
            classes.
        categories: names of the classes; ``class 0``, ``class 1``, … where the weights name none.
        image: the picture.
    """

    class_map: Tensor
    categories: Sequence[str]
    image: Picture

    @cached_property
    def areas(self) -> dict[str, float]:
        """Name → share of the picture, from 0 to 1, for the classes that are in it, largest first."""
        counts = self.class_map.flatten().long().bincount(minlength=len(self.categories))
        shares = counts.double() / self.class_map.numel()
        order = shares.argsort(descending=True, stable=True).tolist()
        return {self.categories[i]: shares[i].item() for i in order if shares[i] > 0}

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: the ``k`` largest areas."""
        return [f"{share:7.2%}  {name}" for name, share in self._largest(k)]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: the size in pixels and the ``k`` largest areas."""
        height, width = self.class_map.shape
        areas = [{"label": name, "share": share} for name, share in self._largest(k)]
        return {"height": height, "width": width, "areas": areas}

    def _largest(self, k: int) -> list[tuple[str, float]]:
        return list(self.areas.items())[: check_count("k", k, 1)]

    def draw(self) -> Image.Image:
        """The picture tinted by class, with a legend."""
        return draw(self)

    def save(self, directory: str | Path, stem: str) -> list[Path]:
        """Write ``STEM_overlay.png``, to look at, and ``STEM_classes.png``, to compute with.

        The second is of the picture's size, in mode P: its pixels are the classes, shown in Pascal VOC's colours.

        Raises:
            InvalidArgument: more classes than the 256 that a palette has.
        """
        if len(self.categories) > 256:
            raise InvalidArgument(f"A PNG with a palette has 256 classes; there are {len(self.categories)}.")
        classes = Image.fromarray(self.class_map.byte().numpy())
        classes.putpalette([value for colour in voc_palette() for value in colour])
        paths = [Path(directory) / f"{stem}_overlay.png", Path(directory) / f"{stem}_classes.png"]
        for picture, path in zip((self.draw(), classes), paths, strict=True):
            picture.save(path)
        return paths


def load(source: Any) -> Picture:
    """A picture from a path or a PIL image, upright; a tensor is taken as it is."""
    return open_image(source) if isinstance(source, str | Path | Image.Image) else source


def collate(prepared: Sequence[Tensor]) -> tuple[Tensor]:
    """Prepared pictures of one size, each [C, H, W] → a batch [N, C, H, W].

    Pictures of different sizes go through the model apart: padding would change what it says of them.
    """
    return (torch.stack(list(prepared)),)


def decode(outputs: Mapping[str, Tensor], inputs: Sequence[Picture], weights: Weights) -> list[Segmentation]:
    """``{"out": logits [N, num_classes, h, w]}`` → one result per picture."""
    logits = outputs["out"]
    categories = weights.read_categories()
    if len(categories) != logits.shape[1]:
        categories = [f"class {i}" for i in range(logits.shape[1])]
    return [
        Segmentation(class_map(one, get_dimensions(image)[1:]).cpu(), categories, image)
        for one, image in zip(logits, inputs, strict=True)
    ]


def class_map(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits [num_classes, h, w], enlarged or shrunk bilinearly to ``size`` → the best class of every pixel.

    Class by class, so that a large photograph takes memory for two planes of it and not for twenty-one.
    """
    best = torch.full(tuple(size), -torch.inf, device=logits.device)
    classes = torch.zeros(tuple(size), dtype=torch.uint8 if len(logits) <= 256 else torch.int64, device=logits.device)
    for i, plane in enumerate(logits.float()):
        plane = F.interpolate(plane[None, None], size=tuple(size), mode="bilinear", align_corners=False)[0, 0]
        better = plane > best
        best = torch.where(better, plane, best)
        classes[better] = i
    return classes


def draw(result: Segmentation) -> Image.Image:
    image = result.image if isinstance(result.image, Image.Image) else to_pil_image(result.image)
    return segmentation_overlay(
        image, result.class_map, result.categories, voc_palette(max(256, len(result.categories)))
    )
