"""FCOS: every location of a pyramid predicts a class and the distances to the sides of its box; no anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.features import Backbone
from zoo.ops import box_area, generalized_box_iou_loss
from zoo_classification.resnet import ResNet
from zoo_detection.anchors import AnchorGenerator
from zoo_detection.backbones import FPNBackbone, Norm, frozen_norm_resnet50, last_stages, on_backbone, p6_p7, resnet_fpn
from zoo_detection.checkpoints import FPN_AND_RPN, present_keys
from zoo_detection.coding import BoxLinearCoder, centres_and_sizes
from zoo_detection.dense import DenseDetector, MapHead, flatten_maps
from zoo_detection.detector import Losses, TransformArgument, image_transform
from zoo_detection.losses import sparse_focal_loss
from zoo_detection.retinanet import LAYERS, PRIOR, draw_small
from zoo_detection.transform import Target
from zoo_detection.weights.fcos import FCOS_ResNet50_FPN_Weights


def tower(channels: int, depth: int, norm_layer: Norm | None) -> nn.Sequential:
    """``depth`` times 3×3 convolution, norm (of 32 groups by default), ReLU; the same on all maps."""
    norm_layer, layers = norm_layer or partial(nn.GroupNorm, 32), []
    for _ in range(depth):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), norm_layer(channels), nn.ReLU()]
    return nn.Sequential(*layers)


class FCOSClassificationHead(MapHead):
    """Maps [N, C, H, W] → logits [N, A, num_classes] of the locations of all maps; FCOS has one anchor per location."""

    def __init__(
        self,
        in_channels: int,
        num_anchors: int,
        num_classes: int,
        num_convs: int = 4,
        prior_probability: float = PRIOR,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        self.num_anchors = num_anchors
        self.num_classes = num_classes
        self.conv = tower(in_channels, num_convs, norm_layer)
        draw_small(self.conv)
        self.cls_logits = nn.Conv2d(in_channels, num_anchors * num_classes, 3, padding=1)
        draw_small(self.cls_logits)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_probability) / prior_probability))  # type: ignore[arg-type]

    @property
    def columns(self) -> int:  # type: ignore[override]
        return self.num_classes

    def maps(self, x: Sequence[Tensor]) -> list[Tensor]:
        return [self.cls_logits(self.conv(features)) for features in x]


class FCOSRegressionHead(nn.Module):
    """Maps [N, C, H, W] → distances to the four sides [N, A, 4], and logits of the centre-ness [N, A, 1]."""

    def __init__(self, in_channels: int, num_anchors: int, num_convs: int = 4, norm_layer: Norm | None = None) -> None:
        super().__init__()
        self.conv = tower(in_channels, num_convs, norm_layer)
        self.bbox_reg = nn.Conv2d(in_channels, num_anchors * 4, 3, padding=1)
        self.bbox_ctrness = nn.Conv2d(in_channels, num_anchors, 3, padding=1)
        draw_small(self.bbox_reg, self.bbox_ctrness, self.conv)

    def forward(self, x: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        distances, centreness = self.maps(x)
        return flatten_maps(distances, 4), flatten_maps(centreness, 1)

    def maps(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The same, before the cells of all maps are flattened and concatenated: [N, 4, H, W] and [N, 1, H, W] per
        map."""
        towers = [self.conv(features) for features in x]
        return [F.relu(self.bbox_reg(t)) for t in towers], [self.bbox_ctrness(t) for t in towers]


