"""Single transforms as objects, under torchvision's names, to combine with ``Compose``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zoo.contract.preprocessing import listed
from zoo.errors import InvalidArgument, MissingPlugin
from zoo.nn.checks import refuse_script
from zoo.transforms import elsewhere, functional as TF
from zoo.transforms.functional import InterpolationMode, Picture


class Transform(nn.Module):
    """A transform whose public attributes are its arguments, so that its repr is the call that builds it."""

    __prepare_scriptable__ = refuse_script

    def arguments(self) -> dict[str, Any]:
        """The arguments, as plain types."""
        own = ((k, v) for k, v in vars(self).items() if not k.startswith("_") and k != "training")
        return {k: v.value if isinstance(v, Enum) else v for k, v in own}

    def extra_repr(self) -> str:
        return listed(self.arguments())


class Compose:
    """Calls one transform after another.

    Raises:
        InvalidArgument: ``transforms`` is not a sequence of callables.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        if not isinstance(transforms, Sequence) or not all(map(callable, transforms)):
            raise InvalidArgument(f"transforms is {transforms!r}; expected a list of callables.")
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        return "Compose([\n" + "".join(f"    {transform!r},\n" for transform in self.transforms) + "])"


class Resize(Transform):
    """Resizes the shorter side to ``size``, or to ``(height, width)``; see :func:`zoo.transforms.functional.resize`."""

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = TF.parse_size("size", size)
        self.interpolation = InterpolationMode.parse(interpolation)
        self.max_size = max_size
        self.antialias = antialias
        TF.resized_size(1, 1, self.size, max_size)  # raises if max_size contradicts size

    def forward(self, img: Picture) -> Picture:
        return TF.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """Crops the central ``size`` pixels; see :func:`zoo.transforms.functional.center_crop`."""

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = TF.parse_size("size", size)

    def forward(self, img: Picture) -> Picture:
        return TF.center_crop(img, self.size)


class Pad(Transform):
    """Adds a border; see :func:`zoo.transforms.functional.pad`."""

    def __init__(
        self, padding: int | Sequence[int], fill: float | Sequence[float] = 0, padding_mode: str = "constant"
    ) -> None:
        super().__init__()
        TF.check_padding(padding, padding_mode)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img: Picture) -> Picture:
        return TF.pad(img, self.padding, self.fill, self.padding_mode)


class PILToTensor(Transform):
    """PIL image to tensor ``[C, H, W]``, values unscaled; see :func:`zoo.transforms.functional.pil_to_tensor`."""

    def forward(self, pic: Image.Image) -> Tensor:
        return TF.pil_to_tensor(pic)


class ToTensor(Transform):
    """PIL image or array to float tensor ``[C, H, W]`` in [0, 1]; see :func:`zoo.transforms.functional.to_tensor`."""

    def forward(self, pic: Image.Image | np.ndarray[Any, Any]) -> Tensor:
        return TF.to_tensor(pic)


class ToPILImage(Transform):
    """Tensor or array to PIL image; see :func:`zoo.transforms.functional.to_pil_image`."""

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, pic: Tensor | np.ndarray[Any, Any]) -> Image.Image:
        return TF.to_pil_image(pic, self.mode)


class ConvertImageDtype(Transform):
    """Another dtype, scaled to its range; see :func:`zoo.transforms.functional.convert_image_dtype`."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        return TF.convert_image_dtype(image, self.dtype)


class Normalize(Transform):
    """``(x - mean) / std`` per channel; see :func:`zoo.transforms.functional.normalize`."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std = TF.check_mean_std(mean, std)
        self.inplace = inplace

    def forward(self, tensor: Tensor) -> Tensor:
        return TF.normalize(tensor, self.mean, self.std, self.inplace)


def __getattr__(name: str) -> Any:
    if sentence := elsewhere.where(name):
        raise MissingPlugin(sentence)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
