"""timm's evaluation transform, for preprocessing that zoo's preset cannot reproduce exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from zoo.compat import torchvision_operators
from zoo.errors import InvalidArgument

torchvision_operators()

from timm.data import create_transform  # noqa: E402


class Evaluation:
    """Equals ``timm.data.create_transform(…, is_training=False)``: a PIL image → a float tensor [C, H, W].

    Args:
        input_size: channels, height and width of the result.
        crop_pct: size of the crop relative to the resized picture.
        crop_mode: ``"center"``, ``"squash"`` or ``"border"``.
        interpolation: timm's name of the interpolation.
        mean, std: for each channel, for values in [0, 1].
    """

    def __init__(
        self,
        *,
        input_size: Sequence[int],
        crop_pct: float,
        crop_mode: str,
        interpolation: str,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        self.mean, self.std = tuple(mean), tuple(std)
        self.crop_size = tuple(input_size[1:])
        self._transform: Any = create_transform(
            tuple(input_size),
            is_training=False,
            crop_pct=crop_pct,
            crop_mode=crop_mode,
            interpolation=interpolation,
            mean=self.mean,
            std=self.std,
        )

    def __call__(self, picture: Image.Image) -> Tensor:
        if not isinstance(picture, Image.Image):
            raise InvalidArgument(f"timm's transform takes a PIL image, not a {type(picture).__name__}.")
        prepared: Tensor = self._transform(picture.convert("RGB"))
        return prepared
