"""SSD: scores and boxes from maps of decreasing resolution, for default boxes of all sizes and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.contract import WeightsLike
from zoo.errors import InvalidArgument
from zoo.loading import is_filled_from_outside
from zoo.ops import box_iou
from zoo_classification.vgg import VGG, vgg16
from zoo_classification.weights.vgg import VGG16_Weights
from zoo_detection.anchors import DefaultBoxGenerator
from zoo_detection.backbones import freeze, on_backbone, trainable_layers
from zoo_detection.coding import BoxCoder
from zoo_detection.dense import MapHead, OneStageDetector, ScoringHead
from zoo_detection.detector import (
    Detections,
    Losses,
    TransformArgument,
    at_most,
    clip_boxes,
    draw_convolutions,
    image_transform,
    sizes_as_boxes,
)
from zoo_detection.fitting import check_same
from zoo_detection.matching import SSDMatcher
from zoo_detection.transform import Size, Target
from zoo_detection.weights.ssd import SSD300_VGG16_Weights


class SSDScoringHead(MapHead):
    """Maps [N, C, H, W] → [N, A, num_columns] of the default boxes of all maps, with one module per map."""

    def __init__(self, module_list: nn.ModuleList, num_columns: int) -> None:
        super().__init__()
        self.module_list = module_list
        self.num_columns = num_columns

    @property
    def columns(self) -> int:  # type: ignore[override]
        return self.num_columns

    def maps(self, x: Sequence[Tensor]) -> list[Tensor]:
        check_same("the number of modules of the head", len(self.module_list), "that of feature maps", len(x))
        return [module(features) for module, features in zip(self.module_list, x, strict=True)]


def _convolutions(in_channels: Sequence[int], num_anchors: Sequence[int], num_columns: int) -> nn.ModuleList:
    modules = nn.ModuleList(
        nn.Conv2d(channels, anchors * num_columns, 3, padding=1)
        for channels, anchors in zip(in_channels, num_anchors, strict=True)
    )
    draw_convolutions(nn.init.xavier_uniform_, modules)
    return modules


class SSDClassificationHead(SSDScoringHead):
    """Maps → logits [N, A, num_classes] of the default boxes of all maps."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int) -> None:
        super().__init__(_convolutions(in_channels, num_anchors, num_classes), num_classes)


