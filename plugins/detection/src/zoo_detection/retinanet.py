"""RetinaNet: scores and boxes at every location of a pyramid, trained with a loss that focuses on hard examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.errors import InvalidArgument
from zoo.features import Backbone
from zoo.nn import Conv2dNormActivation
from zoo.ops import box_iou, generalized_box_iou_loss
from zoo_classification.resnet import ResNet
from zoo_detection.anchors import AnchorGenerator
from zoo_detection.backbones import (
    OUT_CHANNELS,
    RESNET50_V1,
    FPNBackbone,
    Norm,
    frozen_norm_resnet50,
    last_stages,
    on_backbone,
    once_meant,
    p6_p7,
    plain_norm_resnet50,
    resnet_fpn,
)
from zoo_detection.checkpoints import FPN_AND_RPN, RETINANET_HEAD, present_keys
from zoo_detection.coding import BoxCoder
from zoo_detection.dense import DenseDetector, MapHead, ScoringHead
from zoo_detection.detector import Losses, TransformArgument, draw_convolutions, image_transform
from zoo_detection.losses import sparse_focal_loss
from zoo_detection.matching import BETWEEN_THRESHOLDS, Matcher
from zoo_detection.transform import Target
from zoo_detection.weights.retinanet import RetinaNet_ResNet50_FPN_V2_Weights, RetinaNet_ResNet50_FPN_Weights

BOX_LOSSES = ("l1", "giou")
PRIOR = 0.01  # initial score of all anchors: with 0.5, background would dominate the first losses
draw_small = partial(draw_convolutions, partial(nn.init.normal_, std=0.01))


def tower(channels: int, norm_layer: Norm | None) -> nn.Sequential:
    """Four 3×3 convolutions with ReLU, the same on all maps."""
    return nn.Sequential(*(Conv2dNormActivation(channels, channels, norm_layer=norm_layer) for _ in range(4)))


class RetinaNetClassificationHead(MapHead):
    """Maps [N, C, H, W] → logits [N, A, num_classes] of the anchors of all maps."""

    BETWEEN_THRESHOLDS = BETWEEN_THRESHOLDS

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        prior_probability: float = PRIOR,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        self.num_anchors = num_anchors
        self.num_classes = num_classes
        self.conv = tower(in_channels, norm_layer)
        draw_small(self.conv)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        draw_small(self.cls_logits)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_probability) / prior_probability))  # type: ignore[arg-type]

    @property
    def columns(self) -> int:  # type: ignore[override]
        return self.num_classes

    def maps(self, x: Sequence[Tensor]) -> list[Tensor]:
        return [self.cls_logits(self.conv(features)) for features in x]

    def compute_loss(
        self, targets: list[Target], head_outputs: dict[str, Tensor], matched_idxs: Sequence[Tensor]
    ) -> Tensor:
        """The focal loss per number of anchors matched to an object, averaged over images.

        Args:
            head_outputs: with ``cls_logits`` [N, A, num_classes].
            matched_idxs: per image, the object of each anchor, int64 [A], as returned by :class:`Matcher`.
        """
        losses = []
        for target, logits, matches in zip(targets, head_outputs["cls_logits"], matched_idxs, strict=True):
            chosen = (matches >= 0).nonzero().squeeze(1)
            labels, counted = target["labels"][matches[chosen]], matches != self.BETWEEN_THRESHOLDS
            losses.append(sparse_focal_loss(logits, chosen, labels, counted) / max(1, len(chosen)))
        return torch.stack(losses).mean()


class RetinaNetRegressionHead(MapHead):
    """Maps [N, C, H, W] → box codes for ``box_coder``, [N, A, 4], of the anchors of all maps.

    ``_loss_type`` is ``"l1"`` for a loss of the codes, or ``"giou"`` for a loss of the boxes.
    """

    columns = 4

    def __init__(self, in_channels: int, num_anchors: int, norm_layer: Norm | None = None) -> None:
        super().__init__()
        self.conv = tower(in_channels, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        draw_small(self.bbox_reg, self.conv)
        self.box_coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
        self._loss_type = "l1"

    def maps(self, x: Sequence[Tensor]) -> list[Tensor]:
        return [self.bbox_reg(self.conv(features)) for features in x]

    def compute_loss(
        self,
        targets: list[Target],
        head_outputs: dict[str, Tensor],
        anchors: Sequence[Tensor],
        matched_idxs: Sequence[Tensor],
    ) -> Tensor:
        """The box loss per number of anchors matched to an object, averaged over images.

        Args:
            head_outputs: with ``bbox_regression`` [N, A, 4].
            anchors: [A, 4] of each image.
            matched_idxs: as in :meth:`RetinaNetClassificationHead.compute_loss`.
        """
        losses = []
        for target, codes, of_image, matches in zip(
            targets, head_outputs["bbox_regression"], anchors, matched_idxs, strict=True
        ):
            chosen = (matches >= 0).nonzero().squeeze(1)
            boxes = target["boxes"][matches[chosen]]
            losses.append(self.regression_loss(codes[chosen], of_image[chosen], boxes) / max(1, len(chosen)))
        return torch.stack(losses).mean()

    def regression_loss(self, codes: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
        """The sum over P anchors [P, 4] matched to ``boxes`` [P, 4]."""
        if self._loss_type == "giou":
            return generalized_box_iou_loss(self.box_coder.decode(codes, anchors), boxes, reduction="sum")
        return F.l1_loss(codes, self.box_coder.encode(boxes, anchors), reduction="sum")


class RetinaNetHead(ScoringHead):
    """Maps → ``cls_logits`` [N, A, num_classes] and ``bbox_regression`` [N, A, 4], of the anchors of all maps."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, norm_layer: Norm | None = None) -> None:
        super().__init__()
        self.classification_head = RetinaNetClassificationHead(
            in_channels, num_anchors, num_classes, norm_layer=norm_layer
        )
        self.regression_head = RetinaNetRegressionHead(in_channels, num_anchors, norm_layer=norm_layer)

    def compute_loss(
        self,
        targets: list[Target],
        head_outputs: dict[str, Tensor],
        anchors: Sequence[Tensor],
        matched_idxs: Sequence[Tensor],
    ) -> Losses:
        """The losses of both heads."""
        return {
            "classification": self.classification_head.compute_loss(targets, head_outputs, matched_idxs),
            "bbox_regression": self.regression_head.compute_loss(targets, head_outputs, anchors, matched_idxs),
        }


