"""Feature extraction: a picture in, the vector that a model without classes makes of it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import zoo


@dataclass
class Features(zoo.Result):
    """What a picture became.

    Attributes:
        vector: float32 [channels].
        picture: the picture.
    """

    vector: Tensor
    picture: Any = None

    def lines(self, k: int = 5) -> list[str]:
        """The vector's size and length, and its first ``k`` numbers."""
        first = ", ".join(f"{value:.4g}" for value in self.vector[:k].tolist())
        return [f"{len(self.vector)} numbers, length {self.vector.norm():.4g}: {first}, …"]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        return {"vector": self.vector.tolist()}

    def draw(self) -> Image.Image:
        """The picture, and below it a bar for each part of the vector: grey is zero, white more, black less."""
        picture: Image.Image = self.picture if isinstance(self.picture, Image.Image) else Image.new("RGB", (256, 256))
        share = self.vector / self.vector.abs().max().clamp_min(1e-12)
        bars = Image.fromarray(((share + 1) * 127.5).byte()[None].numpy()).resize((picture.width, 24))
        drawn = Image.new("RGB", (picture.width, picture.height + 24))
        drawn.paste(picture.convert("RGB"))
        drawn.paste(bars.convert("RGB"), (0, picture.height))
        return drawn

    def save(self, folder: Path, stem: str, format: str = "png") -> list[Path]:  # noqa: A002  Pillow's word for it
        """Write ``STEM.npy``, the vector, whatever the format."""
        path = Path(folder) / f"{stem}.npy"
        np.save(path, self.vector.numpy())
        return [path]

    def similarity(self, other: Features) -> float:
        """The cosine of the angle between two vectors, in [-1, 1]."""
        return float(F.cosine_similarity(self.vector, other.vector, dim=0))


@dataclass
class FeatureTask(zoo.PictureTask):
    """The task's steps.

    Args:
        normalize: scale vectors to length 1.
    """

    normalize: bool = False

    def decode(self, outputs: Tensor, inputs: Sequence[Any], weights: zoo.Weights) -> list[Features]:
        """Outputs [N, channels] → a result for each input."""
        vectors = outputs.detach().float().cpu()
        vectors = F.normalize(vectors, dim=1) if self.normalize else vectors
        return [Features(vector, picture) for vector, picture in zip(vectors, inputs, strict=True)]
