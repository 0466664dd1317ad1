"""Detectors for graphs with dynamic batch, height and width: no loop over images, and no branch on a size.

What :class:`zoo_detection.Detector` does per image is done here for all images at once, with the same parts and
numbers. All images of a batch have the same size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo.ops import MultiScaleRoIAlign, nms_mask
from zoo_detection.dense import OneStageDetector
from zoo_detection.detector import Detections, Detector, clip_boxes, sizes_as_boxes, widened
from zoo_detection.faster_rcnn import FasterRCNN
from zoo_detection.keypoints import keypoints_of
from zoo_detection.masks import paste_masks
from zoo_detection.roi_heads import SMALLEST, of_label
from zoo_detection.rpn import SMALLEST as SMALLEST_PROPOSAL
from zoo_detection.transform import BatchImages, GeneralizedRCNNTransform, ImageList, Size


def can_be_free(detector: nn.Module) -> bool:
    """Whether all parts of a detector are supported here."""
    if not (isinstance(detector, Detector) and detector.pads):
        return False
    if type(detector.transform) not in (BatchImages, GeneralizedRCNNTransform):
        return False
    if isinstance(detector, OneStageDetector):
        return True
    heads: Any = getattr(detector, "roi_heads", None)
    pools = [getattr(heads, f"{kind}_roi_pool", None) for kind in ("box", "mask", "keypoint")]
    return isinstance(detector, FasterRCNN) and all(type(p) in (MultiScaleRoIAlign, type(None)) for p in pools)


class FreeDetector(nn.Module):
    """Images [N, C, H, W] → the detections' tensors [N, D, …], padded with zeros, and ``count`` [N].

    Args:
        detector: a detector for which :func:`can_be_free` is true.
        most: D; by default the model's ``detections_per_img``.
        scale: divisor of the pixels: 255 if they are uint8 [N, H, W, C].
        single: one image [C, H, W] in, and tensors [D, …] and ``count`` [] out.
    """

    def __init__(
        self, detector: Detector, most: int | None = None, *, pixels: bool = False, single: bool = False
    ) -> None:
        super().__init__()
        self.detector = detector
        self.most = most or detector.detections_per_img
        self.pixels, self.single = pixels, single

    def forward(self, image: Tensor) -> Detections:
        images = image[None] if self.single else image
        if self.pixels:
            dtype = next(p.dtype for p in self.detector.parameters())
            images = (images.movedim(-1, -3).float() / 255).to(dtype)
        found = self.found(images)
        if self.pixels:
            found = {name: t.float() if t.is_floating_point() else t for name, t in found.items()}
        return {name: t[0] for name, t in found.items()} if self.single else found

    def found(self, images: Tensor) -> Detections:
        detector: Any = self.detector
        size = (images.shape[-2], images.shape[-1])
        batch = batched(detector.transform, images)
        features = detector.features(batch)
        if isinstance(detector, OneStageDetector):
            predicted = detector.split(*detector.predict(batch, features), detector.anchors_of_levels(features))
            boxes, scores, labels = detector.candidates(*predicted, batch.image_sizes)
            good = scores > detector.score_thresh
            found = best({"boxes": boxes, "labels": labels, "scores": scores}, good, detector.nms_thresh, self.most)
        else:
            found = self.second_stage(features, self.proposals(batch, features), batch)
        there = found["scores"] >= 0
        (height, width), like = batch.image_sizes[0], found["boxes"]
        factors = [_ratio(size[1], width, like), _ratio(size[0], height, like)]
        for name, repeats in (("boxes", [*factors, *factors]), ("keypoints", [*factors, like.new_ones(())])):
            if name in found:
                columns = [column * factor for column, factor in zip(found[name].unbind(-1), repeats, strict=True)]
                found[name] = torch.stack(columns, -1)
        if "masks" in found and detector.mask_format == "full":
            n = images.shape[0]
            pasted = paste_masks(found["masks"].flatten(0, 1), found["boxes"].flatten(0, 1), size)
            found["masks"] = pasted.reshape(n, self.most, *pasted.shape[1:])
        padded = {
            name: torch.where(there.reshape(*there.shape, *[1] * (t.ndim - 2)), t, 0) for name, t in found.items()
        }
        return {**padded, "count": there.sum(1)}

    # ── two stages ───────────────────────────────────────────────────────────────────────────────────────────────

    def proposals(self, batch: ImageList, features: dict[str, Tensor]) -> Tensor:
        """The best boxes [N, P, 4] of the first stage; padding has zero size."""
        detector: Any = self.detector
        rpn = detector.rpn
        logits, codes, anchors, counts = rpn.predict(batch, features)
        decoded = rpn.box_coder.decode(codes, anchors[0][None])
        chosen, levels, begin = [], [], 0
        for i, count in enumerate(counts):
            level = logits.narrow(1, begin, count)
            indices = level.topk(torch.sym_min(rpn.pre_nms_top_n(), count), dim=1).indices  # type: ignore[no-untyped-call]
            chosen.append(indices + begin)
            levels.append(torch.full_like(indices, i))
            begin += count
        rows = torch.cat(chosen, dim=1)
        scores = logits.gather(1, rows).sigmoid()
        boxes = decoded.gather(1, rows[..., None].expand(-1, -1, 4))
        boxes = clip_boxes(boxes, sizes_as_boxes(batch.image_sizes, boxes))
        good = ((boxes[..., 2:] - boxes[..., :2]) >= SMALLEST_PROPOSAL).all(2) & (scores >= rpn.score_thresh)
        found = {"boxes": boxes, "scores": scores, "labels": torch.cat(levels, dim=1)}
        return best(found, good, rpn.nms_thresh, rpn.post_nms_top_n())["boxes"]

    def second_stage(self, features: dict[str, Tensor], proposals: Tensor, batch: ImageList) -> Detections:
        """Detections from the proposals, with masks and keypoints if the model has parts for them."""
        detector: Any = self.detector
        heads = detector.roi_heads
        n, p = proposals.shape[:2]
        x = self.pool(heads.box_roi_pool, features, proposals, batch)
        logits, codes = heads.box_predictor(heads.box_head(x))
        logits, codes = widened(logits), widened(codes)
        classes = logits.shape[1] - 1
        scores = logits.softmax(1)[:, 1:].reshape(n, p, classes)
        real = (proposals[..., 2:] > proposals[..., :2]).all(2, keepdim=True)
        above = classes if heads.score_thresh <= 0 else min(classes, int(1 / heads.score_thresh))
        flat = torch.where(real, scores, 0).flatten(1)
        values, pairs = flat.topk(p * above, dim=1)
        rows, labels = pairs // classes, pairs % classes + 1
        every = codes.reshape(n, p * (classes + 1), 4)
        own = every.gather(1, (rows * (classes + 1) + labels)[..., None].expand(-1, -1, 4))
        boxes = heads.box_coder.decode(own, proposals.gather(1, rows[..., None].expand(-1, -1, 4)))
        boxes = clip_boxes(boxes, sizes_as_boxes(batch.image_sizes, boxes))
        good = (values > heads.score_thresh) & ((boxes[..., 2:] - boxes[..., :2]) >= SMALLEST).all(2)
        found = best({"boxes": boxes, "labels": labels, "scores": values}, good, heads.nms_thresh, self.most)
        regions = found["boxes"]
        if heads.has_mask():
            x = heads.mask_predictor(heads.mask_head(self.pool(heads.mask_roi_pool, features, regions, batch)))
            masks = of_label(widened(x), found["labels"].flatten()).sigmoid()[:, None]
            found["masks"] = masks.reshape(n, self.most, *masks.shape[1:])
        if heads.has_keypoint():
            x = heads.keypoint_predictor(
                heads.keypoint_head(self.pool(heads.keypoint_roi_pool, features, regions, batch))
            )
            points, sure = keypoints_of(widened(x), regions.flatten(0, 1))
            found["keypoints"] = points.reshape(n, self.most, *points.shape[1:])
            found["keypoints_scores"] = sure.reshape(n, self.most, *sure.shape[1:])
        return found

    def pool(self, pool: MultiScaleRoIAlign, features: dict[str, Tensor], boxes: Tensor, batch: ImageList) -> Tensor:
        """The features of the regions [N, R, 4]: [N * R, C, h, w]."""
        levels = [features[name] for name in pool.featmap_names if name in features]
        height = hint(batch.image_sizes[0][0])
        strides = [-round(math.log2(hint(level.shape[2]) / height)) for level in levels]
        images = torch.arange(boxes.shape[0], device=boxes.device)[:, None].expand(boxes.shape[:2]).flatten()
        return pool.pooled(levels, strides, widened(boxes.flatten(0, 1)), images)


def _ratio(a: Any, b: Any, like: Tensor) -> Tensor:
    """a / b of symbols, rounded once."""
    wide = [torch.full((), side, dtype=torch.float64, device=like.device) for side in (a, b)]
    return (wide[0] / wide[1]).to(like.dtype)


def best(found: Detections, good: Tensor, nms_thresh: float, most: int) -> Detections:
    """The ``most`` best of the good candidates [N, K, …] after non-maximum suppression per class, best first; then
    padding: zero boxes, a score of -1."""
    kept = nms_mask(found["boxes"], found["scores"], nms_thresh, found["labels"], good, most) & good
    scores = F.pad(torch.where(kept, found["scores"], -1), (0, most), value=-1.0)
    values, rows = scores.topk(most, dim=1)
    boxes = F.pad(found["boxes"], (0, 0, 0, most)).gather(1, rows[..., None].expand(-1, -1, 4))
    boxes = torch.where((values >= 0)[..., None], boxes, 0)
    return {"boxes": boxes, "scores": values, "labels": F.pad(found["labels"], (0, most)).gather(1, rows)}


def batched(transform: Any, images: Tensor) -> ImageList:
    """A detector's transform of images [N, C, H, W] of one size, for which the sizes are computed once."""
    size: Size = (images.shape[-2], images.shape[-1])
    if isinstance(transform, GeneralizedRCNNTransform):
        images = transform.normalize(images)
        new = free_size(transform, size)
        images = F.interpolate(images, size=new, mode="bilinear", align_corners=False)
        size = new
    step = transform.size_divisible
    height, width = ((side + step - 1) // step * step for side in size)  # ONNX rounds division towards zero
    padded = F.pad(images, (0, width - size[1], 0, height - size[0]))
    return ImageList(padded, [size])


def free_size(transform: GeneralizedRCNNTransform, size: Sequence[Any]) -> Size:
    """:meth:`GeneralizedRCNNTransform.new_size` for symbols."""
    if transform.fixed_size is not None:
        return transform.fixed_size[1], transform.fixed_size[0]
    short, long = torch.sym_min(*size), torch.sym_max(*size)  # type: ignore[no-untyped-call]
    scale = torch.sym_min(transform.min_size[-1] / short, transform.max_size / long)  # type: ignore[no-untyped-call]
    return torch.sym_max(1, torch.sym_int(size[0] * scale)), torch.sym_max(1, torch.sym_int(size[1] * scale))  # type: ignore[no-untyped-call]


def hint(size: Any) -> int:
    """The value of a symbol in the example."""
    return int(size) if isinstance(size, int) else int(size.node.hint)


def check_free(detector: nn.Module) -> None:
    """Raise InvalidArgument unless :func:`can_be_free`."""
    if not can_be_free(detector):
        raise InvalidArgument(
            f"{type(detector).__name__} has a custom part, so its batch, height and width cannot be dynamic; expected "
            "the parts of zoo_detection. Omit dynamic."
        )
