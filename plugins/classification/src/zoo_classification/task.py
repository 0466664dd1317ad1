"""Image classification for ``zoo.pipeline``: a picture in, labels with probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from zoo import PictureTask, Weights
from zoo.contract import Result, check_count, optional
from zoo.draw import label_image
from zoo.io import Picture
from zoo.transforms.functional import as_pil


@dataclass(frozen=True)
class Classification(Result):
    """The prediction for one picture.

    Attributes:
        probabilities: float [num_classes]; they sum to 1.
        categories: the labels, in the same order; ``class 0``, ``class 1``, … if the weights name none.
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
        """The most probable label."""
        return self.top(1)[0][0]

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints."""
        return [f"{p:7.2%}  {label}" for label, p in self.top(k)]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints."""
        return {"top": [{"label": label, "probability": p} for label, p in self.top(k)]}

    def draw(self, k: int = 5) -> Image.Image:
        """The picture with its ``k`` most probable labels."""
        return label_image(as_pil(self.image), self.top(k))

    def to_supervision(self) -> Any:
        """All labels as ``supervision.Classifications``: class numbers with their probabilities.

        Raises:
            MissingPlugin: supervision is not installed.
        """
        sv = optional("supervision", "to_supervision()")
        return sv.Classifications(np.arange(len(self.probabilities)), self.probabilities.float().numpy())


class ClassificationTask(PictureTask):
    """Pictures in, labels with probabilities out."""

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[Classification]:
        """Logits [N, num_classes] → one result per picture."""
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]  # main logits first, then auxiliary
        categories = weights.class_names(logits.shape[-1])
        every = logits.float().softmax(-1).cpu()
        return [Classification(p, categories, image) for p, image in zip(every, inputs, strict=True)]