class FCOSHead(nn.Module):
    """Maps → ``cls_logits`` [N, A, num_classes], ``bbox_regression`` [N, A, 4] and ``bbox_ctrness`` [N, A, 1], of the
    locations of all maps."""

    def __init__(self, in_channels: int, num_anchors: int, num_classes: int, num_convs: int | None = 4) -> None:
        super().__init__()
        num_convs = 4 if num_convs is None else num_convs
        self.box_coder = BoxLinearCoder(normalize_by_size=True)
        self.classification_head = FCOSClassificationHead(in_channels, num_anchors, num_classes, num_convs)
        self.regression_head = FCOSRegressionHead(in_channels, num_anchors, num_convs)

    def forward(self, x: Sequence[Tensor]) -> dict[str, Tensor]:
        logits = self.classification_head(x)
        distances, centreness = self.regression_head(x)
        return {"cls_logits": logits, "bbox_regression": distances, "bbox_ctrness": centreness}

    def maps(self, x: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """The same, before the cells of all maps are flattened and concatenated."""
        distances, centreness = self.regression_head.maps(x)
        logits = self.classification_head.maps(x)
        return {"cls_logits": logits, "bbox_regression": distances, "bbox_ctrness": centreness}

    def compute_loss(
        self,
        targets: list[Target],
        head_outputs: dict[str, Tensor],
        anchors: Sequence[Tensor],
        matched_idxs: Sequence[Tensor],
    ) -> Losses:
        """The three losses, summed over the batch and divided by the number of locations matched to an object.

        Args:
            head_outputs: outputs of the head.
            anchors: the locations [A, 4] of each image.
            matched_idxs: per image, the index of every location's object, or -1: int64 [A].
        """
        chosen = [(found >= 0).nonzero().squeeze(1) for found in matched_idxs]
        objects = [found[rows] for found, rows in zip(matched_idxs, chosen, strict=True)]
        labels = torch.cat([t["labels"][i] for t, i in zip(targets, objects, strict=True)])
        boxes = torch.cat([t["boxes"][i] for t, i in zip(targets, objects, strict=True)])
        rows = torch.cat([rows + i * len(matched_idxs[0]) for i, rows in enumerate(chosen)])
        places = torch.cat([of_image[rows] for of_image, rows in zip(anchors, chosen, strict=True)])
        n = max(1, len(rows))

        distances = head_outputs["bbox_regression"].flatten(0, 1)[rows]
        centreness = head_outputs["bbox_ctrness"].flatten()[rows]
        wanted = self.box_coder.encode(boxes, places).view(-1, 2, 2)  # (left, top), (right, bottom)
        ratio = (wanted.amin(1) / wanted.amax(1)).prod(1).sqrt()
        boxes_loss = generalized_box_iou_loss(self.box_coder.decode(distances, places), boxes, reduction="sum")
        return {
            "classification": sparse_focal_loss(head_outputs["cls_logits"].flatten(0, 1), rows, labels) / n,
            "bbox_regression": boxes_loss / n,
            "bbox_ctrness": F.binary_cross_entropy_with_logits(centreness, ratio, reduction="sum") / n,
        }


def default_anchors(levels: int = 5, first: int = 8) -> AnchorGenerator:
    """One square of the size of a cell per cell: its centre is the location, its size the unit of distances."""
    return AnchorGenerator(tuple((first * 2**i,) for i in range(levels)), ((1.0,),) * levels)


class FCOS(DenseDetector):
    """FCOS, from `FCOS: Fully Convolutional One-Stage Object Detection <https://arxiv.org/abs/1904.01355>`_.

    See :class:`zoo_detection.detector.Detector` for inputs and outputs. The losses are ``classification``,
    ``bbox_regression`` and ``bbox_ctrness``.

    Args:
        backbone: images → feature maps, a dict; its ``out_channels`` is their number of channels.
        num_classes: number of scores per location. There is no background, so 0 is an ordinary label; the
            published model does not use it.
        min_size, max_size, image_mean, image_std: arguments of the transform; see
            :class:`zoo_detection.transform.GeneralizedRCNNTransform`. By default ImageNet's mean and deviation.
        anchor_generator: one square per location, of the size of the map's stride.
        head: maps → ``cls_logits``, ``bbox_regression`` and ``bbox_ctrness``; by default :class:`FCOSHead`.
        center_sampling_radius: locations are matched to an object up to this many strides from its centre, in each
            direction.
        score_thresh: detections score more than this; the score is the geometric mean of class score and centre-ness.
        nms_thresh: IoU threshold of non-maximum suppression, within each class.
        detections_per_img: maximum number of detections per image.
        topk_candidates: maximum number of candidates per map, before suppression.
        transform: replaces the default transform; None leaves resizing and normalising to the caller.
    """

    quality = "bbox_ctrness"

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
        center_sampling_radius: float = 1.5,
        score_thresh: float = 0.2,
        nms_thresh: float = 0.6,
        detections_per_img: int = 100,
        topk_candidates: int = 1000,
        transform: TransformArgument = "default",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            backbone=backbone,
            num_classes=num_classes,
            anchor_generator=anchor_generator or default_anchors(),
            head=head or FCOSHead(backbone.out_channels, 1, num_classes),  # type: ignore[arg-type]
            box_coder=BoxLinearCoder(normalize_by_size=True),
            transform=image_transform(transform, min_size, max_size, image_mean, image_std, **kwargs),
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
        )
        self.center_sampling_radius = center_sampling_radius

    def match(self, boxes: Tensor, places: Tensor, first: int, last: int) -> Tensor:
        """For every location the index of its object among ``boxes`` [G, 4], or -1: int64 [A].

        A location is matched to an object if it is in its box and near its centre, and if the distance to the farthest
        side is in the range of its map; of several objects, to the smallest. ``first`` and ``last`` are the numbers of
        locations of the first and the last map.
        """
        if not len(boxes):
            return boxes.new_full((len(places),), -1, dtype=torch.int64)
        centres, sizes = centres_and_sizes(places[:, None])  # [A, 1, 2]
        box_centres, _ = centres_and_sizes(boxes)
        near = ((centres - box_centres).abs() < self.center_sampling_radius * sizes[..., :1]).all(2)
        sides = torch.cat([centres - boxes[:, :2], boxes[:, 2:] - centres], dim=2)  # [A, G, 4]
        inside = sides.amin(2) > 0
        least, most = 4 * sizes[..., 0], 8 * sizes[..., 0]
        least[:first] = 0
        most[-last:] = math.inf
        farthest = sides.amax(2)
        fits = near & inside & (farthest > least) & (farthest < most)
        area, smallest = torch.where(fits, box_area(boxes), math.inf).min(dim=1)
        return smallest.masked_fill(area.isinf(), -1)

    def losses(
        self, targets: list[Target], outputs: dict[str, Tensor], anchors: list[Tensor], per_level: list[int]
    ) -> Losses:
        return self.compute_loss(targets, outputs, anchors, per_level)

    def compute_loss(
        self,
        targets: list[Target],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        num_anchors_per_level: Sequence[int],
    ) -> Losses:
        """The head's losses, for the locations [A, 4] of each image; ``num_anchors_per_level`` is their number per
        map."""
        first, last = num_anchors_per_level[0], num_anchors_per_level[-1]
        matched_idxs = [
            self.match(target["boxes"], places, first, last) for target, places in zip(targets, anchors, strict=True)
        ]
        losses: Losses = self.head.compute_loss(targets, head_outputs, anchors, matched_idxs)
        return losses


