"""Export of detectors: images in, padded detections and their count out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import Exportable, Preset
from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo.loading import Exported, loaded_weights
from zoo.running.exportable import PIXEL_AXES, PIXELS
from zoo_detection.detector import Detections, Detector
from zoo_detection.free_sizes import FreeDetector, check_free
from zoo_detection.mask_rcnn import MASK_FORMATS, MaskRCNN
from zoo_detection.transform import IMAGENET_MEAN, Size

AXES = {0: "batch", 2: "height", 3: "width"}
SINGLE_AXES = {1: "height", 2: "width"}
LAYOUT = "RGB, 0 to 1, [picture, channel, row, column]"
EXAMPLE = (4, 3)  # aspect ratio of pictures, if only the length of the shorter side is known


def export(
    model: nn.Module,
    image_size: Size | None,
    max_detections: int | None = None,
    mask_format: str | None = None,
    *,
    dynamic: Sequence[str] = (),
    preprocessing: Preset | None = None,
) -> Exportable:
    """A detector in the form that :func:`zoo.export` expects.

    The input is ``image``, float [3, H, W] in [0, 1] (or as the caller prepares it, for a detector with
    ``transform=None``): normalising and resizing are part of the graph. The outputs are ``boxes`` [D, 4] in xyxy and
    pixels of that image, ``labels`` int64 [D], ``scores`` [D], best first; ``masks`` [D, 1, H, W] or [D, 1, 28, 28];
    ``keypoints`` [D, K, 3] and ``keypoints_scores`` [D, K]; and ``count``, int64 [], the number of valid detections.
    The others are zeros.

    With a dynamic ``batch`` the input is ``image`` [N, 3, H, W], pictures of one size, and all outputs have N before D;
    with ``preprocessing`` it is uint8 [N, H, W, 3] of any size.

    Args:
        model: a detector of this package, or one built from its parts.
        image_size: (height, width) of the image; by default the size that its weights were made for.
        max_detections: D, the maximum number of detections; by default the model's ``detections_per_img``.
        mask_format: ``"full"`` or ``"roi"``; by default the model's.
        dynamic: which of ``batch``, ``height`` and ``width`` are dynamic.
        preprocessing: preset to include in the graph: scaling to [0, 1].

    Raises:
        InvalidArgument: the image size is missing, ``mask_format`` is unknown or the model has no masks, or the model
            computes its detections in its own way.
    """
    fixed = getattr(getattr(model, "transform", None), "fixed_size", None)
    free = preprocessing is not None or any(side in dynamic for side in ("height", "width"))
    image_size = image_size or (fixed and fixed[::-1]) or _usual_size(model, free)
    if image_size is None:
        raise InvalidArgument(
            "a detector takes images of any size, but an exported file has a fixed size: pass image_size=(height, "
            "width), or make the size dynamic: dynamic=('height', 'width')."
        )
    if not (isinstance(model, Detector) and model.pads):
        raise InvalidArgument(
            f"{type(model).__name__} cannot be exported as a detector; expected a FasterRCNN, MaskRCNN, KeypointRCNN, "
            "RetinaNet, FCOS or SSD of zoo_detection, or a subclass that computes its detections in the same way."
        )
    if mask_format is not None:
        expected = f"one of {', '.join(MASK_FORMATS)}" if isinstance(model, MaskRCNN) else "none: it has no masks"
        if not isinstance(model, MaskRCNN) or mask_format not in MASK_FORMATS:
            raise InvalidArgument(f"mask_format is {mask_format!r} for {type(model).__name__}; expected {expected}.")
        model = copy.copy(model)  # a shallow copy: parameters are shared
        model.mask_format = mask_format
    if max_detections is not None:
        check_count("max_detections", max_detections, 1)
    channels = len(getattr(model.transform, "image_mean", IMAGENET_MEAN))
    if not dynamic and preprocessing is None:
        module: nn.Module = FixedSizeDetector(model, max_detections).eval()
        example = torch.rand(channels, *image_size)
        return Exportable(module, (example,), ("image",), onnx=translations, axes={"image": SINGLE_AXES})
    check_free(model)
    several, pixels = "batch" in dynamic, preprocessing is not None
    module = FreeDetector(model, max_detections, pixels=pixels, single=not (several or pixels)).eval()
    if pixels:
        example = torch.randint(0, 256, (1 + several, *image_size, channels), dtype=torch.uint8)
        axes, holds = PIXEL_AXES, PIXELS
    else:
        example = torch.rand(*([2] if several else []), channels, *image_size)
        axes, holds = AXES if several else SINGLE_AXES, LAYOUT
    return Exportable(module, (example,), ("image",), onnx=translations, axes={"image": axes}, layouts={"image": holds})


def _usual_size(model: nn.Module, free: bool) -> Size | None:
    """(height, width) of a picture after a detector's resizing, if weights were loaded into it or any size will do."""
    shorter = getattr(getattr(model, "transform", None), "min_size", None)
    if not shorter or not (free or loaded_weights(model)):
        return None
    longest: int = getattr(model.transform, "max_size", shorter[-1])
    return shorter[-1], min(shorter[-1] * EXAMPLE[0] // EXAMPLE[1], longest)


class FixedSizeDetector(nn.Module):
    """The module that :func:`export` describes: an image [C, H, W] → the detections' tensors, and their count."""

    def __init__(self, detector: Detector, max_detections: int | None = None) -> None:
        super().__init__()
        self.detector = detector
        self.max_detections = max_detections

    def forward(self, image: Tensor) -> Detections:
        detector = self.detector
        batch, _ = detector.transform(image[None])
        ((found, there),) = detector.detect_padded(batch, detector.features(batch), self.max_detections)
        (found,) = detector.finish([found], batch.image_sizes, [(image.shape[1], image.shape[2])])
        padded = {name: torch.where(there.view(-1, *[1] * (t.ndim - 1)), t, 0) for name, t in found.items()}
        return {**padded, "count": there.sum()}


def translations() -> dict[Any, Any]:
    """Operators of this package → their ONNX implementations."""
    from zoo_detection.onnx import keypoint_peaks

    return {torch.ops.zoo_detection.keypoints_of.default: keypoint_peaks}


class Restored(Exported):
    """An exported detector with the interface of the model: takes a list of images of any sizes."""

    def __call__(self, images: Sequence[Tensor]) -> list[Detections]:  # type: ignore[override]
        """Images [C, H, W] → the detections of each.

        Images of one size are run together if the file's batch is dynamic. An image of another size than the file takes
        is resized, and its detections are scaled back.
        """
        found: list[Detections | None] = [None] * len(images)
        sizes: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            sizes.setdefault(tuple(image.shape), []).append(i)
        for (_, *size), rows in sizes.items():
            for row, one in zip(rows, self.of_one_size(torch.stack([images[i] for i in rows])), strict=True):
                found[row] = {name: scaled(name, t, size, self.size) for name, t in one.items()}
        return [one for one in found if one is not None]

    @property
    def shape(self) -> list[int | str]:
        """Shape of the file's input, channels first, without the batch."""
        shape = list(self.inputs[0]["shape"]) if self.inputs else ["channels", "height", "width"]
        if "preprocessing" in self.has:
            return [shape[3], shape[1], shape[2]]
        return shape[-3:]

    @property
    def size(self) -> tuple[int, int] | None:
        """The fixed (height, width) of the file; None if both are dynamic."""
        height, width = self.shape[1:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def of_one_size(self, images: Tensor) -> list[Detections]:
        """The detections in images [N, C, H, W]."""
        if self.size is not None and images.shape[-2:] != self.size:
            images = F.interpolate(images, size=self.size, mode="bilinear", antialias=True)
        if self.inputs and len(self.inputs[0]["shape"]) == 3:
            parts = [{name: t[None] for name, t in self.run(image).items()} for image in images]
            outputs: Mapping[str, Tensor] = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        else:
            outputs = self.batched(images)
        counts = outputs["count"].tolist()
        return [
            {name: t[i, :count] for name, t in outputs.items() if name != "count"} for i, count in enumerate(counts)
        ]


def scaled(name: str, t: Tensor, size: Sequence[int], taken: tuple[int, int] | None) -> Tensor:
    """Scale detections of an image that was resized from ``size`` to ``taken`` back to the original image."""
    if taken is None or tuple(size) == taken:
        return t
    y, x = size[0] / taken[0], size[1] / taken[1]
    factors = {"boxes": [x, y, x, y], "keypoints": [x, y, 1.0]}
    if name in factors:
        return t * t.new_tensor(factors[name])
    if name == "masks" and tuple(t.shape[-2:]) == taken and len(t):
        return F.interpolate(t, size=tuple(size), mode="bilinear", align_corners=False)
    return t