def default_anchors(levels: int = 5) -> AnchorGenerator:
    """Three sizes, a third of an octave apart, and three shapes at each level, the first of 32 pixels."""
    sizes = tuple(tuple(int(32 * 2**i * 2 ** (k / 3)) for k in range(3)) for i in range(levels))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * levels)


class RetinaNet(DenseDetector):
    """RetinaNet, from `Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_.

    See :class:`zoo_detection.detector.Detector` for inputs and outputs. The losses are ``classification`` and
    ``bbox_regression``.

    Args:
        backbone: images → feature maps, a dict; its ``out_channels`` is their number of channels.
        num_classes: number of scores per anchor. There is no background, so 0 is an ordinary label; the
            published models do not use it.
        min_size, max_size, image_mean, image_std: arguments of the transform; see
            :class:`zoo_detection.transform.GeneralizedRCNNTransform`. By default ImageNet's mean and deviation.
        anchor_generator: by default three sizes and three shapes per level, from 32 pixels.
        head: maps → ``cls_logits`` and ``bbox_regression``; by default :class:`RetinaNetHead`.
        proposal_matcher: by default built from ``fg_iou_thresh`` and ``bg_iou_thresh``: the IoU from which an anchor is
            matched to an object, and below which it is background.
        score_thresh: minimum score of detections, exclusive.
        nms_thresh: IoU threshold of non-maximum suppression, within each class.
        detections_per_img: maximum number of detections per image.
        topk_candidates: maximum number of candidates per map, before suppression.
        transform: replaces the default transform; None leaves resizing and normalising to the caller.
        box_loss: ``"l1"``, of the codes, or ``"giou"``, of the boxes.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        min_size: int | Sequence[int] = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        anchor_generator: nn.Module | None = None,
        head: nn.Module | None = None,
        proposal_matcher: Matcher | None = None,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 300,
        fg_iou_thresh: float = 0.5,
        bg_iou_thresh: float = 0.4,
        topk_candidates: int = 1000,
        transform: TransformArgument = "default",
        box_loss: str = "l1",
        **kwargs: Any,
    ) -> None:
        anchor_generator = anchor_generator or default_anchors()
        per_cell = anchor_generator.num_anchors_per_location()[0]  # type: ignore[operator]
        super().__init__(
            backbone=backbone,
            num_classes=num_classes,
            anchor_generator=anchor_generator,
            head=head or RetinaNetHead(backbone.out_channels, per_cell, num_classes),  # type: ignore[arg-type]
            box_coder=BoxCoder((1.0, 1.0, 1.0, 1.0)),
            transform=image_transform(transform, min_size, max_size, image_mean, image_std, **kwargs),
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
        )
        self.proposal_matcher = proposal_matcher or Matcher(fg_iou_thresh, bg_iou_thresh, True)
        if box_loss not in BOX_LOSSES:
            raise InvalidArgument(f"box_loss is {box_loss!r}; expected one of {', '.join(BOX_LOSSES)}.")
        if box_loss != "l1":
            self.head.regression_head._loss_type = box_loss

    def losses(
        self, targets: list[Target], outputs: dict[str, Tensor], anchors: list[Tensor], per_level: list[int]
    ) -> Losses:
        return self.compute_loss(targets, outputs, anchors)

    def compute_loss(self, targets: list[Target], head_outputs: dict[str, Tensor], anchors: list[Tensor]) -> Losses:
        """The head's losses, for the anchors [A, 4] of each image, matched to objects by overlap."""
        matched_idxs = [
            self.proposal_matcher(box_iou(target["boxes"], of_image))
            for target, of_image in zip(targets, anchors, strict=True)
        ]
        losses: Losses = self.head.compute_loss(targets, head_outputs, anchors, matched_idxs)
        return losses


