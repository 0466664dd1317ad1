"""From images of any sizes to one batch, and from the batch's detections back to the images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo_detection.masks import paste_masks

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Size = tuple[int, int]
Target = dict[str, Any]


class ImageList(NamedTuple):
    """Images in one batch.

    Attributes:
        tensors: [N, C, H, W], smaller images in the top left corner and zeros beside them.
        image_sizes: (height, width) of each.
    """

    tensors: Tensor
    image_sizes: list[Size]


def tracing() -> bool:
    return torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call, no-any-return]


def sizes_of(images: Sequence[Tensor] | Tensor) -> list[Size]:
    """(height, width) of images [C, H, W], as numbers also in a trace, where sizes are tensors."""
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    return [(int(height), int(width)) for height, width in sizes] if tracing() else sizes


class BatchImages(nn.Module):
    """Combines images into one batch without changing them: the transform of ``transform=None``.

    Args:
        size_divisible: height and width of the batch are multiples of this.
    """

    def __init__(self, size_divisible: int = 32) -> None:
        super().__init__()
        self.size_divisible = size_divisible

    def forward(
        self, images: Sequence[Tensor] | Tensor, targets: Sequence[Target] | None = None
    ) -> tuple[ImageList, list[Target] | None]:
        """Images [C, H, W] and their targets → the batch, and the unchanged targets."""
        return self.batch(images), None if targets is None else list(targets)

    def batch(self, images: Sequence[Tensor] | Tensor) -> ImageList:
        sizes = sizes_of(images)
        return ImageList(self.batch_images(images, self.size_divisible), sizes)

    def batch_images(self, images: Sequence[Tensor] | Tensor, size_divisible: int = 32) -> Tensor:
        """Images [C, H, W] → [N, C, H', W'], each in the top left corner, H' and W' multiples of ``size_divisible``."""
        sizes = sizes_of(images)
        height, width = (math.ceil(max(side) / size_divisible) * size_divisible for side in zip(*sizes, strict=True))
        if len(set(sizes)) == 1:
            batch = images if isinstance(images, Tensor) else torch.stack(list(images))
            if sizes[0] != (height, width):
                batch = F.pad(batch, (0, width - sizes[0][1], 0, height - sizes[0][0]))
        elif tracing():  # a trace does not record writing to a slice
            padded = [F.pad(image, (0, width - w, 0, height - h)) for image, (h, w) in zip(images, sizes, strict=True)]
            batch = torch.stack(padded)
        else:
            batch = images[0].new_zeros(len(images), images[0].shape[0], height, width)
            for slot, image, (h, w) in zip(batch, images, sizes, strict=True):
                slot[:, :h, :w] = image
        return batch

    def max_by_axis(self, the_list: Sequence[Sequence[int]]) -> list[int]:
        """The elementwise maximum of several lists."""
        return [max(of_axis) for of_axis in zip(*the_list, strict=True)]

    def postprocess(
        self,
        result: list[dict[str, Tensor]],
        image_shapes: Sequence[Size],
        original_image_sizes: Sequence[Size],
        *,
        paste: bool = True,
    ) -> list[dict[str, Tensor]]:
        """Detections in the batch → detections in the original images.

        Boxes and keypoints are scaled, masks [N, 1, M, M] of the boxes become masks [N, 1, H, W] of the image; with
        ``paste=False`` they are unchanged.
        """
        return [
            to_image(found, shape, original, paste)
            for found, shape, original in zip(result, image_shapes, original_image_sizes, strict=True)
        ]


def to_image(found: dict[str, Tensor], shape: Size, original: Size, paste: bool) -> dict[str, Tensor]:
    if shape != original:
        found = {**found, **_scaled(found, shape, original)}
    if paste and "masks" in found:
        found = {**found, "masks": paste_masks(found["masks"], found["boxes"], original)}
    return found


def _scaled(of: dict[str, Tensor], size: Size, new: Size) -> dict[str, Tensor]:
    """Boxes and keypoints of an image of ``size``, in one of ``new`` size."""
    y, x = new[0] / size[0], new[1] / size[1]
    # Without objects a tensor may have shape [0]. In a graph only the number of dimensions is known.
    factors = {"boxes": [x, y, x, y], "keypoints": [x, y, 1.0]}
    return {key: of[key] * of[key].new_tensor(f) for key, f in factors.items() if key in of and of[key].dim() > 1}


def resize_boxes(boxes: Tensor, original_size: Size, new_size: Size) -> Tensor:
    """Boxes [N, 4] of an image of ``original_size``, (height, width), in the same image of ``new_size``."""
    return _scaled({"boxes": boxes}, original_size, new_size).get("boxes", boxes)


def resize_keypoints(keypoints: Tensor, original_size: Size, new_size: Size) -> Tensor:
    """Keypoints [N, K, 3] of an image of ``original_size``, (height, width), in the same image of ``new_size``."""
    return _scaled({"keypoints": keypoints}, original_size, new_size).get("keypoints", keypoints)


class GeneralizedRCNNTransform(BatchImages):
    """Normalises images in [0, 1], resizes them, and combines them into one batch.

    Args:
        min_size: the shorter side after resizing, in pixels. If there are several, training draws one for each image,
            and evaluation uses the last.
        max_size: limit of the longer side; the shorter side is reduced accordingly.
        image_mean: mean of the channels, which is subtracted; ``image_std``: deviation, by which the result is divided.
        size_divisible: height and width of the batch are multiples of this.
        fixed_size: (width, height) of all images, instead of ``min_size`` and ``max_size``.
    """

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        size_divisible: int = 32,
        fixed_size: Size | None = None,
    ) -> None:
        super().__init__(size_divisible)
        self.min_size = tuple(min_size) if isinstance(min_size, Iterable) else (index(min_size),)
        self.max_size = max_size
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.fixed_size = fixed_size
        if len(self.image_mean) != len(self.image_std) or not all(self.image_std):
            raise InvalidArgument(
                f"image_mean is {self.image_mean} and image_std {self.image_std}; expected the same number of values "
                "in both, and no 0 in image_std."
            )

    def forward(
        self, images: Sequence[Tensor] | Tensor, targets: Sequence[Target] | None = None
    ) -> tuple[ImageList, list[Target] | None]:
        """Images [C, H, W], and their targets in pixels → the batch, and the targets in pixels of the batch."""
        if type(self).resize is not GeneralizedRCNNTransform.resize:  # an overridden method, which takes single images
            none = [None] * len(images)
            pairs = [self.resize(self.normalize(i), t) for i, t in zip(images, targets or none, strict=True)]
            own = None if targets is None else [target for _, target in pairs if target is not None]
            return self.batch([image for image, _ in pairs]), own
        sizes = sizes_of(images)
        new_sizes = [self.new_size(size) for size in sizes]
        together = len(set(sizes)) == len(set(new_sizes)) == 1
        # A list of images that shrink is combined afterwards: copies of whole images would be most of the memory.
        if together and (isinstance(images, Tensor) or math.prod(new_sizes[0]) >= math.prod(sizes[0])):
            batch = images if isinstance(images, Tensor) else torch.stack(list(images))
            resized: Sequence[Tensor] | Tensor = interpolated(self.normalize(batch), new_sizes[0])
        else:
            # Channels as a batch: with one thread, torch would copy an image of three channels to channels-last.
            resized = [
                interpolated(self.normalize(image)[:, None], size)[:, 0]
                for image, size in zip(images, new_sizes, strict=True)
            ]
        if targets is not None:
            targets = [resize_target(*each) for each in zip(targets, sizes, new_sizes, strict=True)]
        return self.batch(resized), None if targets is None else list(targets)

    def new_size(self, size: Size) -> Size:
        """(height, width) after resizing. In training, every call draws ``min_size``."""
        min_size = self.min_size[-1]
        if self.training:  # always draws a random number, so that seeded programs are reproducible
            min_size = self.torch_choice(self.min_size)
        if self.fixed_size is not None:
            return self.fixed_size[1], self.fixed_size[0]
        scale = min(min_size / min(size), self.max_size / max(size))
        return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))

    def torch_choice(self, k: Sequence[int]) -> int:
        """A random element of ``k``, by torch's generator."""
        drawn = torch.empty(1, device="cpu").uniform_(0, len(k))
        return k[int(drawn)] if len(k) > 1 else k[0]

    def normalize(self, image: Tensor) -> Tensor:
        """An image [C, H, W] or a batch, normalised with the mean and deviation of the channels."""
        mean, std = (image.new_tensor(v)[:, None, None] for v in (self.image_mean, self.image_std))
        return (image - mean).div_(std)

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """An image [C, H, W] in its new size, and its target; subclasses may override this method."""
        old = (image.shape[-2], image.shape[-1])
        new = self.new_size(old)
        return interpolated(image[None], new)[0], None if target is None else resize_target(target, old, new)

    def extra_repr(self) -> str:
        size = f"fixed_size={self.fixed_size}" if self.fixed_size else f"min_size={self.min_size}, {self.max_size=}"
        return f"{size.replace('self.', '')}, mean={self.image_mean}, std={self.image_std}"


def interpolated(images: Tensor, size: Size) -> Tensor:
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def resize_target(target: Target, size: Size, new: Size) -> Target:
    """A target of an image of ``size``, (height, width), for the same image in ``new`` size."""
    if size == new:
        return target
    target = {**target, **_scaled(target, size, new)}
    if "masks" in target:
        masks = target["masks"].to(torch.uint8)
        target["masks"] = F.interpolate(masks[:, None], size=new)[:, 0] if len(masks) else masks.new_zeros(0, *new)
    return target
