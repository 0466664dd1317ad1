"""FCOS: every place of a pyramid says what is there and how far the sides of its box are; no anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.nn.fpn import LastLevelP6P7
from zoo.ops import box_area, generalized_box_iou_loss
from zoo_classification.resnet import resnet50
from zoo_classification.weights.resnet import ResNet50_Weights
from zoo_detection.anchors import AnchorGenerator
from zoo_detection.backbones import OUT_CHANNELS, any_backbone, backbone_norm, resnet_fpn, trainable_layers
from zoo_detection.checkpoints import FPN_AND_RPN, present_keys
from zoo_detection.coding import BoxLinearCoder, centres_and_sizes
from zoo_detection.dense import DenseDetector
from zoo_detection.detector import Losses, TransformArgument, image_transform
from zoo_detection.losses import sparse_focal_loss
from zoo_detection.transform import Target
from zoo_detection.weights.fcos import FCOS_ResNet50_FPN_Weights

PRIOR = 0.01  # the score of everything before training


def tower(channels: int) -> nn.Sequential:
    """Four times 3×3 convolution, group norm, ReLU; the same on all maps."""
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(32, channels), nn.ReLU()]
    return nn.Sequential(*layers)


def draw_small(*modules: nn.Module) -> None:
    """The initialisation of the heads: small normal weights, no bias."""
    for root in modules:
        for m in root.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, std=0.01)
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]


class FCOSClassificationHead(nn.Module):
    """Maps [N, C, H, W] → logits [N, num_classes, H, W] of each."""

    def __init__(self, in_channels: int, num_classes: int, prior_probability: float = PRIOR) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv = tower(in_channels)
        draw_small(self.conv)
        self.cls_logits = nn.Conv2d(in_channels, num_classes, 3, padding=1)
        draw_small(self.cls_logits)
        nn.init.constant_(self.cls_logits.bias, -math.log((1 - prior_probability) / prior_probability))  # type: ignore[arg-type]

    def forward(self, x: Sequence[Tensor]) -> list[Tensor]:
        return [self.cls_logits(self.conv(features)) for features in x]


class FCOSRegressionHead(nn.Module):
    """Maps [N, C, H, W] → distances to the four sides [N, 4, H, W], and logits of the centre-ness [N, 1, H, W]."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = tower(in_channels)
        self.bbox_reg = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.bbox_ctrness = nn.Conv2d(in_channels, 1, 3, padding=1)
        draw_small(self.bbox_reg, self.bbox_ctrness, self.conv)

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        towers = [self.conv(features) for features in x]
        return [F.relu(self.bbox_reg(t)) for t in towers], [self.bbox_ctrness(t) for t in towers]


class FCOSHead(nn.Module):
    """Maps → ``cls_logits``, ``bbox_regression`` and ``bbox_ctrness``, each a list with one map for each."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.classification_head = FCOSClassificationHead(in_channels, num_classes)
        self.regression_head = FCOSRegressionHead(in_channels)

    def forward(self, x: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        logits = self.classification_head(x)
        distances, centreness = self.regression_head(x)
        return {"cls_logits": logits, "bbox_regression": distances, "bbox_ctrness": centreness}


def default_anchors(levels: int = 5, first: int = 8) -> AnchorGenerator:
    """One square as large as a cell in each cell: its centre is the place, its size the unit of distances."""
    return AnchorGenerator(tuple((first * 2**i,) for i in range(levels)), ((1.0,),) * levels)


class FCOS(DenseDetector):
    """FCOS, from `FCOS: Fully Convolutional One-Stage Object Detection <https://arxiv.org/abs/1904.01355>`_.

    See :class:`zoo_detection.detector.Detector` for what it takes and gives. The losses are ``classification``,
    ``bbox_regression`` and ``bbox_ctrness``.

    Args:
        backbone: images → feature maps, a dict; its ``out_channels`` says how many channels they have.
        num_classes: number of scores of a place. There is no background, so 0 is a label like the others; the
            published model leaves it unused.
        min_size, max_size, image_mean, image_std: of the transform; see
            :class:`zoo_detection.transform.GeneralizedRCNNTransform`. By default ImageNet's mean and deviation.
        anchor_generator: one square a place, as large as the map's stride.
        head: maps → ``cls_logits``, ``bbox_regression`` and ``bbox_ctrness``; by default :class:`FCOSHead`.
        center_sampling_radius: places stand for an object up to so many strides from its centre, each way.
        score_thresh: detections score more than this; the score is the mean, geometric, of class and centre-ness.
        nms_thresh: of two of one class with a higher IoU, the worse is dropped.
        detections_per_img: at most so many.
        topk_candidates: of each map, before dropping any.
        transform: in place of that made of the sizes; None leaves resizing and normalising to the caller.
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
            backbone,
            num_classes,
            anchor_generator or default_anchors(),
            head or FCOSHead(backbone.out_channels, num_classes),  # type: ignore[arg-type]
            BoxLinearCoder(normalize_by_size=True),
            image_transform(transform, min_size, max_size, image_mean, image_std, **kwargs),
            score_thresh,
            nms_thresh,
            detections_per_img,
            topk_candidates,
        )
        self.center_sampling_radius = center_sampling_radius

    def match(self, boxes: Tensor, anchors: list[Tensor]) -> Tensor:
        """For every place the index of its object among ``boxes`` [G, 4], or -1: int64 [A].

        A place stands for an object if it lies in its box and near its centre, and if the farthest side is as far as
        its map is there for; of several objects, for the smallest.
        """
        places = torch.cat(anchors)
        if not len(boxes):
            return boxes.new_full((len(places),), -1, dtype=torch.int64)
        centres, sizes = centres_and_sizes(places[:, None])  # [A, 1, 2]
        box_centres, _ = centres_and_sizes(boxes)
        near = ((centres - box_centres).abs() < self.center_sampling_radius * sizes[..., :1]).all(2)
        sides = torch.cat([centres - boxes[:, :2], boxes[:, 2:] - centres], dim=2)  # [A, G, 4]
        inside = sides.amin(2) > 0
        least, most = 4 * sizes[..., 0], 8 * sizes[..., 0]
        least[: len(anchors[0])] = 0
        most[-len(anchors[-1]) :] = math.inf
        farthest = sides.amax(2)
        fits = near & inside & (farthest > least) & (farthest < most)
        area, smallest = torch.where(fits, box_area(boxes), math.inf).min(dim=1)
        return smallest.masked_fill(area.isinf(), -1)

    def compute_loss(self, targets: list[Target], outputs: dict[str, list[Tensor]], anchors: list[Tensor]) -> Losses:
        """The three losses, summed over the batch and divided by the number of places that stand for an object."""
        matches = [self.match(target["boxes"], anchors) for target in targets]
        chosen = [(found >= 0).nonzero().squeeze(1) for found in matches]
        objects = [found[rows] for found, rows in zip(matches, chosen, strict=True)]
        labels = torch.cat([t["labels"][i] for t, i in zip(targets, objects, strict=True)])
        boxes = torch.cat([t["boxes"][i] for t, i in zip(targets, objects, strict=True)])
        places = torch.cat(anchors)
        rows = torch.cat([rows + i * len(places) for i, rows in enumerate(chosen)])
        places = places[torch.cat(chosen)]
        n = max(1, len(rows))

        logits = self.flat(outputs, "cls_logits", self.num_classes).flatten(0, 1)
        distances = self.flat(outputs, "bbox_regression", 4).flatten(0, 1)[rows]
        centreness = self.flat(outputs, "bbox_ctrness", 1).flatten()[rows]
        wanted = self.box_coder.encode(boxes, places).view(-1, 2, 2)  # (left, top), (right, bottom)
        ratio = (wanted.amin(1) / wanted.amax(1)).prod(1).sqrt()
        boxes_loss = generalized_box_iou_loss(self.box_coder.decode(distances, places), boxes, reduction="sum")
        return {
            "classification": sparse_focal_loss(logits, rows, labels) / n,
            "bbox_regression": boxes_loss / n,
            "bbox_ctrness": F.binary_cross_entropy_with_logits(centreness, ratio, reduction="sum") / n,
        }


