"""What all detectors share: images in, checked and batched; features; losses or detections, or both, out."""

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
    """Base of the detectors: subclasses find objects in features.

    A call ``model(images, targets=None, return_losses=False)`` takes images as a list of [C, H, W] of any sizes, or as
    one [N, C, H, W], floating point in [0, 1]; and targets as :func:`zoo_detection.check_targets` describes them.

    In training, the result is a dict of losses, each a scalar. Else it is a list with a dict for each image: ``boxes``
    [D, 4] in xyxy and pixels, ``labels`` int64 [D] and ``scores`` [D], best first, and more as the subclass says. With
    ``return_losses=True`` in eval mode, both: ``(losses, detections)``.

    Raises:
        InvalidArgument: images or targets that cannot be right; all that is wrong with the targets is named.
    """

    __prepare_scriptable__ = refuse_script
    has_background = True  # label 0 is background, and no object's
    compute_parts = (  # the rest chooses by values, and boxes need the digits of single precision
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
            # torch.onnx.export(model, [a, b]) appends the defaults of the arguments that it takes to be left.
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
        """What a call gives of the two: losses in training, else detections. Programs put in their own."""
        return losses if self.training else detections

    def check(self, images: Sequence[Tensor] | Tensor, targets: Sequence[Mapping[str, Any]] | None) -> None:
        """Raise InvalidArgument if the targets are not what this model can be trained on."""
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
            # Convolutions are faster so (7 to 8 % of the whole), and regions are rows. In training the order of sums
            # is left as it is: what rounding there is, batch norms enlarge.
            tensors = tensors.contiguous(memory_format=torch.channels_last)
        features = run_part("backbone", self.backbone, tensors)
        return {"0": features} if isinstance(features, Tensor) else features

    def comparable(self, images: Sequence[Tensor] | Tensor) -> Any:
        """All that detections are chosen from, which changes as little as the arithmetic; for :func:`zoo.optimize`."""
        batch, _ = self.transform(images)
        features = self.features(batch)
        return features, self.predictions(batch, features)

    def predictions(self, images: ImageList, features: dict[str, Tensor]) -> Any:
        """What the heads make of the features, before anything is chosen."""
        raise NotImplementedError

    def detect(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None, most: int | None = None
    ) -> tuple[Losses, list[Detections]]:
        """Losses, if there are targets, and detections, unless in training, in the batch's pixels.

        Args:
            most: so many detections of each image, padded with such as have a score of -1: for graphs, where no size
                may depend on values. By default as many as there are, up to ``detections_per_img``.
        """
        raise NotImplementedError

    @property
    def pads(self) -> bool:
        """Whether :meth:`detect` can pad: not where a part of another kind may go its own way."""
        return False

    def detect_padded(
        self, images: ImageList, features: dict[str, Tensor], most: int | None = None
    ) -> list[tuple[Detections, Tensor]]:
        """``most`` detections of each image, by default ``detections_per_img``; and bool [most], which are real."""
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
    """The transform of a detector: the one that is given, or made of the numbers; None is one that only batches."""
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
    """Half precision in single: boxes have coordinates of hundreds of pixels, and scores are compared."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def at_most(limit: int, size: Any) -> Any:
    """The smaller of both; of a symbol without a branch, so that a graph serves all sizes."""
    if isinstance(size, torch.SymInt):
        return torch.sym_min(limit, size)  # type: ignore[no-untyped-call]
    return min(limit, int(size))


def sizes_as_boxes(sizes: Sequence[Size], like: Tensor) -> Tensor:
    """(height, width) of N images → their lower right corners, twice: [N, 4], what coordinates may be at most."""
    if not torch.compiler.is_compiling():
        return like.new_tensor([[width, height, width, height] for height, width in sizes])
    sides = [[like.new_full((), side) for side in (width, height)] for height, width in sizes]  # may be symbols
    return torch.stack([torch.stack([*one, *one]) for one in sides])


def clip_boxes(boxes: Tensor, limits: Tensor) -> Tensor:
    """Boxes [N, K, 4] of N images, cut off at their borders; ``limits`` [N, 4] of :func:`sizes_as_boxes`."""
    return torch.minimum(boxes.clamp(min=0), limits[:, None])


def pick(found: Detections, rows: Tensor) -> Detections:
    """Those of ``found`` at ``rows``."""
    return {name: values[rows] for name, values in found.items()}


def suppress(
    found: Detections, classes: Tensor, good: Tensor, nms_thresh: float, most: int, padded: bool = False
) -> Detections:
    """Of ``found``, boxes [K, 4], scores [K] and more, the ``good`` that no better of their class overlaps, best first.

    At most ``most``; or, ``padded``, always so many: the others are at no place and have a score of -1.
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


@_disable_dynamo  # torch.compiler.disable imports the compiler at once, and this when it is called
def finish_unpadded(
    detector: Detector,
    padded: list[tuple[Detections, Tensor]],
    image_sizes: Sequence[Size],
    original_sizes: Sequence[Size],
) -> list[Detections]:
    """What is no padding, in the original images. How much that is depends on values, so here a compiled graph ends."""
    return detector.finish([pick(*each) for each in padded], image_sizes, original_sizes)


def draw_convolutions(draw: Callable[[Tensor], Any], *roots: nn.Module) -> None:
    """Initialise the convolutions in ``roots``: weights by ``draw``, no bias."""
    for root in roots:
        for m in root.modules():
            if isinstance(m, nn.Conv2d):
                draw(m.weight)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
