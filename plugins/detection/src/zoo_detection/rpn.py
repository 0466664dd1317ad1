"""Region proposal network: which of all anchors hold an object, whatever it is.

From `Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks
<https://arxiv.org/abs/1506.01497>`_, on a feature pyramid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.nn import Conv2dNormActivation
from zoo.ops import batched_nms, box_iou
from zoo_detection.coding import BoxCoder
from zoo_detection.dense import flatten_map
from zoo_detection.detector import Losses, clip_boxes, sizes_as_boxes, suppress_padded
from zoo_detection.matching import BELOW_LOW_THRESHOLD, BalancedPositiveNegativeSampler, Matcher
from zoo_detection.transform import ImageList, Target

SMALLEST = 1e-3  # pixels of a proposal's side


class RPNHead(nn.Module):
    """Maps [N, C, H, W] → logits of the anchors, [N, A, H, W], and what decodes to boxes, [N, A * 4, H, W], of each.

    Args:
        num_anchors: in a cell.
        conv_depth: number of 3×3 convolutions that both are read off.
    """

    def __init__(self, in_channels: int, num_anchors: int, conv_depth: int = 1) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(Conv2dNormActivation(in_channels, in_channels, norm_layer=None) for _ in range(conv_depth))
        )
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, num_anchors * 4, 1)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, std=0.01)
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        towers = [self.conv(features) for features in x]
        return [self.cls_logits(t) for t in towers], [self.bbox_pred(t) for t in towers]


class RegionProposalNetwork(nn.Module):
    """Images and features → proposals, [P, 4] of each image, and losses if there are targets.

    Args:
        anchor_generator: images and maps → anchors of each map.
        head: as :class:`RPNHead`.
        fg_iou_thresh, bg_iou_thresh: IoU from which an anchor stands for an object, and below which for none.
        batch_size_per_image: anchors of each image that count in training.
        positive_fraction: share of those that stand for an object, at most.
        pre_nms_top_n: of each map, how many of the best anchors become boxes: ``{"training": …, "testing": …}``.
        post_nms_top_n: of all maps, how many proposals there are.
        nms_thresh: of two of one map with a higher IoU, the worse is dropped.
        score_thresh: proposals score at least this.
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
        self.pre_nms_top_n = dict(pre_nms_top_n)
        self.post_nms_top_n = dict(post_nms_top_n)
        self.nms_thresh = nms_thresh
        self.score_thresh = score_thresh

    def forward(
        self, images: ImageList, features: Mapping[str, Tensor], targets: list[Target] | None = None
    ) -> tuple[list[Tensor], Losses]:
        logits, codes, anchors = self.predict(images, features)
        proposals = self.propose(images, [level.detach() for level in logits], codes.detach(), anchors)
        if targets is None:
            return proposals, {}
        return proposals, self.compute_loss(torch.cat(logits, dim=1), codes, torch.cat(anchors), targets)

    def predict(self, images: ImageList, features: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        """Of each map the logits [N, A] and the anchors [A, 4]; of all what decodes to boxes, [N, all A, 4]."""
        maps = list(features.values())
        objectness, codes = self.head(maps)
        anchors = self.anchor_generator.per_level(images.tensors.shape[-2:], maps)
        logits = [flatten_map(level, 1).squeeze(2) for level in objectness]
        return logits, torch.cat([flatten_map(level, 4) for level in codes], dim=1), anchors

    def candidates(
        self, images: ImageList, logits: list[Tensor], codes: Tensor, anchors: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The best anchors of each map, moved to where their objects are: only those are decoded.

        Returns:
            Boxes [N, K, 4], scores [N, K], indices of the maps [K], and bool [N, K], which are good enough.
        """
        most = self.pre_nms_top_n["training" if self.training else "testing"]
        chosen, scores, levels, begin = [], [], [], 0
        for i, level in enumerate(logits):
            best, indices = level.topk(min(most, level.shape[1]), dim=1)
            chosen.append(indices + begin)
            scores.append(best)
            levels.append(torch.full_like(indices[0], i))
            begin += level.shape[1]
        rows, score = torch.cat(chosen, dim=1), torch.cat(scores, dim=1).sigmoid()
        boxes = self.box_coder.decode(codes.gather(1, rows[..., None].expand(-1, -1, 4)), torch.cat(anchors)[rows])
        boxes = clip_boxes(boxes, sizes_as_boxes(images.image_sizes, boxes))
        good = ((boxes[..., 2:] - boxes[..., :2]) >= SMALLEST).all(2) & (score >= self.score_thresh)
        return boxes, score, torch.cat(levels), good

    def propose(self, images: ImageList, logits: list[Tensor], codes: Tensor, anchors: list[Tensor]) -> list[Tensor]:
        """Of each image the best candidates that no better one of their map overlaps."""
        boxes, scores, levels, good = self.candidates(images, logits, codes, anchors)
        most = self.post_nms_top_n["training" if self.training else "testing"]
        proposals = []
        for image_boxes, image_scores, image_good in zip(boxes, scores, good, strict=True):
            kept = image_good.nonzero().squeeze(1)
            best = batched_nms(image_boxes[kept], image_scores[kept], levels[kept], self.nms_thresh)
            proposals.append(image_boxes[kept[best[:most]]])
        return proposals

    def propose_padded(self, images: ImageList, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """As many proposals for each image, [N, P, 4], and which of them there are, bool [N, P]."""
        boxes, scores, levels, good = self.candidates(images, *self.predict(images, features))
        most = min(self.post_nms_top_n["testing"], boxes.shape[1])
        proposals, good_proposals = [], []
        for image_boxes, image_scores, image_good in zip(boxes, scores, good, strict=True):
            chosen, there = suppress_padded(image_boxes, image_scores, levels, image_good, self.nms_thresh, most)
            proposals.append(image_boxes[chosen])
            good_proposals.append(there)
        return torch.stack(proposals), torch.stack(good_proposals)

    def compute_loss(self, logits: Tensor, codes: Tensor, anchors: Tensor, targets: list[Target]) -> Losses:
        """``loss_objectness`` and ``loss_rpn_box_reg``, means over the anchors that were drawn to count."""
        positives, negatives, wanted = [], [], []
        for i, target in enumerate(targets):
            matches = self.proposal_matcher(box_iou(target["boxes"], anchors))
            positive, negative = self.fg_bg_sampler(matches >= 0, matches == BELOW_LOW_THRESHOLD)
            wanted.append(self.box_coder.encode(target["boxes"][matches[positive]], anchors[positive]))
            positives.append(positive + i * len(anchors))
            negatives.append(negative + i * len(anchors))
        positive = torch.cat(positives)
        drawn = torch.cat([positive, *negatives])
        is_object = (torch.arange(len(drawn), device=drawn.device) < len(positive)).to(logits)
        box_loss = F.smooth_l1_loss(codes.flatten(0, 1)[positive], torch.cat(wanted), reduction="sum", beta=1 / 9)
        return {
            "loss_objectness": F.binary_cross_entropy_with_logits(logits.flatten()[drawn], is_object),
            "loss_rpn_box_reg": box_loss / max(1, len(drawn)),
        }
