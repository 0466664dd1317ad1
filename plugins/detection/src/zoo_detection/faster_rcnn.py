"""Faster R-CNN: one network proposes regions, a second one classifies them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.errors import InvalidArgument
from zoo.features import Backbone
from zoo.nn import Conv2dNormActivation
from zoo.ops import MultiScaleRoIAlign
from zoo_classification.resnet import ResNet
from zoo_detection.anchors import AnchorGenerator
from zoo_detection.backbones import (
    OUT_CHANNELS,
    RESNET50_V1,
    BackboneWithFPN,
    FPNBackbone,
    frozen_norm_mobilenet_fpn,
    frozen_norm_resnet50,
    last_stages,
    on_backbone,
    once_meant,
    plain_norm_resnet50,
    resnet_fpn,
)
from zoo_detection.checkpoints import FPN_AND_RPN, present_keys
from zoo_detection.detector import (
    Detections,
    Detector,
    Losses,
    TransformArgument,
    draw_convolutions,
    image_transform,
    sizes_as_boxes,
)
from zoo_detection.roi_heads import KINDS, RoIHeads
from zoo_detection.rpn import RegionProposalNetwork, RPNHead
from zoo_detection.transform import ImageList, Target
from zoo_detection.weights.faster_rcnn import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_MobileNet_V3_Large_FPN_Weights,
    FasterRCNN_ResNet50_FPN_V2_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
)

LEVELS = ("0", "1", "2", "3")  # pyramid levels that regions are pooled from; the coarsest is used only for proposals
draw_relu = partial(draw_convolutions, partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"))
QUARTERS = [[x, y, x + 0.5, y + 0.5] for x in (0.0, 0.5) for y in (0.0, 0.5)]  # of an image


class TwoMLPHead(nn.Module):
    """Regions [R, C, h, w] → [R, ``representation_size``], by two linear layers."""

    def __init__(self, in_channels: int, representation_size: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_channels, representation_size)
        self.fc7 = nn.Linear(representation_size, representation_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))


class FastRCNNConvFCHead(nn.Sequential):
    """Regions [R, C, h, w] → [R, the last of ``fc_layers``], by convolutions, then linear layers.

    Args:
        input_size: (C, h, w).
        conv_layers: channels of each convolution.
        fc_layers: width of each linear layer.
        norm_layer: norm of the convolutions; by default none.
    """

    def __init__(
        self,
        input_size: tuple[int, int, int],
        conv_layers: Sequence[int],
        fc_layers: Sequence[int],
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        channels, height, width = input_size
        layers: list[nn.Module] = []
        for out_channels in conv_layers:
            layers.append(Conv2dNormActivation(channels, out_channels, norm_layer=norm_layer))
            channels = out_channels
        layers.append(nn.Flatten())
        features = channels * height * width
        for out_features in fc_layers:
            layers += [nn.Linear(features, out_features), nn.ReLU(inplace=True)]
            features = out_features
        super().__init__(*layers)
        draw_relu(self)


class FastRCNNPredictor(nn.Module):
    """[R, in_channels] → logits [R, num_classes], and box codes per class [R, num_classes * 4]."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, num_classes * 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        return self.cls_score(x), self.bbox_pred(x)


def default_anchors(levels: int = 5) -> AnchorGenerator:
    """One size and three shapes at each level, the first of 32 pixels."""
    return AnchorGenerator(tuple((32 * 2**i,) for i in range(levels)), ((0.5, 1.0, 2.0),) * levels)


