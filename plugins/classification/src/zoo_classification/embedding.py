"""Image feature extraction for ``zoo.pipeline``: a picture in, the feature vector of a model without classes out.

All plugins with such models share this task; a plugin whose models return vectors in another form decodes them in its
own task, into the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zoo import PictureTask, Weights
from zoo.contract import Result, check_count
from zoo.draw import PAPER, legible
from zoo.errors import InvalidArgument
from zoo.io import Picture
from zoo.transforms.functional import as_pil


@dataclass(frozen=True)
class ImageEmbedding(Result):
    """A picture as a vector: pictures with similar content have vectors of similar direction.

    Attributes:
        vector: float [D].
        image: the picture.
    """

    vector: Tensor
    image: Picture

    def similarity(self, other: ImageEmbedding) -> float:
        """The cosine of the angle between two vectors, -1 to 1."""
        return torch.cosine_similarity(self.vector.double(), other.vector.double(), 0).item()

    def lines(self, k: int = 5) -> list[str]:
        """What ``zoo predict`` prints: the first ``k`` numbers, the number of elements, and the length."""
        some = ", ".join(f"{value:.4g}" for value in self.vector[: check_count("k", k, 1)].tolist())
        more, length = ", …" if len(self.vector) > k else "", self.vector.norm()
        return [f"[{some}{more}]  {len(self.vector)} numbers, length {length:.4g}"]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """What ``zoo predict --json`` prints: the complete vector."""
        return {"vector": self.vector.tolist()}

    def draw(self) -> Image.Image:
        """The picture, and below it the vector: one stripe per number, blue below zero, red above."""
        picture = legible(as_pil(self.image))
        share = self.vector.float() / self.vector.abs().max().clamp_min(1e-12)
        level = (255 * (1 - share.abs())).round()
        red, blue = torch.where(share > 0, 255, level), torch.where(share < 0, 255, level)
        stripes = torch.stack([red, level, blue], -1).byte()[None].numpy()
        canvas = Image.new("RGB", (picture.width, picture.height + 40), PAPER)
        canvas.paste(picture, (0, 0))
        canvas.paste(
            Image.fromarray(stripes).resize((picture.width, 32), Image.Resampling.NEAREST), (0, picture.height + 8)
        )
        return canvas

    def save(self, folder: str | Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002
        """Write ``STEM.npy``, the vector, float32 [D]; ``format`` is ignored."""
        path = Path(folder) / f"{stem}.npy"
        np.save(path, self.vector.float().numpy())
        return [path]


@dataclass
class EmbeddingTask(PictureTask):
    """Pictures in, vectors out.

    Args:
        normalize: scale vectors to length 1.
    """

    normalize: bool = False

    def decode(self, outputs: Any, inputs: Sequence[Picture], weights: Weights) -> list[ImageEmbedding]:
        """A tensor [N, D] → one result per picture.

        Raises:
            InvalidArgument: the model returns something else.
        """
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:
            what = f"a tensor {[*outputs.shape]}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
            raise InvalidArgument(f"The model returns {what}; expected one vector per picture, [N, D].")
        vectors = outputs.float()
        vectors = F.normalize(vectors, dim=-1) if self.normalize else vectors
        return [ImageEmbedding(vector, image) for vector, image in zip(vectors.cpu(), inputs, strict=True)]
