"""The preprocessings of weights: each turns a picture, clip or pair into the input that its models were evaluated with.

A preset takes PIL images of any mode, uint8 tensors in [0, 255] or float tensors in [0, 1]. A PIL image has a known
mode, so it is converted to the number of channels of the preset's ``mean``: three are RGB, one is grey. (For a model
with ``in_channels=1``, use ``weights.transforms(mean=[0.5], std=[0.5])``.) A tensor must already have this number of
channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from zoo.contract import Preset
from zoo.contract.preprocessing import describe
from zoo.errors import InvalidArgument
from zoo.transforms import functional as TF
from zoo.transforms.functional import InterpolationMode, Picture
from zoo.transforms.pieces import Transform

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)

PIL_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class _Preset(Transform):
    def describe(self) -> str:
        """A description of the preprocessing."""
        return describe(Preset(f"zoo.transforms:{type(self).__name__}", self.arguments()))


class ImageClassification(_Preset):
    """Resize, central crop, scale to [0, 1], normalise.

    Args:
        crop_size: side of the square crop, or ``(height, width)``, in pixels.
        resize_size: length of the shorter side before the crop, or ``(height, width)``, in pixels.
        mean, std: per channel, of values in [0, 1].
        interpolation: an :class:`~zoo.transforms.InterpolationMode` or its name.
        antialias: whether to antialias tensors when they are shrunk; PIL always does.

    Raises:
        InvalidArgument: an argument is out of range; when called, the input is not a picture.
    """

    def __init__(
        self,
        *,
        crop_size: int | Sequence[int],
        resize_size: int | Sequence[int] = 256,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.crop_size = TF.parse_size("crop_size", crop_size)
        self.resize_size = TF.parse_size("resize_size", resize_size)
        self.mean, self.std = TF.check_mean_std(mean, std)
        self.interpolation = InterpolationMode.parse(interpolation)
        self.antialias = antialias

    def forward(self, img: Picture) -> Tensor:
        """PIL image, or uint8 or float tensor ``[C, H, W]`` or ``[N, C, H, W]`` → float32 of the same rank."""
        img = _check_picture(img, len(self.mean))
        img = TF.resize(img, self.resize_size, self.interpolation, antialias=self.antialias)
        img = TF.center_crop(img, self.crop_size)
        return _normalised(img, self.mean, self.std)


class SemanticSegmentation(_Preset):
    """Resize, scale to [0, 1], normalise.

    Args:
        resize_size: length of the shorter side, or ``(height, width)``, in pixels; ``None`` keeps the size.
        mean, std, interpolation, antialias: as for :class:`ImageClassification`.
    """

    def __init__(
        self,
        *,
        resize_size: int | Sequence[int] | None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.resize_size = None if resize_size is None else TF.parse_size("resize_size", resize_size)
        self.mean, self.std = TF.check_mean_std(mean, std)
        self.interpolation = InterpolationMode.parse(interpolation)
        self.antialias = antialias

    def forward(self, img: Picture) -> Tensor:
        """PIL image, or uint8 or float tensor ``[C, H, W]`` or ``[N, C, H, W]`` → float32 of the same rank."""
        img = _check_picture(img, len(self.mean))
        if self.resize_size is not None:
            img = TF.resize(img, self.resize_size, self.interpolation, antialias=self.antialias)
        return _normalised(img, self.mean, self.std)


class ObjectDetection(_Preset):
    """Scale to [0, 1]: detectors resize and normalise themselves."""

    def forward(self, img: Picture) -> Tensor:
        """PIL image, or uint8 or float tensor ``[C, H, W]`` or ``[N, C, H, W]`` → float32 of the same size."""
        return _to_float(_check_picture(img, 3 if isinstance(img, Image.Image) else None))


class VideoClassification(_Preset):
    """Resize (without antialiasing, as the weights were evaluated), central crop, scale to [0, 1], normalise.

    Args:
        crop_size: ``(height, width)`` of the crop, or the side of a square, in pixels.
        resize_size: ``(height, width)`` before the crop, or the length of the shorter side, in pixels.
        mean, std, interpolation: as for :class:`ImageClassification`; the defaults are those of Kinetics-400.
    """

    def __init__(
        self,
        *,
        crop_size: int | Sequence[int],
        resize_size: int | Sequence[int],
        mean: Sequence[float] = KINETICS_MEAN,
        std: Sequence[float] = KINETICS_STD,
        interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
    ) -> None:
        super().__init__()
        self.crop_size = TF.parse_size("crop_size", crop_size)
        self.resize_size = TF.parse_size("resize_size", resize_size)
        self.mean, self.std = TF.check_mean_std(mean, std)
        self.interpolation = InterpolationMode.parse(interpolation)

    def forward(self, vid: Tensor) -> Tensor:
        """uint8 or float ``[T, C, H, W]`` or ``[N, T, C, H, W]`` → float32 ``[C, T, H, W]`` or ``[N, C, T, H, W]``."""
        _check_tensor(vid, {4: "[T, C, H, W]", 5: "[N, T, C, H, W]"}, len(self.mean))
        frames = vid.reshape(-1, *vid.shape[-3:])
        frames = TF.resize(frames, self.resize_size, self.interpolation, antialias=False)
        frames = TF.center_crop(frames, self.crop_size)
        frames = TF.normalize(_to_float(frames), self.mean, self.std)
        return frames.reshape(*vid.shape[:-2], *frames.shape[-2:]).transpose(-4, -3)


class OpticalFlow(_Preset):
    """Scale both pictures to [-1, 1]."""

    def forward(self, img1: Picture, img2: Picture) -> tuple[Tensor, Tensor]:
        """Two PIL images, or uint8 or float tensors ``[C, H, W]`` or ``[N, C, H, W]`` → two float32 tensors.

        Raises:
            InvalidArgument: an input is not a picture, or the shapes differ.
        """
        first, second = (_to_float(_check_picture(img, 3)) for img in (img1, img2))
        if first.shape != second.shape:
            raise InvalidArgument(
                f"The pictures have the shapes {list(first.shape)} and {list(second.shape)}; expected the same size."
            )
        half = (0.5, 0.5, 0.5)
        return TF.normalize(first, half, half), TF.normalize(second, half, half)


class Pixels(_Preset):
    """Only converts to pixels: for exported files that contain the preprocessing.

    Args:
        channels: number of channels of the pictures.
        frames: whether the channels of a clip come first, as for :class:`VideoClassification`.
    """

    def __init__(self, *, channels: int = 3, frames: bool = False) -> None:
        super().__init__()
        self.channels, self.frames = channels, frames

    def forward(self, *pictures: Picture) -> Tensor | tuple[Tensor, ...]:
        """PIL images, or uint8 or float tensors ``[..., C, H, W]`` → uint8 of the same shape, or ``[C, T, H, W]``."""
        found = tuple(_to_bytes(_check_picture(picture, self.channels)) for picture in pictures)
        found = tuple(x.transpose(-4, -3) for x in found) if self.frames else found
        return found[0] if len(found) == 1 else found


def _to_bytes(img: Image.Image | Tensor) -> Tensor:
    x = TF.pil_to_tensor(img) if isinstance(img, Image.Image) else img
    return x if x.dtype == torch.uint8 else _to_float(x).mul(255).round().to(torch.uint8)


def _check_picture(img: Picture, channels: int | None) -> Picture:
    """``img``, a picture or a batch, converted to ``channels`` channels."""
    if isinstance(img, Tensor):
        _check_tensor(img, {3: "[C, H, W]", 4: "[N, C, H, W]"}, channels)
        return img
    TF.get_dimensions(img)
    if channels not in PIL_MODES:
        raise InvalidArgument(f"A PIL image cannot have {channels} channels, the length of mean; pass a tensor.")
    return TF.convert_mode(img, PIL_MODES[channels])


def _check_tensor(x: Tensor, layouts: dict[int, str], channels: int | None) -> None:
    wanted = " or ".join(layouts.values())
    if not isinstance(x, Tensor):
        raise InvalidArgument(f"{type(x).__name__} is not a tensor; expected one of shape {wanted}.")
    if x.ndim not in layouts:
        raise InvalidArgument(f"A tensor of shape {list(x.shape)} is not an input; expected {wanted}.")
    if not (x.is_floating_point() or x.dtype in (torch.uint8, torch.uint16)):
        raise InvalidArgument(f"A picture of {x.dtype} has no known range; pass uint8 in [0, 255] or float in [0, 1].")
    if channels is not None and x.shape[-3] != channels:
        swapped = " It looks like [..., H, W, C]: call .movedim(-1, -3) first." if x.shape[-1] == channels else ""
        raise InvalidArgument(
            f"A tensor of shape {list(x.shape)} has {x.shape[-3]} channel(s), but mean and std have {channels}; "
            f"expected {wanted}.{swapped}"
        )
    TF.get_dimensions(x)


def _normalised(img: Picture, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    floats = _to_float(img)
    return TF.normalize(floats, mean, std, inplace=floats is not img)  # what was given is the caller's


def _to_float(img: Image.Image | Tensor) -> Tensor:
    return TF.convert_image_dtype(TF.pil_to_tensor(img) if isinstance(img, Image.Image) else img, torch.float32)