class GeneralizedRCNN(Detector):
    """A two-stage detector, built from its parts: see :class:`zoo_detection.detector.Detector` for inputs and outputs.

    Args:
        backbone: images → feature maps, a dict, or one map.
        rpn: a module like :class:`zoo_detection.RegionProposalNetwork`.
        roi_heads: a module like :class:`zoo_detection.RoIHeads`.
        transform: a module like :class:`zoo_detection.transform.GeneralizedRCNNTransform`.
    """

    rpn: Any
    roi_heads: Any

    def __init__(self, backbone: nn.Module, rpn: nn.Module, roi_heads: nn.Module, transform: nn.Module) -> None:
        super().__init__()
        self.transform = transform
        self.backbone = backbone
        self.rpn = rpn
        self.roi_heads = roi_heads

    @property
    def num_classes(self) -> int | None:  # type: ignore[override]
        """Number of classes with background; None if unknown. Read from the predictor, which may have been replaced."""
        scores = getattr(self.roi_heads.box_predictor, "cls_score", None)
        return getattr(scores, "out_features", None)

    @property
    def detections_per_img(self) -> int:  # type: ignore[override]
        most: int = self.roi_heads.detections_per_img
        return most

    def detect(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None, most: int | None = None
    ) -> tuple[Losses, list[Detections]]:
        padded, fixed = ((), ()) if most is None else ((True,), (most,))  # not all parts take these
        proposals, proposal_losses = self.rpn(images, features, targets, *padded)
        detections, losses = self.roi_heads(features, proposals, images.image_sizes, targets, *fixed)
        return {**losses, **proposal_losses}, detections

    def predictions(self, images: ImageList, features: dict[str, Tensor]) -> Any:
        """Outputs of the first stage, and of the second for proposals that do not depend on the first."""
        heads, sizes = self.roi_heads, images.image_sizes
        regions = [box[None] * box.new_tensor(QUARTERS) for box in sizes_as_boxes(sizes, images.tensors)]
        found = [heads.run(k, features, regions, sizes) for k in KINDS if heads.parts(k)[0] is not None]
        return self.rpn.predict(images, features), heads.predict_boxes(features, regions, sizes), found

    @property
    def pads(self) -> bool:
        replaced = {"forward", "filter_proposals", "postprocess_detections"}
        kinds = ((self.rpn, RegionProposalNetwork), (self.roi_heads, RoIHeads))
        whole = all(type(part) is kind and not replaced & part.__dict__.keys() for part, kind in kinds)
        return whole and type(self).detect is GeneralizedRCNN.detect


