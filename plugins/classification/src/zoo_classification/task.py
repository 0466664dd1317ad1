"""Image classification for ``zoo.pipeline``: a picture in, labels with probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo import Weights
from zoo.contract import check_count
from zoo.draw import label_image
from zoo.io.image import open_image
from zoo.transforms.functional import to_pil_image

Picture = Image.Image | Tensor


@dataclass(frozen=True)
class Classification:
    """What a model says of one picture.

    Attributes:
        probabilities: float [num_classes], they add up to 1.
        categories: the labels, in the same order; ``class 0``, ``class 1``, … where the weights name none.
        image: the picture.
    """

    probabilities: Tensor
    categories: Sequence[str]
    image: Picture

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` most probable labels (all, if there are fewer) with their probabilities, best first."""
        values, indices = self.probabilities.topk(min(check_count("k", k, 1), len(self.probabilities)))
        return [(self.categories[i], p) for p, i in zip(values.tolist(), indices.tolist(), strict=True)]

    @property
    def label(self) -> str:
        """The most probable one."""
        return self.top(1)[0][0]

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints."""
        return [f"{p:7.2%}  {label}" for label, p in self.top(k)]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints."""
        return {"top": [{"label": label, "probability": p} for label, p in self.top(k)]}

    def draw(self, k: int = 5) -> Image.Image:
        """The picture with its ``k`` most probable labels."""
        return draw(self, k)


def load(source: Any) -> Picture:
    """A picture from a path or a PIL image, upright; a tensor is taken as it is."""
    return open_image(source) if isinstance(source, str | Path | Image.Image) else source


def collate(prepared: Sequence[Tensor]) -> tuple[Tensor]:
    """Prepared pictures, each [C, H, W] → a batch [N, C, H, W]."""
    return (torch.stack(list(prepared)),)


def decode(outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[Classification]:
    """Logits [N, num_classes] → one result per picture."""
    logits = outputs if isinstance(outputs, Tensor) else outputs[0]  # with auxiliary heads, the main ones come first
    categories = weights.read_categories()
    if len(categories) != logits.shape[-1]:
        categories = [f"class {i}" for i in range(logits.shape[-1])]
    every = logits.float().softmax(-1).cpu()
    return [Classification(p, categories, image) for p, image in zip(every, inputs, strict=True)]


def draw(result: Classification, k: int = 5) -> Image.Image:
    image = result.image if isinstance(result.image, Image.Image) else to_pil_image(result.image)
    return label_image(image, result.top(k))