HEAD = "head.classification_head.cls_logits"


@zoo.builder(FCOS_ResNet50_FPN_Weights, head=HEAD, stem="backbone.body.conv1", convert=present_keys(FPN_AND_RPN))
def fcos_resnet50_fpn(
    *,
    num_classes: int | None = None,
    weights_backbone: Any = ResNet50_Weights.IMAGENET1K_V1,
    trainable_backbone_layers: int | None = None,
    frozen_norm_eps: float | None = None,
    **kwargs: Any,
) -> FCOS:
    """FCOS on a ResNet-50 with a feature pyramid, from `FCOS: Fully Convolutional One-Stage Object Detection
    <https://arxiv.org/abs/1904.01355>`_.

    Args:
        num_classes: number of scores of a place; 91 by default, COCO's ids with the unused 0.
        weights_backbone: of ResNet-50; loaded where the whole model has no weights.
        trainable_backbone_layers: stages of the ResNet that are trained, 0 to 5, counted from the last. By default
            three where it starts from weights, else all.
        frozen_norm_eps: the ResNet's batch norm is frozen with this eps. By default it is frozen where the ResNet
            starts from weights, with 1e-5, and ordinary else.
        **kwargs: further arguments of :class:`FCOS`.
    """
    norm = backbone_norm(weights_backbone, frozen_norm_eps)
    trainable = trainable_layers(trainable_backbone_layers, norm is not nn.BatchNorm2d, 3, 5)
    resnet = resnet50(weights=weights_backbone, norm_layer=norm)
    backbone = resnet_fpn(resnet, trainable, (2, 3, 4), LastLevelP6P7(OUT_CHANNELS, OUT_CHANNELS))
    return FCOS(backbone, 91 if num_classes is None else num_classes, **kwargs)


@zoo.builder(head=HEAD)
def fcos(
    *,
    backbone: str | nn.Module = "resnet50",
    num_classes: int = 91,
    weights_backbone: Any = None,
    trainable_backbone_layers: int | None = None,
    backbone_config: dict[str, Any] | None = None,
    **kwargs: Any,
) -> FCOS:
    """FCOS on any model with stages, from `FCOS: Fully Convolutional One-Stage Object Detection
    <https://arxiv.org/abs/1904.01355>`_.

    Args:
        backbone: name of a registered model, or a model that declares ``feature_info``; its last three stages and two
            further levels make the pyramid.
        num_classes: number of scores of a place.
        weights_backbone: as the backbone's builder takes ``weights``.
        trainable_backbone_layers: stages that are trained, counted from the last; by default all.
        backbone_config: further arguments of the backbone's builder.
        **kwargs: further arguments of :class:`FCOS`.

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
    strides: Any = body.body.strides
    anchors = default_anchors(len(strides) + 2, strides[0])
    return FCOS(body, num_classes, **{"anchor_generator": anchors, **kwargs})
