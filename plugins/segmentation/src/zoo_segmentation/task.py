"""Semantic segmentation for ``zoo.pipeline``: a picture in, the class of every pixel out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import PictureTask, Weights
from zoo.contract import Result, check_count, optional, save_picture
from zoo.draw import segmentation_overlay, voc_palette
from zoo.errors import InvalidArgument
from zoo.io import Picture, encode_mask
from zoo.transforms.functional import as_pil, get_dimensions


@dataclass(frozen=True)
class Segmentation(Result):
    """The prediction for one picture: the class of every pixel.

    Attributes:
        class_map: [H, W] in the size of the picture, the class of every pixel; uint8, or int64 with more than 256
            classes.
        categories: names of the classes; ``class 0``, ``class 1``, … if the weights name none.
        image: the picture.
    """

    class_map: Tensor
    categories: Sequence[str]
    image: Picture

    @cached_property
    def areas(self) -> dict[str, float]:
        """Name → share of the picture, from 0 to 1, for the classes that occur in it, largest first."""
        counts = self.class_map.flatten().long().bincount(minlength=len(self.categories))
        shares = counts.double() / self.class_map.numel()
        order = shares.argsort(descending=True, stable=True).tolist()
        return {self.categories[i]: shares[i].item() for i in order if shares[i] > 0}

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: the ``k`` largest areas."""
        return [f"{share:7.2%}  {name}" for name, share in self._largest(k)]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: the size in pixels and the ``k`` largest areas, each with its number, its
        share, and its ``mask``: COCO's compressed run lengths, which :func:`zoo.io.decode_mask` reads."""
        height, width = self.class_map.shape
        ids = {self.categories[i]: i for i in np.unique(self.class_map).tolist()}
        areas = [
            {"label": name, "id": ids[name], "share": share, "mask": encode_mask(self.class_map == ids[name])}
            for name, share in self._largest(k)
        ]
        return {"height": height, "width": width, "areas": areas}

    def _largest(self, k: int) -> list[tuple[str, float]]:
        return list(self.areas.items())[: check_count("k", k, 1)]

    def draw(self) -> Image.Image:
        """The picture at its own size, tinted by class, with a legend of the classes that occur.

        A class has the colour of :func:`zoo.draw.class_color`; the background is not tinted.
        """
        return segmentation_overlay(as_pil(self.image), self.class_map, self.categories, largest=None)

    def to_supervision(self) -> Any:
        """The classes that occur as ``supervision.Detections``: one mask with its box per class, and ``class_name``.

        Raises:
            MissingPlugin: supervision is not installed.
        """
        sv = optional("supervision", "to_supervision()")
        ids = np.unique(self.class_map).astype(int)
        masks = self.class_map.numpy() == ids[:, None, None]
        names = np.array([self.categories[i] for i in ids.tolist()])
        return sv.Detections(sv.mask_to_xyxy(masks), masks, class_id=ids, data={"class_name": names})

    def save(self, folder: str | Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002
        """Write ``STEM.png``, for viewing, and ``STEM_classes.png``, for computing; ``format`` is ignored.

        The second has the picture's size and mode P: its pixels are the classes, shown in Pascal VOC's colours.

        Raises:
            InvalidArgument: there are more than the 256 classes that a palette can hold.
        """
        if len(self.categories) > 256:
            raise InvalidArgument(f"A PNG with a palette holds at most 256 classes; there are {len(self.categories)}.")
        classes = Image.fromarray(self.class_map.byte().numpy())
        classes.putpalette([value for colour in voc_palette() for value in colour])
        return [save_picture(self.draw(), folder, stem, format), save_picture(classes, folder, f"{stem}_classes")]


class SegmentationTask(PictureTask):
    """Pictures in, the class of every pixel out.

    Pictures of different sizes go through the model separately: padding would change the predictions.
    """

    def watched(self, model: nn.Module) -> list[nn.Module]:
        """The modules that compute the logits: if these are NaN, the argmax is meaningless."""
        return [getattr(model, "classifier", model)]

    def decode(self, outputs: Mapping[str, Tensor], inputs: Sequence[Picture], weights: Weights) -> list[Segmentation]:
        """``{"out": logits [N, num_classes, h, w]}`` → one result per picture."""
        logits = outputs["out"]
        categories = weights.class_names(logits.shape[1])
        return [
            Segmentation(class_map(one, get_dimensions(image)[1:]).cpu(), categories, image)
            for one, image in zip(logits, inputs, strict=True)
        ]


def class_map(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits [num_classes, h, w], enlarged or shrunk bilinearly to ``size`` → the best class of every pixel.

    Computed class by class, so that a large photograph needs memory for two planes instead of twenty-one.
    """
    best = torch.full(tuple(size), -torch.inf, device=logits.device)
    classes = torch.zeros(tuple(size), dtype=torch.uint8 if len(logits) <= 256 else torch.int64, device=logits.device)
    for i, plane in enumerate(logits.float()):
        plane = F.interpolate(plane[None, None], size=tuple(size), mode="bilinear", align_corners=False)[0, 0]
        better = plane > best
        best = torch.where(better, plane, best)
        classes[better] = i
    return classes