class FasterRCNN(GeneralizedRCNN):
    """Faster R-CNN, from `Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks
    <https://arxiv.org/abs/1506.01497>`_.

    See :class:`zoo_detection.detector.Detector` for inputs and outputs. The losses are ``loss_classifier``,
    ``loss_box_reg``, ``loss_objectness`` and ``loss_rpn_box_reg``.

    Args:
        backbone: images → feature maps, a dict, or one map; its ``out_channels`` is their number of channels.
        num_classes: number of classes, including background, which is 0; None if a ``box_predictor`` is given.
        min_size, max_size, image_mean, image_std: arguments of the transform; see
            :class:`zoo_detection.transform.GeneralizedRCNNTransform`. By default ImageNet's mean and deviation.
        rpn_anchor_generator: by default one size and three shapes per level, from 32 pixels.
        rpn_head: by default :class:`zoo_detection.RPNHead`.
        rpn_pre_nms_top_n_train, rpn_pre_nms_top_n_test: number of the best anchors per map that become boxes.
        rpn_post_nms_top_n_train, rpn_post_nms_top_n_test: maximum number of proposals after suppression.
        rpn_nms_thresh: IoU threshold of non-maximum suppression of proposals, within each map.
        rpn_fg_iou_thresh, rpn_bg_iou_thresh: IoU from which an anchor is matched to an object, and below which it is
            background.
        rpn_batch_size_per_image, rpn_positive_fraction: anchors per image in the training loss; maximum share of
            positives.
        rpn_score_thresh: minimum score of proposals.
        box_roi_pool, box_head, box_predictor: parts of the second stage; see :class:`zoo_detection.RoIHeads`.
        box_score_thresh: minimum score of detections, exclusive.
        box_nms_thresh: IoU threshold of non-maximum suppression, within each class.
        box_detections_per_img: maximum number of detections per image.
        box_fg_iou_thresh, box_bg_iou_thresh, box_batch_size_per_image, box_positive_fraction: the same for proposals.
        bbox_reg_weights: weights of the second stage's box coder; by default (10, 10, 5, 5).
        transform: replaces the default transform; None leaves resizing and normalising to the caller.

    Raises:
        InvalidArgument: both or neither of ``num_classes`` and ``box_predictor`` are given.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int | None = None,
        min_size: int | Sequence[int] = 800,
        max_size: int = 1333,
        image_mean: Sequence[float] | None = None,
        image_std: Sequence[float] | None = None,
        rpn_anchor_generator: nn.Module | None = None,
        rpn_head: nn.Module | None = None,
        rpn_pre_nms_top_n_train: int = 2000,
        rpn_pre_nms_top_n_test: int = 1000,
        rpn_post_nms_top_n_train: int = 2000,
        rpn_post_nms_top_n_test: int = 1000,
        rpn_nms_thresh: float = 0.7,
        rpn_fg_iou_thresh: float = 0.7,
        rpn_bg_iou_thresh: float = 0.3,
        rpn_batch_size_per_image: int = 256,
        rpn_positive_fraction: float = 0.5,
        rpn_score_thresh: float = 0.0,
        box_roi_pool: nn.Module | None = None,
        box_head: nn.Module | None = None,
        box_predictor: nn.Module | None = None,
        box_score_thresh: float = 0.05,
        box_nms_thresh: float = 0.5,
        box_detections_per_img: int = 100,
        box_fg_iou_thresh: float = 0.5,
        box_bg_iou_thresh: float = 0.5,
        box_batch_size_per_image: int = 512,
        box_positive_fraction: float = 0.25,
        bbox_reg_weights: Sequence[float] | None = None,
        transform: TransformArgument = "default",
        **kwargs: Any,
    ) -> None:
        channels: Any = getattr(backbone, "out_channels", None)
        if not hasattr(channels, "__index__"):
            raise InvalidArgument(f"the backbone's out_channels is {channels!r}; expected one number for all maps.")
        anchor_generator: Any = rpn_anchor_generator or default_anchors()
        rpn = RegionProposalNetwork(
            anchor_generator=anchor_generator,
            head=rpn_head or RPNHead(channels, anchor_generator.num_anchors_per_location()[0]),
            fg_iou_thresh=rpn_fg_iou_thresh,
            bg_iou_thresh=rpn_bg_iou_thresh,
            batch_size_per_image=rpn_batch_size_per_image,
            positive_fraction=rpn_positive_fraction,
            pre_nms_top_n={"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
            post_nms_top_n={"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test},
            nms_thresh=rpn_nms_thresh,
            score_thresh=rpn_score_thresh,
        )
        pool: Any = box_roi_pool or MultiScaleRoIAlign(LEVELS, output_size=7, sampling_ratio=2)
        if box_head is None:
            height, width = pool.output_size
            box_head = TwoMLPHead(channels * height * width, 1024)
        if (box_predictor is None) == (num_classes is None):
            raise InvalidArgument(
                f"num_classes is {num_classes} and box_predictor {'not ' * (box_predictor is None)}given; expected "
                "exactly one of them: a predictor has its own number of classes."
            )
        roi_heads = RoIHeads(
            box_roi_pool=pool,
            box_head=box_head,
            box_predictor=box_predictor or FastRCNNPredictor(1024, num_classes),  # type: ignore[arg-type]
            fg_iou_thresh=box_fg_iou_thresh,
            bg_iou_thresh=box_bg_iou_thresh,
            batch_size_per_image=box_batch_size_per_image,
            positive_fraction=box_positive_fraction,
            bbox_reg_weights=bbox_reg_weights,
            score_thresh=box_score_thresh,
            nms_thresh=box_nms_thresh,
            detections_per_img=box_detections_per_img,
        )
        made = image_transform(transform, min_size, max_size, image_mean, image_std, **kwargs)
        super().__init__(backbone, rpn, roi_heads, made)


def heads_v2() -> dict[str, Any]:
    """The heads of the V2 models, without the predictors."""
    anchors = default_anchors()
    return {
        "rpn_anchor_generator": anchors,
        "rpn_head": RPNHead(OUT_CHANNELS, anchors.num_anchors_per_location()[0], conv_depth=2),
        "box_head": FastRCNNConvFCHead((OUT_CHANNELS, 7, 7), [256] * 4, [1024], norm_layer=nn.BatchNorm2d),
    }


def fpn_of(body: Backbone) -> tuple[FPNBackbone, dict[str, Any]]:
    """A pyramid on the stages of any model, and anchors for its levels."""
    anchors = default_anchors(len(body.strides) + 1)
    return FPNBackbone(body, body.out_channels), {"rpn_anchor_generator": anchors}


CONVERT = present_keys(FPN_AND_RPN)
HEAD = "roi_heads.box_predictor"


@zoo.builder(FasterRCNN_ResNet50_FPN_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
@on_backbone(frozen_norm_resnet50)
def fasterrcnn_resnet50_fpn(resnet: ResNet, num_classes: int, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN on a ResNet-50 with a feature pyramid, from `Faster R-CNN: Towards Real-Time Object Detection with
    Region Proposal Networks <https://arxiv.org/abs/1506.01497>`_.

    Args:
        num_classes: number of classes, including background; 91 by default, COCO's.
        weights_backbone: weights of ResNet-50; loaded if the complete model has no weights.
        trainable_backbone_layers: number of trained stages of the ResNet, 0 to 5, counted from the last. By default
            three if it starts from weights, otherwise all.
        frozen_norm_eps: freeze the ResNet's batch norm with this eps. By default it is frozen, with 1e-5, if the ResNet
            starts from weights, otherwise not.
        **kwargs: further arguments of :class:`FasterRCNN`.
    """
    return FasterRCNN(resnet_fpn(resnet), num_classes, **kwargs)


