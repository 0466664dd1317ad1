"""Region proposal network: predicts which anchors contain an object of any class.

From `Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks
<https://arxiv.org/abs/1506.01497>`_, on a feature pyramid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn import Conv2dNormActivation
from zoo.ops import box_iou
from zoo_detection.coding import BoxCoder
from zoo_detection.dense import flatten_maps
from zoo_detection.detector import Losses, clip_boxes, draw_convolutions, sizes_as_boxes, suppress
from zoo_detection.fitting import check_anchors, check_maps, run_part
from zoo_detection.matching import BELOW_LOW_THRESHOLD, BalancedPositiveNegativeSampler, Matcher
from zoo_detection.transform import ImageList, Size, Target

SMALLEST = 1e-3  # pixels of a proposal's side


class RPNHead(nn.Module):
    """Maps [N, C, H, W] → logits of the anchors, [N, A, H, W], and box codes, [N, A * 4, H, W], of each map.

    Args:
        num_anchors: number of anchors per cell.
        conv_depth: number of shared 3×3 convolutions.
    """

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(Conv2dNormActivation(in_channels, in_channels, norm_layer=None) for _ in range(conv_depth))
        )
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 1)
        draw_convolutions(partial(nn.init.normal_, std=0.01), self)

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        towers = [self.conv(features) for features in x]
        return [self.cls_logits(t) for t in towers], [self.bbox_pred(t) for t in towers]


class RegionProposalNetwork(nn.Module):
    """Images and features → proposals, [P, 4] of each image, and losses if targets are given.

    Args:
        anchor_generator: images and maps → anchors of each map.
        head: a module like :class:`RPNHead`.
        fg_iou_thresh, bg_iou_thresh: IoU from which an anchor is matched to an object, and below which it is
            background.
        batch_size_per_image: number of anchors per image in the training loss.
        positive_fraction: maximum share of them that are matched to an object.
        pre_nms_top_n: number of the best anchors per map that become boxes: ``{"training": …, "testing": …}``.
        post_nms_top_n: maximum number of proposals of all maps.
        nms_thresh: IoU threshold of non-maximum suppression, within each map.
        score_thresh: minimum score of proposals.
    """

    def __init__(
        self,
        anchor_generator: nn.Module,
        head: nn.Module,
        fg_iou_thresh: float,
        bg_iou_thresh: float,
        batch_size_per_image: int,
        positive_fraction: float,
        pre_nms_top_n: Mapping[str, int],
        post_nms_top_n: Mapping[str, int],
        nms_thresh: float,
        score_thresh: float = 0.0,
    ) -> None:
        super().__init__()
        self.anchor_generator: Any = anchor_generator
        self.head = head
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self.proposal_matcher = Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=True)
        self.fg_bg_sampler = BalancedPositiveNegativeSampler(batch_size_per_image, positive_fraction)
        self._pre_nms_top_n = dict(pre_nms_top_n)
        self._post_nms_top_n = dict(post_nms_top_n)
        self.nms_thresh = nms_thresh
        self.score_thresh = score_thresh

    def pre_nms_top_n(self) -> int:
        """Number of the best anchors per map that become boxes, in the current mode."""
        return self._pre_nms_top_n["training" if self.training else "testing"]

    def post_nms_top_n(self) -> int:
        """Maximum number of proposals of all maps, in the current mode."""
        return self._post_nms_top_n["training" if self.training else "testing"]

    def forward(
        self,
        images: ImageList,
        features: Mapping[str, Tensor],
        targets: list[Target] | None = None,
        padded: bool = False,
    ) -> tuple[list[Tensor], Losses]:
        """With ``padded`` each image has the same number of proposals, padded with boxes of zero size: for graphs."""
        objectness, codes, anchors, num_anchors_per_level = self.predict(images, features)
        padding = (True,) if padded else ()
        proposals, _ = self.filter_proposals(
            self.box_coder.decode(codes.detach(), torch.stack(anchors)),
            objectness.detach(),
            images.image_sizes,
            num_anchors_per_level,
            *padding,
        )
        if targets is None:
            return proposals, {}
        labels, boxes = self.assign_targets_to_anchors(anchors, targets)
        losses = self.compute_loss(objectness, codes, labels, self.box_coder.encode(boxes, anchors))
        return proposals, dict(zip(("loss_objectness", "loss_rpn_box_reg"), losses, strict=True))

    def predict(
        self, images: ImageList, features: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, list[Tensor], list[int]]:
        """Logits [N, A], box codes [N, A, 4], the anchors [A, 4] of each image, and their number per map."""
        maps = list(features.values())
        objectness, codes = run_part("rpn.head", self.head, maps)
        anchors = self.anchor_generator(images, maps)
        check_maps("rpn.head", objectness, codes, 1, len(maps))
        check_anchors("rpn.head", codes, self.anchor_generator, anchors[0])
        per_level = [level[0].numel() for level in objectness]
        return flatten_maps(objectness, 1).squeeze(2), flatten_maps(codes, 4), anchors, per_level

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: Sequence[Size],
        num_anchors_per_level: Sequence[int],
        padded: bool = False,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The best proposals of each image after non-maximum suppression within each map.

        Args:
            proposals: boxes [N, A, 4], map by map.
            objectness: their logits, in any shape.
            image_shapes: (height, width) of each image.
            num_anchors_per_level: number of anchors of each map.
            padded: return the same number per image; padding has zero boxes and a score of -1.

        Returns:
            Boxes [P, 4] and scores [P] in [0, 1] of each image, best first.
        """
        logits = objectness.reshape(len(proposals), -1)
        chosen, levels, begin = [], [], 0
        for i, level in enumerate(torch.split(logits, list(num_anchors_per_level), dim=1)):
            indices = level.topk(min(self.pre_nms_top_n(), level.shape[1]), dim=1).indices
            chosen.append(indices + begin)
            levels.append(torch.full_like(indices[0], i))
            begin += level.shape[1]
        rows, level_of = torch.cat(chosen, dim=1), torch.cat(levels)
        scores = logits.gather(1, rows).sigmoid()
        boxes = proposals.gather(1, rows[..., None].expand(-1, -1, 4))
        boxes = clip_boxes(boxes, sizes_as_boxes(image_shapes, boxes))
        good = ((boxes[..., 2:] - boxes[..., :2]) >= SMALLEST).all(2) & (scores >= self.score_thresh)
        most = min(self.post_nms_top_n(), rows.shape[1])
        found = [
            suppress({"boxes": b, "scores": s}, level_of, g, self.nms_thresh, most, padded)
            for b, s, g in zip(boxes, scores, good, strict=True)
        ]
        return [f["boxes"] for f in found], [f["scores"] for f in found]

    @torch.no_grad()
    def assign_targets_to_anchors(
        self, anchors: Sequence[Tensor], targets: Sequence[Target]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Per image, for its anchors [A, 4]: labels [A], 1 for an object, 0 for background, -1 if ignored; and the
        boxes of the matched objects, [A, 4], arbitrary for background."""
        labels, boxes = [], []
        for of_image, target in zip(anchors, targets, strict=True):
            matches = self.proposal_matcher(box_iou(target["boxes"], of_image))
            labels.append((matches >= 0).float() - (matches < BELOW_LOW_THRESHOLD).float())
            found = target["boxes"] if len(target["boxes"]) else torch.zeros_like(of_image[:1])
            boxes.append(found[matches.clamp(min=0)])
        return labels, boxes

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: Sequence[Tensor],
        regression_targets: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The losses of scores and of boxes, averaged over the sampled anchors.

        Args:
            objectness: logits of the anchors of all images, in any shape; ``pred_bbox_deltas``: box codes.
            labels: as from :meth:`assign_targets_to_anchors`.
            regression_targets: codes of the objects' boxes, [A, 4] of each image.
        """
        positive, negative = (torch.cat(masks).nonzero().squeeze(1) for masks in self.fg_bg_sampler(labels))
        drawn = torch.cat([positive, negative])
        is_object = (torch.arange(len(drawn), device=drawn.device) < len(positive)).to(objectness)
        found, wanted = pred_bbox_deltas.reshape(-1, 4)[positive], torch.cat(list(regression_targets))[positive]
        box_loss = F.smooth_l1_loss(found, wanted, reduction="sum", beta=1 / 9) / max(1, len(drawn))
        return F.binary_cross_entropy_with_logits(objectness.flatten()[drawn], is_object), box_loss


def permute_and_flatten(layer: Tensor, N: int, A: int, C: int, H: int, W: int) -> Tensor:  # noqa: N803
    """A map [N, A * C, H, W] → [N, H * W * A, C]."""
    return layer.view(N, A, C, H, W).permute(0, 3, 4, 1, 2).reshape(N, -1, C)


def concat_box_prediction_layers(box_cls: Sequence[Tensor], box_regression: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores [N, A * C, H, W] and codes [N, A * 4, H, W] of each map → [N * all A, C] and [N * all A, 4]."""
    classes = 4 * box_cls[0].shape[1] // box_regression[0].shape[1]
    return flatten_maps(box_cls, classes).flatten(0, 1), flatten_maps(box_regression, 4).flatten(0, 1)