class SSDRegressionHead(SSDScoringHead):
    """Maps → box codes [N, A, 4] of the default boxes of all maps."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int]) -> None:
        super().__init__(_convolutions(in_channels, num_anchors, 4), 4)


class SSDHead(ScoringHead):
    """Maps → ``cls_logits`` [N, A, num_classes] and ``bbox_regression`` [N, A, 4], of the default boxes of all maps.

    Args:
        in_channels: number of channels of each map.
        num_anchors: number of default boxes per cell of each map.
    """

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.classification_head = SSDClassificationHead(in_channels, num_anchors, num_classes)
        self.regression_head = SSDRegressionHead(in_channels, num_anchors)


class SSD(OneStageDetector):
    """SSD, from `SSD: Single Shot MultiBox Detector <https://arxiv.org/abs/1512.02325>`_.

    See :class:`zoo_detection.detector.Detector` for inputs and outputs. The losses are ``bbox_regression`` and
    ``classification``.

    Args:
        backbone: images → feature maps, a dict; its ``out_channels`` is a list with one number per map.
        anchor_generator: creates the default boxes.
        size: (width, height) that all images are resized to.
        num_classes: number of classes, including background, which is 0.
        image_mean, image_std: arguments of the transform; by default ImageNet's.
        head: maps → ``cls_logits`` and ``bbox_regression``; by default :class:`SSDHead`.
        score_thresh: minimum score of detections, exclusive.
        nms_thresh: IoU threshold of non-maximum suppression, within each class.
        detections_per_img: maximum number of detections per image.
        iou_thresh: IoU from which a default box is matched to an object.
        topk_candidates: maximum number of candidates per class, before suppression.
        positive_fraction: share of positives among the default boxes in the training loss.
        transform: replaces the default transform; None leaves resizing and normalising to the caller.
    """

    def __init__(
        self,
        backbone: nn.Module,
        anchor_generator: nn.Module,
        size: tuple[int, int],
        num_classes: int,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        head: nn.Module | None = None,
        score_thresh: float = 0.01,
        nms_thresh: float = 0.45,
        detections_per_img: int = 200,
        iou_thresh: float = 0.5,
        topk_candidates: int = 400,
        positive_fraction: float = 0.25,
        transform: TransformArgument = "default",
        **kwargs: Any,
    ) -> None:
        if not 0 < positive_fraction < 1:
            raise InvalidArgument(f"positive_fraction is {positive_fraction}; expected a number between 0 and 1.")
        per_cell = anchor_generator.num_anchors_per_location()  # type: ignore[operator]
        fixed = {"size_divisible": 1, "fixed_size": size, **kwargs}
        super().__init__(
            backbone=backbone,
            num_classes=num_classes,
            anchor_generator=anchor_generator,
            head=head or SSDHead(backbone.out_channels, per_cell, num_classes),  # type: ignore[arg-type]
            box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)),
            transform=image_transform(transform, min(size), max(size), image_mean, image_std, **fixed),
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
        )
        self.proposal_matcher = SSDMatcher(iou_thresh)
        self.neg_to_pos_ratio = (1.0 - positive_fraction) / positive_fraction

    def losses(
        self, targets: list[Target], outputs: dict[str, Tensor], anchors: list[Tensor], per_level: list[int]
    ) -> Losses:
        matched_idxs = [
            self.proposal_matcher(box_iou(target["boxes"], of_image))
            for target, of_image in zip(targets, anchors, strict=True)
        ]
        return self.compute_loss(targets, outputs, anchors, matched_idxs)

    def compute_loss(
        self,
        targets: list[Target],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: Sequence[Tensor],
    ) -> Losses:
        """Both losses, summed over the batch and divided by the number of default boxes matched to an object.

        Args:
            head_outputs: outputs of the head.
            anchors: the default boxes [A, 4] of each image.
            matched_idxs: per image, the index of each default box's object, int64 [A]; negative for none.
        """
        logits, codes = head_outputs["cls_logits"], head_outputs["bbox_regression"]
        matches = torch.stack(list(matched_idxs))
        positive = matches >= 0
        classes = torch.zeros_like(matches)
        regression = []
        for i, target in enumerate(targets):
            chosen = positive[i].nonzero().squeeze(1)
            objects = matches[i, chosen]
            classes[i, chosen] = target["labels"][objects]
            wanted = self.box_coder.encode(target["boxes"][objects], anchors[i][chosen])
            regression.append(F.smooth_l1_loss(codes[i, chosen], wanted, reduction="sum"))
        per_anchor = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none").view_as(matches)
        # Hard negative mining: only the background boxes with the largest loss in each image are used.
        rank = per_anchor.detach().masked_fill(positive, -torch.inf).argsort(1, descending=True).argsort(1)
        negative = rank < self.neg_to_pos_ratio * positive.sum(1, keepdim=True)
        n = positive.sum().clamp(min=1)
        return {
            "bbox_regression": torch.stack(regression).sum() / n,
            "classification": per_anchor[positive | negative].sum() / n,
        }

    def candidates(
        self, head_outputs: dict[str, Tensor], anchors: list[Tensor], image_shapes: Sequence[Size]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best default boxes of each class."""
        logits = head_outputs["cls_logits"]
        boxes = self.box_coder.decode(head_outputs["bbox_regression"], anchors[0])
        boxes = clip_boxes(boxes, sizes_as_boxes(image_shapes, boxes))
        per_class = logits.softmax(2)[..., 1:].transpose(1, 2)  # [N, C - 1, A], without background
        scores, chosen = per_class.topk(at_most(self.topk_candidates, logits.shape[1]), dim=2)
        labels = torch.arange(1, self.num_classes, device=logits.device)[:, None].expand_as(scores)
        boxes = boxes.gather(1, chosen.flatten(1)[..., None].expand(-1, -1, 4))
        return boxes, scores.flatten(1), labels.flatten(1)

    def postprocess_detections(
        self, head_outputs: dict[str, Tensor], image_anchors: list[Tensor], image_shapes: Sequence[Size]
    ) -> list[Detections]:
        """See :meth:`OneStageDetector.postprocess_detections`."""
        return super().postprocess_detections(head_outputs, image_anchors, image_shapes)