@once_meant(pretrained_backbone=RESNET50_V1)
@zoo.builder(FasterRCNN_ResNet50_FPN_V2_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
@on_backbone(plain_norm_resnet50)
def fasterrcnn_resnet50_fpn_v2(resnet: ResNet, num_classes: int, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN with convolutions and batch norm in its heads, after `Benchmarking Detection Transfer Learning with
    Vision Transformers <https://arxiv.org/abs/2111.11429>`_.

    The arguments are those of :func:`fasterrcnn_resnet50_fpn`; the batch norm is never frozen.
    """
    backbone = resnet_fpn(resnet, norm_layer=nn.BatchNorm2d)
    return FasterRCNN(backbone, num_classes, **{**heads_v2(), **kwargs})


def _mobilenet(backbone: BackboneWithFPN, num_classes: int, **options: Any) -> FasterRCNN:
    # Three levels, of strides 16, 32 and 64, each with all sizes.
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    defaults = {"rpn_anchor_generator": anchors, "rpn_score_thresh": 0.05}
    return FasterRCNN(backbone, num_classes, **{**defaults, **options})


@zoo.builder(FasterRCNN_MobileNet_V3_Large_FPN_Weights, head=HEAD, stem="backbone.body.0.0", convert=CONVERT)
@on_backbone(frozen_norm_mobilenet_fpn)
def fasterrcnn_mobilenet_v3_large_fpn(backbone: BackboneWithFPN, num_classes: int, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN on a MobileNetV3-Large with a feature pyramid, for images of 800 pixels.

    The arguments are those of :func:`fasterrcnn_resnet50_fpn`; the MobileNet has six stages.
    """
    return _mobilenet(backbone, num_classes, **kwargs)


@zoo.builder(FasterRCNN_MobileNet_V3_Large_320_FPN_Weights, head=HEAD, stem="backbone.body.0.0", convert=CONVERT)
@on_backbone(frozen_norm_mobilenet_fpn)
def fasterrcnn_mobilenet_v3_large_320_fpn(backbone: BackboneWithFPN, num_classes: int, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN on a MobileNetV3-Large with a feature pyramid, for images of 320 pixels and few proposals.

    The arguments are those of :func:`fasterrcnn_resnet50_fpn`; the MobileNet has six stages.
    """
    small = {"min_size": 320, "max_size": 640, "rpn_pre_nms_top_n_test": 150, "rpn_post_nms_top_n_test": 150}
    return _mobilenet(backbone, num_classes, **{**small, **kwargs})


@zoo.builder(head=HEAD)
@on_backbone(last_stages(len(LEVELS)))
def fasterrcnn(body: Backbone, num_classes: int = 91, **kwargs: Any) -> FasterRCNN:
    """Faster R-CNN on any model with stages, from `Faster R-CNN: Towards Real-Time Object Detection with Region
    Proposal Networks <https://arxiv.org/abs/1506.01497>`_.

    Args:
        backbone: name of a registered model, or a model that declares ``feature_info``; its last four stages form the
            pyramid.
        num_classes: number of classes, including background, which is 0.
        weights_backbone: weights, in any form that the backbone's builder accepts.
        trainable_backbone_layers: number of trained stages, counted from the last; by default all.
        backbone_config: further arguments of the backbone's builder.
        frozen_norm: freeze the statistics and scale of the backbone's batch norm.
        **kwargs: further arguments of :class:`FasterRCNN`.

    Raises:
        InvalidArgument: the backbone has no stages.
    """
    backbone, parts = fpn_of(body)
    return FasterRCNN(backbone, num_classes, **{**parts, **kwargs})
