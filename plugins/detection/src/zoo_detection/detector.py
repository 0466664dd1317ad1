"""Base of all detectors: checks and batches images, computes features, returns losses, detections or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from zoo.errors import InvalidArgument
from zoo.nn import refuse_script
from zoo.ops import batched_nms, nms_padded
from zoo_detection.fitting import run_part
from zoo_detection.targets import check_images, check_targets, raise_for
from zoo_detection.transform import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BatchImages,
    GeneralizedRCNNTransform,
    ImageList,
    Size,
    Target,
    sizes_of,
    tracing,
)

Losses = dict[str, Tensor]
Detections = dict[str, Tensor]
TransformArgument = nn.Module | None | Literal["default"]


class Detector(nn.Module):
    """Base class of the detectors: subclasses find objects in features.

    A call ``model(images, targets=None, return_losses=False)`` takes images as a list of [C, H, W] of any sizes, or as
    one [N, C, H, W], floating point in [0, 1]; and targets as :func:`zoo_detection.check_targets` describes them.

    In training mode it returns a dict of losses, each a scalar. Otherwise it returns a list with one dict per image:
    ``boxes`` [D, 4] in xyxy and pixels, ``labels`` int64 [D] and ``scores`` [D], best first, and further keys of the
    subclass. With ``return_losses=True`` in eval mode it returns both: ``(losses, detections)``.

    Raises:
        InvalidArgument: images or targets are invalid; the message lists all problems of the targets.
    """

    __prepare_scriptable__ = refuse_script
    has_background = True  # label 0 is background and not used for objects
    compute_parts = (  # the rest depends on values, and boxes need single precision
        "backbone",
        "head",
        "rpn.head",
        *(f"roi_heads.{kind}_{part}" for kind in ("box", "mask", "keypoint") for part in ("head", "predictor")),
    )
    transform: nn.Module
    backbone: nn.Module
    num_classes: int | None
    detections_per_img: int

    def forward(
        self,
        images: Sequence[Tensor] | Tensor,
        targets: Sequence[Mapping[str, Any]] | None = None,
        return_losses: bool = False,
    ) -> Losses | list[Detections] | tuple[Losses, list[Detections]]:
        if tracing() and isinstance(images, list):
            # torch.onnx.export(model, [a, b]) appends the defaults of the remaining arguments.
            images = [image for image in images if image is not None and image.dim()]
        mean = getattr(self.transform, "image_mean", None)
        check_images(images, len(mean) if mean else None, scaled=mean is not None)
        lossy = self.training or return_losses
        if lossy:
            self.check(images, targets)
        original_sizes = sizes_of(images)
        batch, resized = self.transform(images, targets if lossy else None)
        features = self.features(batch)
        if torch.compiler.is_compiling() and self.pads and not lossy:
            padded = self.detect_padded(batch, features)
            unpadded: list[Detections] = finish_unpadded(self, padded, batch.image_sizes, original_sizes)
            return unpadded
        losses, detections = self.detect(batch, features, resized)
        finished = [] if self.training else self.finish(detections, batch.image_sizes, original_sizes)
        return (losses, finished) if return_losses and not self.training else self.eager_outputs(losses, finished)

    def eager_outputs(self, losses: Losses, detections: list[Detections]) -> Any:
        """Selects a call's result: losses in training, otherwise detections. Programs may replace this method."""
        return losses if self.training else detections

    def check(self, images: Sequence[Tensor] | Tensor, targets: Sequence[Mapping[str, Any]] | None) -> None:
        """Raise InvalidArgument if this model cannot be trained on the targets."""
        problems = check_targets(
            images, targets, num_classes=self.num_classes, background=self.has_background, **self.target_checks()
        )
        raise_for(problems)

    def target_checks(self) -> dict[str, Any]:
        """Further arguments of :func:`zoo_detection.check_targets`."""
        return {"masks": False}

    def features(self, images: ImageList) -> dict[str, Tensor]:
        """The backbone's feature maps by name."""
        tensors = images.tensors
        if tensors.is_cpu and not self.training:
            # Convolutions are faster in this format (7 to 8 % of the total), and regions become rows. Training keeps
            # the order of sums, because batch norms amplify rounding differences.
            tensors = tensors.contiguous(memory_format=torch.channels_last)
        features = run_part("backbone", self.backbone, tensors)
        return {"0": features} if isinstance(features, Tensor) else features

    def comparable(self, images: Sequence[Tensor] | Tensor) -> Any:
        """All outputs before thresholds and selection, which are continuous in the arithmetic; for
        :func:`zoo.optimize`."""
        batch, _ = self.transform(images)
        features = self.features(batch)
        return features, self.predictions(batch, features)

    def predictions(self, images: ImageList, features: dict[str, Tensor]) -> Any:
        """The heads' outputs for the features, before selection."""
        raise NotImplementedError

    def detect(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None, most: int | None = None
    ) -> tuple[Losses, list[Detections]]:
        """Losses, if there are targets, and detections, unless in training, in pixels of the batch.

        Args:
            most: return exactly this many detections per image, padded with detections of score -1: for graphs, whose
                sizes must not depend on values. By default the number varies, up to ``detections_per_img``.
        """
        raise NotImplementedError

    @property
    def pads(self) -> bool:
        """Whether :meth:`detect` can pad: False if a part has been replaced by another kind."""
        return False

    def detect_padded(
        self, images: ImageList, features: dict[str, Tensor], most: int | None = None
    ) -> list[tuple[Detections, Tensor]]:
        """``most`` detections per image, by default ``detections_per_img``; and bool [most], which of them are not
        padding."""
        _, padded = self.detect(images, features, None, most or self.detections_per_img)
        return [(found, found["scores"] >= 0) for found in padded]

    def finish(
        self, detections: list[Detections], image_sizes: Sequence[Size], original_sizes: Sequence[Size]
    ) -> list[Detections]:
        """Detections in the batch → in the original images."""
        finished: list[Detections] = self.transform.postprocess(detections, image_sizes, original_sizes)  # type: ignore[operator]
        return finished


