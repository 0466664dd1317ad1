"""Detectors as files: one image of a fixed size in, padded detections and their count out."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Exportable
from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo_detection.detector import Detections, Detector
from zoo_detection.mask_rcnn import MASK_FORMATS, MaskRCNN
from zoo_detection.transform import IMAGENET_MEAN, Size


def export(
    model: nn.Module, image_size: Size | None, max_detections: int | None = None, mask_format: str | None = None
) -> Exportable:
    """A detector as :func:`zoo.export` takes it.

    The input is ``image``, float [3, H, W] in [0, 1] (or as the caller prepares it, for a detector with
    ``transform=None``): it is normalised and resized within. The outputs are ``boxes`` [D, 4] in xyxy and pixels of
    that image, ``labels`` int64 [D], ``scores`` [D], best first; ``masks`` [D, 1, H, W] or [D, 1, 28, 28];
    ``keypoints`` [D, K, 3] and ``keypoints_scores`` [D, K]; and ``count``, int64 [], how many of the D there are. The
    others are zeros.

    Args:
        model: a detector of this package, or one made of its parts.
        image_size: (height, width) of the image.
        max_detections: D, and so the most that are found; by default the model's ``detections_per_img``.
        mask_format: ``"full"`` or ``"roi"``; by default the model's.

    Raises:
        InvalidArgument: no image size, another ``mask_format`` or one for a model without masks, a model that finds its
            detections in a way of its own.
    """
    fixed = getattr(getattr(model, "transform", None), "fixed_size", None)
    image_size = image_size or (fixed and fixed[::-1])
    if image_size is None:
        raise InvalidArgument(
            "a detector takes images of any size, and a file of one: give image_size=(height, width)."
        )
    if not (isinstance(model, Detector) and model.pads):
        raise InvalidArgument(
            f"{type(model).__name__} cannot be exported as a detector; expected a FasterRCNN, MaskRCNN, KeypointRCNN, "
            "RetinaNet, FCOS or SSD of zoo_detection, or a subclass that finds its detections in the same way."
        )
    if mask_format is not None:
        expected = f"one of {', '.join(MASK_FORMATS)}" if isinstance(model, MaskRCNN) else "none: it has no masks"
        if not isinstance(model, MaskRCNN) or mask_format not in MASK_FORMATS:
            raise InvalidArgument(f"mask_format is {mask_format!r} for {type(model).__name__}; expected {expected}.")
        model = copy.copy(model)  # parameters and all are shared
        model.mask_format = mask_format
    if max_detections is not None:
        check_count("max_detections", max_detections, 1)
    module = FixedSizeDetector(model, max_detections).eval()
    channels = len(getattr(model.transform, "image_mean", IMAGENET_MEAN))
    return Exportable(module, (torch.rand(channels, *image_size),), ("image",), onnx=translations)


class FixedSizeDetector(nn.Module):
    """What :func:`export` describes: an image [C, H, W] → the detections' tensors, and how many there are."""

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
    """Operators of this package → what they are in ONNX."""
    from zoo_detection.onnx import keypoint_peaks

    return {torch.ops.zoo_detection.keypoints_of.default: keypoint_peaks}