LAYERS = (2, 3, 4)  # of the ResNet: strides 8, 16 and 32
CONVERT = present_keys(FPN_AND_RPN, RETINANET_HEAD)
HEAD = "head.classification_head.cls_logits"


@zoo.builder(RetinaNet_ResNet50_FPN_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
@on_backbone(frozen_norm_resnet50)
def retinanet_resnet50_fpn(resnet: ResNet, num_classes: int, **kwargs: Any) -> RetinaNet:
    """RetinaNet on a ResNet-50 with a feature pyramid, from `Focal Loss for Dense Object Detection
    <https://arxiv.org/abs/1708.02002>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn_resnet50_fpn`, and the further ones of
    :class:`RetinaNet`. The 91 classes are COCO's ids and the unused 0.
    """
    return RetinaNet(resnet_fpn(resnet, LAYERS, p6_p7()), num_classes, **kwargs)


@once_meant(pretrained_backbone=RESNET50_V1)
@zoo.builder(RetinaNet_ResNet50_FPN_V2_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
@on_backbone(plain_norm_resnet50)
def retinanet_resnet50_fpn_v2(resnet: ResNet, num_classes: int, **kwargs: Any) -> RetinaNet:
    """RetinaNet with group norm in its heads and GIoU as its box loss, after `Bridging the Gap Between Anchor-based and
    Anchor-free Detection <https://arxiv.org/abs/1912.02424>`_.

    The arguments are those of :func:`retinanet_resnet50_fpn`; the batch norm is never frozen.
    """
    backbone = resnet_fpn(resnet, LAYERS, p6_p7(2048))
    head = RetinaNetHead(OUT_CHANNELS, 9, num_classes, norm_layer=partial(nn.GroupNorm, 32))
    return RetinaNet(backbone, num_classes, **{"head": head, "box_loss": "giou", **kwargs})


@zoo.builder(head=HEAD)
@on_backbone(last_stages(3))
def retinanet(body: Backbone, num_classes: int = 91, **kwargs: Any) -> RetinaNet:
    """RetinaNet on any model with stages, from `Focal Loss for Dense Object Detection
    <https://arxiv.org/abs/1708.02002>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn`, and the further ones of
    :class:`RetinaNet`; the last three stages and two additional levels form the pyramid.

    Raises:
        InvalidArgument: the backbone has no stages.
    """
    anchors = default_anchors(len(body.strides) + 2)
    backbone = FPNBackbone(body, body.out_channels, extra_blocks=p6_p7())
    return RetinaNet(backbone, num_classes, **{"anchor_generator": anchors, **kwargs})