class SSDFeatureExtractorVGG(nn.Module):
    """VGG-16 up to its fifth stage, its linear layers as convolutions, and four blocks of two convolutions on top.

    The first map, of the fourth stage, has larger values than the others: each of its pixels is normalised and
    multiplied by a learnt scale per channel (`ParseNet <https://arxiv.org/abs/1506.04579>`_).

    Args:
        backbone: the ``features`` of a VGG-16.
        highres: add one more block on top, as for images of 512×512.
    """

    def __init__(self, backbone: nn.Module, highres: bool = False) -> None:
        super().__init__()
        layers: Any = backbone
        pools = [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
        self.out_channels = (512, 1024, 512, 256, 256, 256) + (256,) * highres
        layers[pools[2]].ceil_mode = True  # 75 pixels become 38, not 37
        self.scale_weight = nn.Parameter(torch.ones(512) * 20)
        self.features = layers[: pools[3]]

        def conv(in_channels: int, out_channels: int, kernel_size: int, **kwargs: Any) -> list[nn.Module]:
            return [nn.Conv2d(in_channels, out_channels, kernel_size, **kwargs), nn.ReLU(inplace=True)]

        self.extra = nn.ModuleList(
            [
                nn.Sequential(*conv(1024, 256, 1), *conv(256, 512, 3, stride=2, padding=1)),
                nn.Sequential(*conv(512, 128, 1), *conv(128, 256, 3, stride=2, padding=1)),
                nn.Sequential(*conv(256, 128, 1), *conv(128, 256, 3)),
                nn.Sequential(*conv(256, 128, 1), *conv(128, 256, 3)),
            ]
        )
        if highres:
            self.extra.append(nn.Sequential(*conv(256, 128, 1), *conv(128, 256, 4)))
        draw_convolutions(nn.init.xavier_uniform_, self.extra)
        linear = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), *conv(512, 1024, 3, padding=6, dilation=6), *conv(1024, 1024, 1)
        )
        draw_convolutions(nn.init.xavier_uniform_, linear)
        self.extra.insert(0, nn.Sequential(*layers[pools[3] : pools[4]], linear))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.features(images)
        found = [self.scale_weight.view(1, -1, 1, 1) * F.normalize(x)]
        for block in self.extra:
            x = block(x)
            found.append(x)
        return {str(i): features for i, features in enumerate(found)}


def vgg_extractor(backbone: VGG, highres: bool, trainable_layers: int) -> SSDFeatureExtractorVGG:
    """The last ``trainable_layers`` of the five stages are trained."""
    layers: Any = backbone.features
    begins = [0, *(i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d))]
    freeze(layers[: len(layers) if trainable_layers == 0 else begins[5 - trainable_layers]])
    return SSDFeatureExtractorVGG(layers, highres)


def vgg16_extractor(
    weights_backbone: WeightsLike = VGG16_Weights.IMAGENET1K_FEATURES, trainable_backbone_layers: int | None = None
) -> SSDFeatureExtractorVGG:
    """The backbone of the published model."""
    vgg = vgg16(weights=weights_backbone)
    trained = weights_backbone is not None or is_filled_from_outside()
    return vgg_extractor(vgg, False, trainable_layers(trainable_backbone_layers, trained, 4, 5))


@zoo.builder(
    SSD300_VGG16_Weights,
    head=tuple(f"head.classification_head.module_list.{i}" for i in range(6)),
    stem="backbone.features.0",
)
@on_backbone(vgg16_extractor)
def ssd300_vgg16(backbone: SSDFeatureExtractorVGG, num_classes: int, **kwargs: Any) -> SSD:
    """SSD for images of 300×300 on a VGG-16, from `SSD: Single Shot MultiBox Detector
    <https://arxiv.org/abs/1512.02325>`_.

    Args:
        num_classes: number of classes, including background; 91 by default, COCO's.
        weights_backbone: weights of VGG-16; loaded if the complete model has no weights.
        trainable_backbone_layers: number of trained stages of the VGG, 0 to 5, counted from the last. By default four
            if it starts from weights, otherwise all.
        **kwargs: further arguments of :class:`SSD`.
    """
    defaults = {
        # The mean is in [0, 1]; the deviation of 1 / 255 scales images to 0 to 255, as in the VGG trained for SSD.
        "image_mean": (0.48235, 0.45882, 0.40784),
        "image_std": (1 / 255, 1 / 255, 1 / 255),
    }
    anchors = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    return SSD(backbone, anchors, (300, 300), num_classes, **{**defaults, **kwargs})