HEAD = "head.classification_head.cls_logits"


@zoo.builder(FCOS_ResNet50_FPN_Weights, head=HEAD, stem="backbone.body.conv1", convert=present_keys(FPN_AND_RPN))
@on_backbone(frozen_norm_resnet50)
def fcos_resnet50_fpn(resnet: ResNet, num_classes: int, **kwargs: Any) -> FCOS:
    """FCOS on a ResNet-50 with a feature pyramid, from `FCOS: Fully Convolutional One-Stage Object Detection
    <https://arxiv.org/abs/1904.01355>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn_resnet50_fpn`, and the further ones of
    :class:`FCOS`. The 91 classes are COCO's ids and the unused 0.
    """
    return FCOS(resnet_fpn(resnet, LAYERS, p6_p7()), num_classes, **kwargs)


@zoo.builder(head=HEAD)
@on_backbone(last_stages(3))
def fcos(body: Backbone, num_classes: int = 91, **kwargs: Any) -> FCOS:
    """FCOS on any model with stages, from `FCOS: Fully Convolutional One-Stage Object Detection
    <https://arxiv.org/abs/1904.01355>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn`, and the further ones of :class:`FCOS`; the
    last three stages and two additional levels form the pyramid.

    Raises:
        InvalidArgument: the backbone has no stages.
    """
    anchors = default_anchors(len(body.strides) + 2, body.strides[0])
    backbone = FPNBackbone(body, body.out_channels, extra_blocks=p6_p7())
    return FCOS(backbone, num_classes, **{"anchor_generator": anchors, **kwargs})