def image_transform(
    transform: TransformArgument,
    min_size: int | Sequence[int],
    max_size: int,
    image_mean: Sequence[float] | None,
    image_std: Sequence[float] | None,
    **options: Any,
) -> nn.Module:
    """The transform of a detector: the given one, or one built from the numbers; None gives one that only batches."""
    if unknown := set(options) - {"size_divisible", "fixed_size"}:
        raise TypeError(f"unexpected keyword argument(s) of the detector: {', '.join(sorted(unknown))}.")
    if transform == "default":
        mean, std = image_mean or IMAGENET_MEAN, image_std or IMAGENET_STD
        return GeneralizedRCNNTransform(min_size, max_size, mean, std, **options)
    if transform is None:
        return BatchImages(options.get("size_divisible", 32))
    if not isinstance(transform, nn.Module):
        raise InvalidArgument(f"transform is {transform!r}; expected a module, None or 'default'.")
    return transform


def widened(values: Tensor) -> Tensor:
    """Convert half precision to single: boxes have coordinates of hundreds of pixels, and scores are compared."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def at_most(limit: int, size: Any) -> Any:
    """The minimum of both; for symbols without a branch, so that one graph serves all sizes."""
    if isinstance(size, torch.SymInt):
        return torch.sym_min(limit, size)  # type: ignore[no-untyped-call]
    return min(limit, int(size))


def sizes_as_boxes(sizes: Sequence[Size], like: Tensor) -> Tensor:
    """(height, width) of N images → upper limits of xyxy coordinates, [N, 4]."""
    if not torch.compiler.is_compiling():
        return like.new_tensor([[width, height, width, height] for height, width in sizes])
    sides = [[like.new_full((), side) for side in (width, height)] for height, width in sizes]  # sides may be symbols
    return torch.stack([torch.stack([*one, *one]) for one in sides])


def clip_boxes(boxes: Tensor, limits: Tensor) -> Tensor:
    """Boxes [N, K, 4] of N images, clipped to their borders; ``limits`` [N, 4] are from :func:`sizes_as_boxes`."""
    return torch.minimum(boxes.clamp(min=0), limits[:, None])


def pick(found: Detections, rows: Tensor) -> Detections:
    """The detections of ``found`` at ``rows``."""
    return {name: values[rows] for name, values in found.items()}


def suppress(
    found: Detections, classes: Tensor, good: Tensor, nms_thresh: float, most: int, padded: bool = False
) -> Detections:
    """Non-maximum suppression per class among the ``good`` rows of ``found`` (boxes [K, 4], scores [K] and more), best
    first.

    At most ``most``; with ``padded`` exactly that many: padding has zero boxes and a score of -1.
    """
    if not padded:
        rows = good.nonzero().squeeze(1)
        found = pick(found, rows)
        return pick(found, batched_nms(found["boxes"], found["scores"], classes[rows], nms_thresh)[:most])
    keep = nms_padded(found["boxes"], found["scores"], nms_thresh, most, classes, good)
    there = keep >= 0
    found = pick(found, keep.clamp(min=0))
    boxes, scores = torch.where(there[:, None], found["boxes"], 0), torch.where(there, found["scores"], -1)
    return {**found, "boxes": boxes, "scores": scores}


@_disable_dynamo  # unlike torch.compiler.disable, imports the compiler only when called
def finish_unpadded(
    detector: Detector,
    padded: list[tuple[Detections, Tensor]],
    image_sizes: Sequence[Size],
    original_sizes: Sequence[Size],
) -> list[Detections]:
    """The detections without padding, in the original images. Their number depends on values, so a compiled graph
    breaks here."""
    return detector.finish([pick(*each) for each in padded], image_sizes, original_sizes)


def draw_convolutions(draw: Callable[[Tensor], Any], *roots: nn.Module) -> None:
    """Initialise the convolutions in ``roots``: weights by ``draw``, biases to zero."""
    for root in roots:
        for m in root.modules():
            if isinstance(m, nn.Conv2d):
                draw(m.weight)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
