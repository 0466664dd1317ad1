"""RetinaNet: scores and boxes at every place of a pyramid at once, trained by a loss that cares for the hard ones."""

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
from zoo.nn import Conv2dNormActivation
from zoo.nn.fpn import LastLevelP6P7
from zoo.ops import box_iou, generalized_box_iou_loss
from zoo_classification.resnet import resnet50
from zoo_classification.weights.resnet import ResNet50_Weights
from zoo_detection.anchors import AnchorGenerator
from zoo_detection.backbones import (
    OUT_CHANNELS,
    Norm,
    any_backbone,
    backbone_norm,
    resnet_fpn,
    trainable_layers,
)
from zoo_detection.checkpoints import FPN_AND_RPN, RETINANET_HEAD, present_keys
from zoo_detection.coding import BoxCoder
from zoo_detection.dense import DenseDetector
from zoo_detection.detector import Losses, TransformArgument, image_transform
from zoo_detection.losses import sparse_focal_loss
from zoo_detection.matching import BETWEEN_THRESHOLDS, Matcher
from zoo_detection.transform import Target
from zoo_detection.weights.retinanet import RetinaNet_ResNet50_FPN_V2_Weights, RetinaNet_ResNet50_FPN_Weights

BOX_LOSSES = ("l1", "giou")
PRIOR = 0.01  # the score of everything before training: were it 0.5, the first losses would be all background's


def tower(channels: int, norm_layer: Norm | None) -> nn.Sequential:
    """Four 3×3 convolutions with ReLU, the same on all maps."""
    return nn.Sequential(*(Conv2dNormActivation(channels, channels, norm_layer=norm_layer) for _ in range(4)))


def draw_small(*modules: nn.Module) -> None:
    """The initialisation of the heads: small normal weights, no bias."""
    for root in modules:
        for m in root.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, std=0.01)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)


class RetinaNetClassificationHead(nn.Module):
    """Maps [N, C, H, W] → logits [N, num_anchors * num_classes, H, W] of each."""

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        prior_probability: float = PRIOR,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv = tower(in_channels, norm_layer)
        draw_small(self.conv)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        nn.init.normal_(self.cls_logits.weight, std=0.01)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_probability) / prior_probability))  # type: ignore[arg-type]

    def forward(self, x: Sequence[Tensor]) -> list[Tensor]:
        return [self.cls_logits(self.conv(features)) for features in x]


