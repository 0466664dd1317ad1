"""Checks of detectors' inputs: each message names the image, what was found, what was expected and a likely cause."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InvalidArgument, InvalidTargets, ZooWarning

SLACK = 1.0  # pixels by which a box may exceed its image: annotations are rounded
LISTED = 20  # maximum number of problems in an error


@dataclass(frozen=True)
class TargetProblem:
    """A problem of a target.

    Attributes:
        image: index of the image in the batch.
        box: index of the object in its target; None if the problem concerns the complete target.
        problem: what was found, what is expected, and a likely cause.
    """

    image: int
    box: int | None
    problem: str

    def __str__(self) -> str:
        return f"image {self.image}{'' if self.box is None else f', box {self.box}'}: {self.problem}"


def check_targets(
    images: Sequence[Tensor] | Tensor,
    targets: Sequence[Mapping[str, Any]] | None,
    *,
    num_classes: int | None = None,
    background: bool = True,
    masks: bool | None = None,
    num_keypoints: int | None = None,
) -> list[TargetProblem]:
    """List all problems of a training batch for a detector; an empty list means that the batch is valid.

    A target is a dict of ``boxes``, floating point [N, 4] in xyxy and pixels of the image, ``labels``, int64 [N], and,
    if the model needs them, ``masks``, [N, H, W] of zeros and ones, and ``keypoints``, floating point [N, K, 3] (x, y,
    visibility). Other keys are ignored. An image without objects has N = 0, and keypoints of shape [0, K, 3] or [0].

    Args:
        images: [C, H, W] each, or one [N, C, H, W].
        targets: one per image.
        num_classes: labels must be below this; by default there is no limit.
        background: label 0 is background and not allowed for objects.
        masks: whether targets must have masks; by default masks are checked if present.
        num_keypoints: required number of keypoints per object; by default keypoints are checked if present.

    >>> for problem in zoo_detection.check_targets(images, targets):
    ...     print(problem)
    image 3, box 0: [10, 200, 60, 80] ends above or left of where it starts; expected x1 < x2 and y1 < y2. It looks …
    """
    if targets is None or not isinstance(targets, list | tuple) or len(targets) != len(images):
        found = f"{len(targets)} targets" if isinstance(targets, list | tuple) else f"targets={_short(targets)}"
        return [TargetProblem(0, None, f"{found} for {len(images)} images; expected a list with one dict per image")]
    problems = []
    for i, (image, target) in enumerate(zip(images, targets, strict=True)):
        checks = _Checks(image, target, num_classes, background, masks, num_keypoints)
        problems += [TargetProblem(i, box, problem) for box, problem in checks.run()]
    return problems


def raise_for(problems: Sequence[TargetProblem]) -> None:
    """Raise InvalidTargets with all ``problems``, if there are any."""
    if not problems:
        return
    lines = [f"{len(problems)} problem(s) in the targets of this batch:", *(f"  {p}" for p in problems[:LISTED])]
    if len(problems) > LISTED:
        lines.append(f"  and {len(problems) - LISTED} more; zoo_detection.check_targets(images, targets) lists all.")
    raise InvalidTargets("\n".join(lines))


Found = Iterator[tuple[int | None, str]]


@dataclass(frozen=True)
class _Checks:
    """The checks of one image and its target. If nothing is wrong, all values are read at once."""

    image: Tensor
    target: Any
    num_classes: int | None
    background: bool
    masks: bool | None
    num_keypoints: int | None

    def run(self) -> Found:
        if not isinstance(self.target, Mapping):
            yield None, f"the target is {_short(self.target)}; expected a dict with boxes and labels"
            return
        needed = ["boxes", "labels", *["masks"] * bool(self.masks), *["keypoints"] * (self.num_keypoints is not None)]
        for key in needed:
            if not isinstance(self.target.get(key), Tensor):
                have = f"is {_short(self.target[key])}" if key in self.target else f"missing among {list(self.target)}"
                yield None, f"{key!r} {have}; expected a tensor"
        boxes = self._get("boxes")
        if boxes is None:
            return
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            empty = " An image without objects has boxes of torch.zeros(0, 4)." if boxes.numel() == 0 else ""
            yield None, f"boxes have the shape {list(boxes.shape)}; expected [N, 4].{empty}"
            return
        for key, check in (
            ("boxes", self.check_boxes),
            ("labels", self.check_labels),
            ("masks", self.check_masks),
            ("keypoints", self.check_keypoints),
        ):
            value = self._get(key)
            if value is None or (key == "masks" and self.masks is False):
                continue
            if len(value) != len(boxes) and key != "boxes":
                yield None, f"{key} of shape {list(value.shape)} for {len(boxes)} boxes; expected the same number"
            elif value.device != self.image.device:
                yield None, f"{key} are on {value.device} but the image is on {self.image.device}; move them there"
            else:
                yield from check(value)

    def _get(self, key: str) -> Tensor | None:
        value = self.target.get(key)
        return value if isinstance(value, Tensor) else None

    def check_boxes(self, boxes: Tensor) -> Found:
        if not boxes.is_floating_point():
            yield None, f"boxes are {boxes.dtype}; expected floating point. Convert them with .float()"
            return
        if not len(boxes):
            return
        height, width = self.image.shape[-2:]
        limit = boxes.new_tensor([width, height, width, height]) + SLACK
        finite = boxes.isfinite().all(1)
        positive = (boxes[:, 2:] > boxes[:, :2]).all(1)
        inside = ((boxes >= -SLACK) & (boxes <= limit)).all(1)
        good = finite & positive & inside
        relative = (boxes <= 1).all()
        all_good, all_relative = torch.stack([good.all(), relative]).tolist()
        if all_relative:
            doubt = (
                f"no coordinate is above 1, in an image of {height}×{width}; expected pixels. They look like "
                "fractions of the image: multiply them by its width and height"
            )
            if not all_good:
                yield None, doubt
                return
            warnings.warn(f"Targets have boxes of which {doubt}.", ZooWarning, stacklevel=2)
        if all_good:
            return
        # Would they all be valid as xywh?
        as_xywh = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
        fits = ((boxes >= -SLACK) & (as_xywh <= limit)).all() & (boxes[:, 2:] > 0).all()
        hint = ". It looks like xywh: zoo.ops.box_convert(boxes, 'xywh', 'xyxy')" if fits else ""
        flags = torch.stack([finite, positive, inside], dim=1).tolist()
        for n, (is_finite, is_positive, is_inside) in enumerate(flags):
            numbers = f"[{', '.join(f'{v:g}' for v in boxes[n].tolist())}]"
            if not is_finite:
                yield n, f"{numbers} is not finite"
            elif not is_positive:
                none = (boxes[n, 2:] == boxes[n, :2]).any()
                what = "has no width or no height" if none else "ends above or left of where it starts"
                yield n, f"{numbers} {what}; expected x1 < x2 and y1 < y2{hint}"
            elif not is_inside:
                yield (
                    n,
                    (
                        f"{numbers} reaches outside the image, which is {width} pixels wide and {height} high. Clip "
                        "boxes with zoo.ops.clip_boxes_to_image(boxes, (height, width))"
                    ),
                )

    def check_labels(self, labels: Tensor) -> Found:
        if labels.ndim != 1 or labels.dtype != torch.int64:
            yield None, f"labels are {labels.dtype} of shape {list(labels.shape)}; expected torch.int64 of shape [N]"
            return
        lowest = int(self.background)
        wrong = labels < lowest
        if self.num_classes is not None:
            wrong = wrong | (labels >= self.num_classes)
        if not wrong.any():
            return
        most = "" if self.num_classes is None else f" to {self.num_classes - 1}"
        zero = ". Label 0 is background: the labels look 0-based, add 1" if lowest and (labels == 0).any() else ""
        for n in wrong.nonzero().squeeze(1).tolist():
            yield n, f"label {int(labels[n])}; expected {lowest}{most or ' or more'}{zero}"

    def check_masks(self, masks: Tensor) -> Found:
        size = tuple(self.image.shape[-2:])
        if masks.ndim != 3 or tuple(masks.shape[1:]) != size:
            yield (
                None,
                f"masks have the shape {list(masks.shape)}; expected [N, {size[0]}, {size[1]}], the image's size",
            )
        elif masks.is_floating_point() or masks.is_complex():
            yield None, f"masks are {masks.dtype}; expected torch.uint8 or bool, 1 inside the object"
        elif masks.dtype != torch.bool and masks.numel() and masks.amax() > 1:
            hint = "Divide by 255, or compare with 0" if masks.amax() == 255 else "Use one mask per object: mask == id"
            yield None, f"masks have values up to {int(masks.amax())}; expected 0 and 1. {hint}"

    def check_keypoints(self, keypoints: Tensor) -> Found:
        if keypoints.shape == (0,):
            return
        wanted = "K" if self.num_keypoints is None else str(self.num_keypoints)
        expected = f"expected [N, {wanted}, 3]: x, y and visibility (0 not labelled, 1 hidden, 2 visible)"
        if (
            keypoints.ndim != 3
            or keypoints.shape[2] != 3
            or keypoints.shape[1] != (keypoints.shape[1] if self.num_keypoints is None else self.num_keypoints)
        ):
            hint = ". The visibility is missing" if keypoints.ndim == 3 and keypoints.shape[2] == 2 else ""
            yield None, f"keypoints have the shape {list(keypoints.shape)}; {expected}{hint}"
            return
        if not keypoints.is_floating_point():
            yield None, f"keypoints are {keypoints.dtype}; expected floating point. Convert them with .float()"
            return
        finite = keypoints.isfinite().all(2).all(1)
        known = ((keypoints[..., 2] >= 0) & (keypoints[..., 2] <= 2)).all(1)
        if (finite & known).all():
            return
        for n, (is_finite, _) in enumerate(torch.stack([finite, known], dim=1).tolist()):
            if not is_finite:
                yield n, "a keypoint is not finite"
            elif not known[n]:
                yield n, f"a keypoint's visibility is {keypoints[n, :, 2].max():g}; {expected}"


def check_images(images: Any, channels: int | None, scaled: bool) -> None:
    """Raise unless a detector can take ``images``: [C, H, W] each, or one [N, C, H, W], floating point.

    Args:
        channels: C, if known.
        scaled: values must be in [0, 1], since the model normalises them.

    Raises:
        InvalidArgument: an image is invalid; the message names the first one.
    """
    if torch.compiler.is_compiling():
        return
    c = channels or "C"
    if isinstance(images, Tensor):
        if images.ndim != 4:
            hint = " For a single image pass [image]." if images.ndim == 3 else ""
            raise InvalidArgument(
                f"the images have the shape {list(images.shape)}; expected [N, {c}, H, W], or a list of [{c}, H, W]."
                f"{hint}"
            )
        images = images.unbind()
    elif not isinstance(images, list | tuple):
        raise InvalidArgument(
            f"the images are {_short(images)}; expected a list of [{c}, H, W], or one [N, {c}, H, W]."
        )
    if not images:
        raise InvalidArgument("the list of images is empty; expected at least one.")
    for i, image in enumerate(images):
        problem = _image_problem(image, channels)
        if problem:
            raise InvalidArgument(f"image {i}: {problem}")
    if not scaled:
        return
    peaks = torch.stack([image.detach().amax() for image in images]).tolist()
    for i, peak in enumerate(peaks):
        if not peak <= 10:  # true for NaN; values slightly above 1 may come from augmentations
            raise InvalidArgument(
                f"image {i}: values up to {peak:g}; expected 0 to 1. Divide by 255; the model normalises images itself."
            )


def _image_problem(image: Any, channels: int | None) -> str | None:
    c = channels or "C"
    if not isinstance(image, Tensor):
        return f"{_short(image)}; expected a tensor [{c}, H, W]. Convert a PIL image with weights.transforms()."
    if image.ndim != 3:
        return f"its shape is {list(image.shape)}; expected [{c}, H, W]."
    if channels is not None and image.shape[0] != channels:
        hwc = " Channels come first: image.permute(2, 0, 1)." if image.shape[2] == channels else ""
        return f"it has {image.shape[0]} channels (shape {list(image.shape)}); expected {channels}.{hwc}"
    if not image.is_floating_point():
        return f"it is {image.dtype}; expected floating point in [0, 1]. Convert bytes with image.float() / 255."
    if image.numel() == 0:
        return f"its shape is {list(image.shape)}; expected at least one pixel."
    return None


def _short(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return repr(value) if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"
