"""The second stage of the R-CNN family: features of every proposal → its class, box, mask and keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo.ops import batched_nms, box_iou, remove_small_boxes, roi_align
from zoo_detection.coding import BoxCoder
from zoo_detection.detector import Detections, Losses, PaddedDetections, sizes_as_boxes, suppress_padded, widened
from zoo_detection.keypoints import keypoint_loss, keypoints_of
from zoo_detection.matching import BELOW_LOW_THRESHOLD, BalancedPositiveNegativeSampler, Matcher
from zoo_detection.transform import Size, Target

SMALLEST = 1e-2  # pixels of a detection's side

Features = Mapping[str, Tensor]


class Samples(NamedTuple):
    """The proposals of one image that count in training, those that stand for an object first.

    Attributes:
        boxes: [R, 4].
        labels: int64 [R], 0 for background.
        objects: int64 [P], indices of the objects in the target.
    """

    boxes: Tensor
    labels: Tensor
    objects: Tensor


class RoIHeads(nn.Module):
    """Features and proposals → detections, and losses if there are targets.

    Args:
        box_roi_pool: features, boxes of each image, sizes of the images → regions [R, C, h, w].
        box_head: regions → [R, D].
        box_predictor: [R, D] → logits [R, num_classes] and what decodes to a box for each class, [R, num_classes * 4].
        fg_iou_thresh, bg_iou_thresh: IoU from which a proposal stands for an object, and below which for none.
        batch_size_per_image: proposals of each image that count in training.
        positive_fraction: share of those that stand for an object, at most.
        bbox_reg_weights: of the box coder; by default (10, 10, 5, 5).
        score_thresh: detections score more than this.
        nms_thresh: of two of one class with a higher IoU, the worse is dropped.
        detections_per_img: at most so many.
        mask_roi_pool, mask_head, mask_predictor: likewise for masks: regions → logits [R, num_classes, M, M].
        keypoint_roi_pool, keypoint_head, keypoint_predictor: likewise for keypoints: → heat maps [R, K, S, S].
    """

    def __init__(
        self,
        box_roi_pool: nn.Module,
        box_head: nn.Module,
        box_predictor: nn.Module,
        fg_iou_thresh: float,
        bg_iou_thresh: float,
        batch_size_per_image: int,
        positive_fraction: float,
        bbox_reg_weights: Sequence[float] | None,
        score_thresh: float,
        nms_thresh: float,
        detections_per_img: int,
        mask_roi_pool: nn.Module | None = None,
        mask_head: nn.Module | None = None,
        mask_predictor: nn.Module | None = None,
        keypoint_roi_pool: nn.Module | None = None,
        keypoint_head: nn.Module | None = None,
        keypoint_predictor: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self.box_coder = BoxCoder(bbox_reg_weights or (10.0, 10.0, 5.0, 5.0))
        self.box_roi_pool = box_roi_pool
        self.box_head = box_head
        self.box_predictor = box_predictor
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh
        self.detections_per_img = detections_per_img
        self.mask_roi_pool = mask_roi_pool
        self.mask_head = mask_head
        self.mask_predictor = mask_predictor
        self.keypoint_roi_pool = keypoint_roi_pool
        self.keypoint_head = keypoint_head
        self.keypoint_predictor = keypoint_predictor
        for kind, parts in (("mask", self.mask_parts), ("keypoint", self.keypoint_parts)):
            if 0 < sum(part is not None for part in parts) < 3:
                raise InvalidArgument(
                    f"Of {kind}_roi_pool, _head and _predictor some are None; give all three or none."
                )

    @property
    def mask_parts(self) -> tuple[nn.Module | None, ...]:
        return self.mask_roi_pool, self.mask_head, self.mask_predictor

    @property
    def keypoint_parts(self) -> tuple[nn.Module | None, ...]:
        return self.keypoint_roi_pool, self.keypoint_head, self.keypoint_predictor

    def forward(
        self,
        features: Features,
        proposals: list[Tensor],
        image_shapes: Sequence[Size],
        targets: list[Target] | None = None,
    ) -> tuple[list[Detections], Losses]:
        losses = {} if targets is None else self.compute_loss(features, proposals, image_shapes, targets)
        return [] if self.training else self.find(features, proposals, image_shapes), losses

    # ── training ─────────────────────────────────────────────────────────────────────────────────────────────────

    @torch.no_grad()
    def sample(self, proposals: Tensor, target: Target) -> Samples:
        """The objects' own boxes are among the proposals, so that there are good ones from the start."""
        proposals = torch.cat([proposals, target["boxes"].to(proposals)])
        matches = self.proposal_matcher(box_iou(target["boxes"], proposals))
        positive, negative = self.fg_bg_sampler(matches >= 0, matches == BELOW_LOW_THRESHOLD)
        objects = matches[positive]
        labels = torch.cat([target["labels"][objects], objects.new_zeros(len(negative))])
        return Samples(proposals[torch.cat([positive, negative])], labels, objects)

    def compute_loss(
        self, features: Features, proposals: list[Tensor], image_shapes: Sequence[Size], targets: list[Target]
    ) -> Losses:
        samples = [self.sample(*each) for each in zip(proposals, targets, strict=True)]
        losses = self.box_losses(features, samples, image_shapes, targets)
        positive = [s.boxes[: len(s.objects)] for s in samples]
        if self.mask_predictor is not None:
            logits = self.run(self.mask_parts, features, positive, image_shapes)
            if logits is None:
                losses["loss_mask"] = nothing(self.mask_parts, features)
            else:
                losses["loss_mask"] = self.mask_loss(logits, positive, samples, targets)
        if self.keypoint_predictor is not None:
            logits = self.run(self.keypoint_parts, features, positive, image_shapes)
            if logits is None:
                losses["loss_keypoint"] = nothing(self.keypoint_parts, features)
            else:
                keypoints = [t["keypoints"][s.objects] for s, t in zip(samples, targets, strict=True)]
                losses["loss_keypoint"] = keypoint_loss(logits, torch.cat(keypoints), torch.cat(positive))
        return losses

    def run(
        self,
        parts: Sequence[nn.Module | None],
        features: Features,
        boxes: list[Tensor],
        image_shapes: Sequence[Size],
    ) -> Tensor | None:
        """What pool, head and predictor make of ``boxes``; None where there are none, which no batch norm survives."""
        if not sum(map(len, boxes)):
            return None
        pool, head, predictor = parts
        return widened(predictor(head(pool(features, boxes, image_shapes))))  # type: ignore[misc]

    def predict_boxes(
        self, features: Features, boxes: list[Tensor], image_shapes: Sequence[Size]
    ) -> tuple[Tensor, Tensor]:
        """Logits [R, C] of the classes, and what decodes to a box for each of them, [R, C, 4]."""
        logits, codes = self.box_predictor(self.box_head(self.box_roi_pool(features, boxes, image_shapes)))
        return widened(logits), widened(codes).view(len(logits), -1, 4)

    def box_losses(
        self, features: Features, samples: list[Samples], image_shapes: Sequence[Size], targets: list[Target]
    ) -> Losses:
        """``loss_classifier`` and ``loss_box_reg``, means over the samples; of the boxes that of their class counts."""
        boxes = [s.boxes for s in samples]
        labels = torch.cat([s.labels for s in samples])
        if not len(labels):
            none = nothing((self.box_head, self.box_predictor), features)
            return {"loss_classifier": none, "loss_box_reg": none}
        logits, codes = self.predict_boxes(features, boxes, image_shapes)
        wanted = [
            self.box_coder.encode(t["boxes"][s.objects], s.boxes[: len(s.objects)])
            for s, t in zip(samples, targets, strict=True)
        ]
        positive = (labels > 0).nonzero().squeeze(1)
        own = codes[positive, labels[positive]]
        box_loss = F.smooth_l1_loss(own, torch.cat(wanted), beta=1 / 9, reduction="sum")
        return {"loss_classifier": F.cross_entropy(logits, labels), "loss_box_reg": box_loss / len(labels)}

    def mask_loss(self, logits: Tensor, boxes: list[Tensor], samples: list[Samples], targets: list[Target]) -> Tensor:
        """The mean binary cross-entropy of the masks of the objects' own classes, cut out of the targets' masks."""
        size = logits.shape[-1]
        cut = []
        for of_image, s, target in zip(boxes, samples, targets, strict=True):
            regions = torch.cat([s.objects[:, None].to(of_image), of_image], dim=1)  # each from the mask of its object
            cut.append(roi_align(target["masks"][:, None].to(of_image), regions, (size, size), 1.0)[:, 0])
        labels = torch.cat([s.labels[: len(s.objects)] for s in samples])
        return F.binary_cross_entropy_with_logits(of_label(logits, labels), torch.cat(cut))

    # ── inference ────────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, features: Features, proposals: list[Tensor], image_shapes: Sequence[Size]) -> list[Detections]:
        """Detections of each image: boxes, labels and scores; masks [D, 1, M, M] of the boxes; keypoints."""
        logits, codes = self.predict_boxes(features, proposals, image_shapes)
        found = self.postprocess(logits, codes, proposals, image_shapes)
        self.look_closer(features, found, image_shapes)
        return found

    def find_padded(
        self, features: Features, proposals: Tensor, proposed: Tensor, image_shapes: Sequence[Size], most: int | None
    ) -> list[PaddedDetections]:
        """:meth:`find` of a fixed size, for as many proposals in each image [N, P, 4], of which ``proposed`` count."""
        logits, codes = self.predict_boxes(features, list(proposals), image_shapes)
        n, p = proposed.shape
        limits = sizes_as_boxes(image_shapes, proposals)
        padded = [
            self.postprocess_padded(*of_image, most or self.detections_per_img)
            for of_image in zip(
                logits.view(n, p, -1), codes.view(n, p, -1, 4), proposals, proposed, limits, strict=True
            )
        ]
        self.look_closer(features, [detections for detections, _ in padded], image_shapes)
        return padded

    def look_closer(self, features: Features, found: list[Detections], image_shapes: Sequence[Size]) -> None:
        """Add masks and keypoints to what was found, as far as there are parts for them."""
        boxes = [detections["boxes"] for detections in found]
        counts = [len(b) for b in boxes]
        if self.mask_predictor is not None:
            masks = self.run(self.mask_parts, features, boxes, image_shapes)
            labels = torch.cat([detections["labels"] for detections in found])
            own = boxes[0].new_zeros(0, 1, 28, 28) if masks is None else of_label(masks, labels).sigmoid()[:, None]
            for detections, part in zip(found, torch.split(own, counts), strict=True):
                detections["masks"] = part
        if self.keypoint_predictor is not None:
            maps = self.run(self.keypoint_parts, features, boxes, image_shapes)
            if maps is None:
                k = getattr(self.keypoint_predictor, "out_channels", 0)
                keypoints, scores = boxes[0].new_zeros(0, k, 3), boxes[0].new_zeros(0, k)
            else:
                keypoints, scores = keypoints_of(maps, torch.cat(boxes))
            for detections, points, s in zip(
                found, torch.split(keypoints, counts), torch.split(scores, counts), strict=True
            ):
                detections["keypoints"], detections["keypoints_scores"] = points, s

    def postprocess(
        self, logits: Tensor, codes: Tensor, proposals: list[Tensor], image_shapes: Sequence[Size]
    ) -> list[Detections]:
        """Of all pairs of proposal and class the good ones; only their boxes are decoded."""
        probabilities = logits.softmax(1)
        num_classes = probabilities.shape[1]
        rows, labels = (probabilities[:, 1:] > self.score_thresh).nonzero().unbind(1)
        labels = labels + 1  # without background
        image = torch.cat([torch.full_like(p[:, 0], i, dtype=torch.int64) for i, p in enumerate(proposals)])[rows]
        boxes = self.box_coder.decode(codes[rows, labels], torch.cat(proposals)[rows])
        boxes = torch.minimum(boxes.clamp(min=0), sizes_as_boxes(image_shapes, boxes)[image])
        scores = probabilities[rows, labels]
        good = remove_small_boxes(boxes, SMALLEST)
        boxes, scores, labels, image = boxes[good], scores[good], labels[good], image[good]
        keep = batched_nms(boxes, scores, image * num_classes + labels, self.nms_thresh)
        found = []
        for i in range(len(proposals)):
            best = keep[image[keep] == i][: self.detections_per_img]
            found.append({"boxes": boxes[best], "labels": labels[best], "scores": scores[best]})
        return found

    def postprocess_padded(
        self, logits: Tensor, codes: Tensor, proposals: Tensor, proposed: Tensor, limits: Tensor, most: int
    ) -> PaddedDetections:
        """:meth:`postprocess` of one image and of a fixed size: all pairs that could be good are decoded."""
        scores = torch.where(proposed[:, None], logits.softmax(1)[:, 1:], 0)
        classes = scores.shape[1]
        # The scores of a proposal sum to 1, so no more of them than this can be above the threshold.
        above = classes if self.score_thresh <= 0 else min(classes, int(1 / self.score_thresh))
        scores, pairs = scores.flatten().topk(len(proposals) * above)
        rows, labels = pairs // classes, pairs % classes + 1
        boxes = self.box_coder.decode(codes[rows, labels], proposals[rows])
        boxes = torch.minimum(boxes.clamp(min=0), limits)
        good = (scores > self.score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST).all(1)
        chosen, there = suppress_padded(boxes, scores, labels, good, self.nms_thresh, most)
        boxes = torch.where(there[:, None], boxes[chosen], 0)  # no place, where a mask or keypoints would cost time
        return {"boxes": boxes, "labels": labels[chosen], "scores": scores[chosen]}, there


def of_label(values: Tensor, labels: Tensor) -> Tensor:
    """Of values [R, C, …] for every class those of ``labels`` [R]: [R, …]."""
    return values[torch.arange(len(labels), device=labels.device), labels]


def nothing(parts: Sequence[nn.Module | None], features: Features) -> Tensor:
    """A loss of 0 with a gradient of 0 for every parameter of ``parts``: what a batch without objects gives."""
    parameters = [p.sum() for part in parts if part is not None for p in part.parameters()]
    return torch.stack([*parameters, *(f.sum() for f in features.values())]).sum() * 0