class RetinaNetRegressionHead(nn.Module):
    """Maps [N, C, H, W] → what the box coder decodes, [N, num_anchors * 4, H, W], of each."""

    def __init__(self, in_channels: int, num_anchors: int, norm_layer: Norm | None = None) -> None:
        super().__init__()
        self.conv = tower(in_channels, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        draw_small(self.bbox_reg, self.conv)

    def forward(self, x: Sequence[Tensor]) -> list[Tensor]:
        return [self.bbox_reg(self.conv(features)) for features in x]


class RetinaNetHead(nn.Module):
    """Maps → ``cls_logits`` and ``bbox_regression``, each a list with one map for each."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, norm_layer: Norm | None = None) -> None:
        super().__init__()
        self.classification_head = RetinaNetClassificationHead(
            in_channels, num_anchors, num_classes, norm_layer=norm_layer
        )
        self.regression_head = RetinaNetRegressionHead(in_channels, num_anchors, norm_layer=norm_layer)

    def forward(self, x: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        return {"cls_logits": self.classification_head(x), "bbox_regression": self.regression_head(x)}


def default_anchors(levels: int = 5) -> AnchorGenerator:
    """Three sizes, a third of an octave apart, and three shapes at each level, the first of 32 pixels."""
    sizes = tuple(tuple(int(32 * 2**i * 2 ** (k / 3)) for k in range(3)) for i in range(levels))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * levels)


class RetinaNet(DenseDetector):
    """RetinaNet, from `Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_.

    See :class:`zoo_detection.detector.Detector` for what it takes and gives. The losses are ``classification`` and
    ``bbox_regression``.

    Args:
        backbone: images → feature maps, a dict; its ``out_channels`` says how many channels they have.
        num_classes: number of scores of an anchor. There is no background, so 0 is a label like the others; the
            published models leave it unused.
        min_size, max_size, image_mean, image_std: of the transform; see
            :class:`zoo_detection.transform.GeneralizedRCNNTransform`. By default ImageNet's mean and deviation.
        anchor_generator: by default three sizes and three shapes a level, from 32 pixels.
        head: maps → ``cls_logits`` and ``bbox_regression``; by default :class:`RetinaNetHead`.
        proposal_matcher: by default made of ``fg_iou_thresh`` and ``bg_iou_thresh``: the IoU from which an anchor
            stands for an object, and below which for none.
        score_thresh: detections score more than this.
        nms_thresh: of two of one class with a higher IoU, the worse is dropped.
        detections_per_img: at most so many.
        topk_candidates: of each map, before dropping any.
        transform: in place of that made of the sizes; None leaves resizing and normalising to the caller.
        box_loss: ``"l1"`` of what is regressed, or ``"giou"`` of the boxes.
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
            backbone,
            num_classes,
            anchor_generator,
            head or RetinaNetHead(backbone.out_channels, per_cell, num_classes),  # type: ignore[arg-type]
            BoxCoder((1.0, 1.0, 1.0, 1.0)),
            image_transform(transform, min_size, max_size, image_mean, image_std, **kwargs),
            score_thresh,
            nms_thresh,
            detections_per_img,
            topk_candidates,
        )
        self.proposal_matcher = proposal_matcher or Matcher(fg_iou_thresh, bg_iou_thresh, True)
        if box_loss not in BOX_LOSSES:
            raise InvalidArgument(f"box_loss is {box_loss!r}; expected one of {', '.join(BOX_LOSSES)}.")
        self.box_loss = box_loss

    def compute_loss(self, targets: list[Target], outputs: dict[str, list[Tensor]], anchors: list[Tensor]) -> Losses:
        """Both losses, each the mean over images of the sum over anchors by the number of those for an object."""
        logits = self.flat(outputs, "cls_logits", self.num_classes)
        codes = self.flat(outputs, "bbox_regression", 4)
        boxes = torch.cat(anchors)
        classification, regression = [], []
        for target, image_logits, image_codes in zip(targets, logits, codes, strict=True):
            matches = self.proposal_matcher(box_iou(target["boxes"], boxes))
            chosen = (matches >= 0).nonzero().squeeze(1)
            objects = matches[chosen]
            n = max(1, len(chosen))
            labels = target["labels"][objects]
            counted = matches != BETWEEN_THRESHOLDS
            classification.append(sparse_focal_loss(image_logits, chosen, labels, counted) / n)
            loss = self.regression_loss(image_codes[chosen], boxes[chosen], target["boxes"][objects])
            regression.append(loss / n)
        return {
            "classification": torch.stack(classification).mean(),
            "bbox_regression": torch.stack(regression).mean(),
        }

    def regression_loss(self, codes: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Summed over P anchors [P, 4] that stand for ``boxes`` [P, 4]."""
        if self.box_loss == "giou":
            return generalized_box_iou_loss(self.box_coder.decode(codes, anchors), boxes, reduction="sum")
        return F.l1_loss(codes, self.box_coder.encode(boxes, anchors), reduction="sum")


LAYERS = (2, 3, 4)  # of the ResNet: strides 8, 16 and 32
CONVERT = present_keys(FPN_AND_RPN, RETINANET_HEAD)
HEAD = "head.classification_head.cls_logits"


@zoo.builder(RetinaNet_ResNet50_FPN_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
def retinanet_resnet50_fpn(
    *,
    num_classes: int | None = None,
    weights_backbone: Any = ResNet50_Weights.IMAGENET1K_V1,
    trainable_backbone_layers: int | None = None,
    frozen_norm_eps: float | None = None,
    **kwargs: Any,
) -> RetinaNet:
    """RetinaNet on a ResNet-50 with a feature pyramid, from `Focal Loss for Dense Object Detection
    <https://arxiv.org/abs/1708.02002>`_.

    Args:
        num_classes: number of scores of an anchor; 91 by default, COCO's ids with the unused 0.
        weights_backbone: of ResNet-50; loaded where the whole model has no weights.
        trainable_backbone_layers: stages of the ResNet that are trained, 0 to 5, counted from the last. By default
            three where it starts from weights, else all.
        frozen_norm_eps: the ResNet's batch norm is frozen with this eps. By default it is frozen where the ResNet
            starts from weights, with 1e-5, and ordinary else.
        **kwargs: further arguments of :class:`RetinaNet`.
    """
    norm = backbone_norm(weights_backbone, frozen_norm_eps)
    trainable = trainable_layers(trainable_backbone_layers, norm is not nn.BatchNorm2d, 3, 5)
    resnet = resnet50(weights=weights_backbone, norm_layer=norm)
    backbone = resnet_fpn(resnet, trainable, LAYERS, LastLevelP6P7(OUT_CHANNELS, OUT_CHANNELS))
    return RetinaNet(backbone, 91 if num_classes is None else num_classes, **kwargs)


@zoo.builder(RetinaNet_ResNet50_FPN_V2_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
def retinanet_resnet50_fpn_v2(
    *,
    num_classes: int | None = None,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    **kwargs: Any,
) -> RetinaNet:
    """RetinaNet with group norm in its heads and GIoU as its box loss, after `Bridging the Gap Between Anchor-based and
    Anchor-free Detection <https://arxiv.org/abs/1912.02424>`_.

    The arguments are those of :func:`retinanet_resnet50_fpn`; the batch norm is always ordinary.
    """
    num_classes = 91 if num_classes is None else num_classes
    trainable = trainable_layers(trainable_backbone_layers, weights_backbone is not None, 3, 5)
    resnet = resnet50(weights=weights_backbone)
    backbone = resnet_fpn(resnet, trainable, LAYERS, LastLevelP6P7(2048, OUT_CHANNELS))
    head = RetinaNetHead(OUT_CHANNELS, 9, num_classes, norm_layer=partial(nn.GroupNorm, 32))
    return RetinaNet(backbone, num_classes, **{"head": head, "box_loss": "giou", **kwargs})


@zoo.builder(head=HEAD)
def retinanet(
    *,
    backbone: str | nn.Module = "resnet50",
    num_classes: int = 91,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    backbone_config: dict[str, Any] | None = None,
    **kwargs: Any,
) -> RetinaNet:
    """RetinaNet on any model with stages, from `Focal Loss for Dense Object Detection
    <https://arxiv.org/abs/1708.02002>`_.

    Args:
        backbone: name of a registered model, or a model that declares ``feature_info``; its last three stages and two
            further levels make the pyramid.
        num_classes: number of scores of an anchor.
        weights_backbone: as the backbone's builder takes ``weights``.
        trainable_backbone_layers: stages that are trained, counted from the last; by default all.
        backbone_config: further arguments of the backbone's builder.
        **kwargs: further arguments of :class:`RetinaNet`.

    Raises:
        InvalidArgument: the backbone has no stages.
    """
    body = any_backbone(
        backbone,
        weights_backbone,
        trainable_backbone_layers,
        backbone_config or {},
        levels=3,
        extra_blocks=LastLevelP6P7(OUT_CHANNELS, OUT_CHANNELS),
    )
    levels = len(body.fpn.inner_blocks) + 2
    return RetinaNet(body, num_classes, **{"anchor_generator": default_anchors(levels), **kwargs})
