"""The second stage of the R-CNN family: features of every proposal → its class, box, mask and keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo.ops import box_iou, roi_align
from zoo_detection.coding import BoxCoder
from zoo_detection.detector import Detections, Losses, sizes_as_boxes, suppress, widened
from zoo_detection.fitting import check_same, run_part
from zoo_detection.keypoints import keypoint_loss, keypoints_of
from zoo_detection.matching import BELOW_LOW_THRESHOLD, BalancedPositiveNegativeSampler, Matcher
from zoo_detection.transform import Size, Target

SMALLEST = 1e-2  # pixels of a detection's side
KINDS = ("mask", "keypoint")
BOX_LOSSES = ("loss_classifier", "loss_box_reg")

Features = Mapping[str, Tensor]


class RoIHeads(nn.Module):
    """Features and proposals → detections, and losses if targets are given.

    Args:
        box_roi_pool: features, boxes of each image, sizes of the images → regions [R, C, h, w].
        box_head: regions → [R, D].
        box_predictor: [R, D] → logits [R, num_classes] and box codes per class, [R, num_classes * 4].
        fg_iou_thresh, bg_iou_thresh: IoU from which a proposal is matched to an object, and below which it is
            background.
        batch_size_per_image: number of proposals per image in the training loss.
        positive_fraction: maximum share of them that are matched to an object.
        bbox_reg_weights: weights of the box coder; by default (10, 10, 5, 5).
        score_thresh: minimum score of detections, exclusive.
        nms_thresh: IoU threshold of non-maximum suppression, within each class.
        detections_per_img: maximum number of detections per image.
        mask_roi_pool, mask_head, mask_predictor: the same for masks: regions → logits [R, num_classes, M, M].
        keypoint_roi_pool, keypoint_head, keypoint_predictor: the same for keypoints: → heat maps [R, K, S, S].
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
        for kind in KINDS:
            if 0 < sum(part is not None for part in self.parts(kind)) < 3:
                raise InvalidArgument(
                    f"Some of {kind}_roi_pool, _head and _predictor are None; pass all three or none."
                )

    def parts(self, kind: str) -> tuple[Any, ...]:
        """Pool, head and predictor of ``"mask"`` or ``"keypoint"``."""
        return tuple(getattr(self, f"{kind}_{part}") for part in ("roi_pool", "head", "predictor"))

    def has_mask(self) -> bool:
        return self.mask_predictor is not None

    def has_keypoint(self) -> bool:
        return self.keypoint_predictor is not None

    def forward(
        self,
        features: Features,
        proposals: list[Tensor],
        image_shapes: Sequence[Size],
        targets: list[Target] | None = None,
        most: int | None = None,
    ) -> tuple[list[Detections], Losses]:
        """Detections of each image: boxes, labels and scores; masks [D, 1, M, M] of the boxes; keypoints. And losses.

        With ``most``, exactly this many per image, padded with detections of score -1; proposals of zero size are
        padding too.
        """
        losses = {} if targets is None else self.compute_loss(features, proposals, image_shapes, targets)
        if self.training:
            return [], losses
        padding = () if most is None else (most,)
        predicted = self.predict_boxes(features, proposals, image_shapes)
        found = [
            {"boxes": boxes, "labels": labels, "scores": scores}
            for boxes, scores, labels in zip(
                *self.postprocess_detections(*predicted, proposals, image_shapes, *padding), strict=True
            )
        ]
        self.look_closer(features, found, image_shapes, predicted[0].shape[1])
        return found, losses

    def check_targets(self, targets: list[Target] | None) -> None:
        """Raise InvalidArgument unless each target has boxes and labels, and masks or keypoints if there are heads for
        them.

        A detector has already checked them in more detail.
        """
        wanted = ["boxes", "labels", *(f"{kind}s" for kind in KINDS if getattr(self, f"has_{kind}")())]
        for i, target in enumerate([{}] if targets is None else targets):
            if missing := [key for key in wanted if key not in target]:
                raise InvalidArgument(f"Target {i} has no {', '.join(missing)}; expected {', '.join(wanted)}.")

    # ── training ─────────────────────────────────────────────────────────────────────────────────────────────────

    @torch.no_grad()
    def select_training_samples(
        self, proposals: list[Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Sample the proposals of each image for training; the objects' own boxes are added to them.

        Returns:
            Per image: boxes [R, 4]; the index of each box's object, int64 [R], arbitrary for background; labels, int64
            [R], 0 for background; and codes of the objects' boxes [R, 4], 0 for background.
        """
        truth = [target["boxes"].to(boxes) for target, boxes in zip(targets, proposals, strict=True)]
        proposals = self.add_gt_proposals(proposals, truth)
        objects, labels = self.assign_targets_to_proposals(proposals, truth, [target["labels"] for target in targets])
        samples = []
        for rows, *of_image, own in zip(self.subsample(labels), proposals, objects, labels, truth, strict=True):
            boxes, matched, classes = (values[rows] for values in of_image)
            codes, positive = torch.zeros_like(boxes), (classes > 0).nonzero().squeeze(1)
            codes[positive] = self.box_coder.encode(own[matched[positive]], boxes[positive])
            samples.append((boxes, matched, classes, codes))
        return tuple(map(list, zip(*samples, strict=True)))  # type: ignore[return-value]

    def add_gt_proposals(self, proposals: Sequence[Tensor], gt_boxes: Sequence[Tensor]) -> list[Tensor]:
        """The proposals [P, 4] of each image, followed by the objects' boxes [G, 4]."""
        return [torch.cat(of_image) for of_image in zip(proposals, gt_boxes, strict=True)]

    def assign_targets_to_proposals(
        self, proposals: Sequence[Tensor], gt_boxes: Sequence[Tensor], gt_labels: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Per image, for its proposals: the index of the matched object, int64 [P], 0 if none; and the label, int64
        [P], 0 for background, -1 if ignored."""
        objects, labels = [], []
        for boxes, truth, classes in zip(proposals, gt_boxes, gt_labels, strict=True):
            matches = self.proposal_matcher(box_iou(truth, boxes))
            known = classes if len(classes) else classes.new_zeros(1)
            own = known[matches.clamp(min=0)].to(torch.int64).masked_fill(matches < 0, 0)
            objects.append(matches.clamp(min=0))
            labels.append(own.masked_fill(matches < BELOW_LOW_THRESHOLD, -1))
        return objects, labels

    def subsample(self, labels: Sequence[Tensor]) -> list[Tensor]:
        """Per image, the indices, int64 [R], of the sampled proposals, in order."""
        masks = zip(*self.fg_bg_sampler(labels), strict=True)
        return [(positive | negative).nonzero().squeeze(1) for positive, negative in masks]

    def compute_loss(
        self, features: Features, proposals: list[Tensor], image_shapes: Sequence[Size], targets: list[Target]
    ) -> Losses:
        boxes, objects, labels, codes = self.select_training_samples(proposals, targets)
        if any(map(len, labels)):
            predicted = self.predict_boxes(features, boxes, image_shapes)
            classes = predicted[0].shape[1]
            losses = dict(zip(BOX_LOSSES, fastrcnn_loss(*predicted, labels, codes), strict=True))
        else:
            none = nothing((self.box_head, self.box_predictor), features)
            losses, classes = dict.fromkeys(BOX_LOSSES, none), None
        positive = [(of_image > 0).nonzero().squeeze(1) for of_image in labels]
        boxes, objects, labels = ([v[p] for v, p in zip(of, positive, strict=True)] for of in (boxes, objects, labels))
        if self.has_mask():
            logits = self.run("mask", features, boxes, image_shapes)
            self.check_masks(logits, classes)
            if logits is None:
                losses["loss_mask"] = nothing(self.parts("mask"), features)
            else:
                masks = [target["masks"] for target in targets]
                losses["loss_mask"] = mask_loss(logits, boxes, objects, torch.cat(labels), masks)
        if self.has_keypoint():
            logits = self.run("keypoint", features, boxes, image_shapes)
            if logits is None:
                losses["loss_keypoint"] = nothing(self.parts("keypoint"), features)
            else:
                keypoints = torch.cat([target["keypoints"][o] for target, o in zip(targets, objects, strict=True)])
                predictor = "that of roi_heads.keypoint_predictor"
                check_same("the number of keypoints of the targets", keypoints.shape[1], predictor, logits.shape[1])
                losses["loss_keypoint"] = keypoint_loss(logits, keypoints, torch.cat(boxes))
        return losses

    def run(self, kind: str, features: Features, boxes: list[Tensor], image_shapes: Sequence[Size]) -> Tensor | None:
        """The outputs of pool, head and predictor for ``boxes``; None without boxes, on which batch norm fails."""
        if not sum(map(len, boxes)):
            return None
        pool, head, predictor = self.parts(kind)
        x = run_part(f"roi_heads.{kind}_head", head, pool(features, boxes, image_shapes))
        return widened(run_part(f"roi_heads.{kind}_predictor", predictor, x))

    def check_masks(self, masks: Tensor | None, classes: int | None) -> None:
        """Raise InvalidArgument if masks [D, C, M, M] do not have ``classes`` classes; without masks, check the
        declared number."""
        declared = getattr(getattr(self.mask_predictor, "mask_fcn_logits", None), "out_channels", None)
        found = declared if masks is None else masks.shape[1]
        if found is not None and classes is not None:
            predictor = "that of roi_heads.box_predictor"
            check_same("the number of classes of roi_heads.mask_predictor", found, predictor, classes)

    def predict_boxes(
        self, features: Features, boxes: list[Tensor], image_shapes: Sequence[Size]
    ) -> tuple[Tensor, Tensor]:
        """Logits [R, C] of the classes, and box codes for each of them, [R, C * 4]."""
        x = run_part("roi_heads.box_head", self.box_head, self.box_roi_pool(features, boxes, image_shapes))
        logits, codes = run_part("roi_heads.box_predictor", self.box_predictor, x)
        predictor = "roi_heads.box_predictor"
        check_same(f"the number of boxes of {predictor}", codes.shape[1] / 4, "that of its scores", logits.shape[1])
        return widened(logits), widened(codes)

    # ── inference ────────────────────────────────────────────────────────────────────────────────────────────────

    def look_closer(
        self, features: Features, found: list[Detections], image_shapes: Sequence[Size], classes: int
    ) -> None:
        """Add masks and keypoints to the detections, if the model has parts for them."""
        boxes = [detections["boxes"] for detections in found]
        counts = [b.shape[0] for b in boxes]
        if self.has_mask():
            masks = self.run("mask", features, boxes, image_shapes)
            self.check_masks(masks, classes)
            labels = torch.cat([detections["labels"] for detections in found])
            own = boxes[0].new_zeros(0, 1, 28, 28) if masks is None else of_label(masks, labels).sigmoid()[:, None]
            for detections, part in zip(found, torch.split(own, counts), strict=True):
                detections["masks"] = part
        if self.has_keypoint():
            maps = self.run("keypoint", features, boxes, image_shapes)
            if maps is None:
                k = getattr(self.keypoint_predictor, "out_channels", 0)
                keypoints, scores = boxes[0].new_zeros(0, k, 3), boxes[0].new_zeros(0, k)
            else:
                keypoints, scores = keypoints_of(maps, torch.cat(boxes))
            for detections, points, s in zip(
                found, torch.split(keypoints, counts), torch.split(scores, counts), strict=True
            ):
                detections["keypoints"], detections["keypoints_scores"] = points, s

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: Sequence[Size],
        most: int | None = None,
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The pairs of proposal and class above the thresholds, after non-maximum suppression per class.

        Args:
            class_logits: [R, C] for the proposals of all images.
            box_regression: box codes per class, [R, C * 4].
            proposals: [P, 4] of each image.
            image_shapes: (height, width) of each.
            most: as in :meth:`forward`.

        Returns:
            Boxes [D, 4], scores [D] and labels [D] of each image, best first.
        """
        counts = [boxes.shape[0] for boxes in proposals]
        probabilities = torch.split(class_logits.softmax(1), counts)
        codes = torch.split(_of_classes(box_regression), counts)
        limits = sizes_as_boxes(image_shapes, box_regression)
        found = [self._best(*each, most) for each in zip(probabilities, codes, proposals, limits, strict=True)]
        return [f["boxes"] for f in found], [f["scores"] for f in found], [f["labels"] for f in found]

    def _best(
        self, probabilities: Tensor, codes: Tensor, proposals: Tensor, limits: Tensor, most: int | None
    ) -> Detections:
        """The detections of one image; only the boxes of pairs above the threshold are decoded."""
        scores = probabilities[:, 1:]  # without background
        classes = scores.shape[1]
        if most is None:
            pairs = (scores > self.score_thresh).flatten().nonzero().squeeze(1)
        else:
            scores = torch.where((proposals[:, 2:] > proposals[:, :2]).all(1, keepdim=True), scores, 0)
            # The scores of a proposal sum to 1, so at most this many can be above the threshold.
            above = classes if self.score_thresh <= 0 else min(classes, int(1 / self.score_thresh))
            pairs = scores.flatten().topk(len(proposals) * above).indices
        rows, labels = pairs // classes, pairs % classes + 1
        boxes = self.box_coder.decode(codes[rows, labels], proposals[rows])
        boxes = torch.minimum(boxes.clamp(min=0), limits)
        found = {"boxes": boxes, "labels": labels, "scores": scores.flatten()[pairs]}
        good = (found["scores"] > self.score_thresh) & ((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST).all(1)
        return suppress(found, labels, good, self.nms_thresh, most or self.detections_per_img, most is not None)


def fastrcnn_loss(
    class_logits: Tensor, box_regression: Tensor, labels: Sequence[Tensor], regression_targets: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """The losses of classes and of boxes, averaged over R samples; only the box of the true class is used.

    Args:
        class_logits: [R, C]; ``box_regression``: box codes per class, [R, C * 4].
        labels: int64 per image, 0 for background; ``regression_targets``: codes of their boxes.
    """
    classes, wanted = torch.cat(list(labels)), torch.cat(list(regression_targets))
    positive = (classes > 0).nonzero().squeeze(1)
    own = _of_classes(box_regression)[positive, classes[positive]]
    box_loss = F.smooth_l1_loss(own, wanted[positive], beta=1 / 9, reduction="sum")
    return F.cross_entropy(class_logits, classes), box_loss / len(classes)


def mask_loss(
    logits: Tensor, boxes: list[Tensor], objects: list[Tensor], labels: Tensor, masks: Sequence[Tensor]
) -> Tensor:
    """The mean binary cross-entropy of the masks of the objects' own classes, cropped from the targets' masks.

    Args:
        logits: [P, C, M, M] of the boxes of all images; ``labels``: [P], their classes.
        boxes: [P, 4] of each image; ``objects``: int64 [P], the index of each box's mask in ``masks`` [G, H, W].
    """
    size = logits.shape[-1]
    cut = [project_masks_on_boxes(*each, size) for each in zip(masks, boxes, objects, strict=True)]
    return F.binary_cross_entropy_with_logits(of_label(logits, labels), torch.cat(cut))


def project_masks_on_boxes(gt_masks: Tensor, boxes: Tensor, matched_idxs: Tensor, M: int) -> Tensor:  # noqa: N803
    """Crop the masks [G, H, W] of the objects ``matched_idxs`` [P] to the boxes [P, 4]: [P, M, M]."""
    regions = torch.cat([matched_idxs[:, None].to(boxes), boxes], dim=1)
    return roi_align(gt_masks[:, None].to(boxes), regions, (M, M), 1.0)[:, 0]


def maskrcnn_loss(
    mask_logits: Tensor,
    proposals: list[Tensor],
    gt_masks: Sequence[Tensor],
    gt_labels: Sequence[Tensor],
    mask_matched_idxs: list[Tensor],
) -> Tensor:
    """:func:`mask_loss` with the labels [G] of the objects of each image."""
    labels = torch.cat([of[which] for of, which in zip(gt_labels, mask_matched_idxs, strict=True)])
    return mask_loss(mask_logits, proposals, mask_matched_idxs, labels, gt_masks)


def keypointrcnn_loss(
    keypoint_logits: Tensor,
    proposals: Sequence[Tensor],
    gt_keypoints: Sequence[Tensor],
    keypoint_matched_idxs: Sequence[Tensor],
) -> Tensor:
    """:func:`zoo_detection.keypoints.keypoint_loss` with the keypoints [G, K, 3] of the objects of each image."""
    keypoints = [of[which] for of, which in zip(gt_keypoints, keypoint_matched_idxs, strict=True)]
    return keypoint_loss(keypoint_logits, torch.cat(keypoints), torch.cat(list(proposals)))


def maskrcnn_inference(x: Tensor, labels: Sequence[Tensor]) -> list[Tensor]:
    """Logits [D, C, M, M] → mask probabilities for each image's ``labels``, [D, 1, M, M] per image."""
    probabilities = of_label(x, torch.cat(list(labels))).sigmoid()[:, None]
    return list(torch.split(probabilities, [len(of_image) for of_image in labels]))


def keypointrcnn_inference(x: Tensor, boxes: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Logits [D, K, S, S] → keypoints [D, K, 3] in each image's ``boxes``, and their logits [D, K]."""
    counts = [len(of_image) for of_image in boxes]
    keypoints, scores = keypoints_of(x, torch.cat(list(boxes)))
    return list(torch.split(keypoints, counts)), list(torch.split(scores, counts))


def of_label(values: Tensor, labels: Tensor) -> Tensor:
    """Select from values [R, C, …] of every class those of ``labels`` [R]: [R, …]."""
    return values[torch.arange(labels.shape[0], device=labels.device), labels]


def nothing(parts: Sequence[nn.Module | None], features: Features) -> Tensor:
    """A loss of 0 with a gradient of 0 for every parameter of ``parts``, for a batch without objects."""
    parameters = [p.sum() for part in parts if part is not None for p in part.parameters()]
    return torch.stack([*parameters, *(f.sum() for f in features.values())]).sum() * 0


def _of_classes(codes: Tensor) -> Tensor:
    """[R, C * 4] → [R, C, 4], also for R = 0."""
    return codes.reshape(codes.shape[0], codes.shape[1] // 4, 4)
