"""Operators for detection, in PyTorch operations only: names, signatures and results of torchvision.ops, on any
device."""

from __future__ import annotations

from zoo.contract.aliases import alias_modules
from zoo.nn import (
    MLP,
    Conv2dNormActivation,
    Conv3dNormActivation,
    DropBlock2d,
    DropBlock3d,
    FeaturePyramidNetwork,
    FrozenBatchNorm2d,
    LastLevelMaxPool,
    LastLevelP6P7,
    Permute,
    SqueezeExcitation,
    StochasticDepth,
    drop_block2d,
    drop_block3d,
    stochastic_depth,
)
from zoo.ops._batched_nms import nms_mask
from zoo.ops.boxes import (
    box_area,
    box_convert,
    box_iou,
    clip_boxes_to_image,
    complete_box_iou,
    distance_box_iou,
    generalized_box_iou,
    masks_to_boxes,
    remove_small_boxes,
)
from zoo.ops.deform_conv import DeformConv2d, deform_conv2d
from zoo.ops.losses import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
    sigmoid_focal_loss,
)
from zoo.ops.pooler import MultiScaleRoIAlign
from zoo.ops.regions import (
    PSRoIAlign,
    PSRoIPool,
    RoIAlign,
    RoIPool,
    ps_roi_align,
    ps_roi_pool,
    roi_align,
    roi_pool,
)
from zoo.ops.suppression import batched_nms, nms, nms_padded

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "DeformConv2d",
    "DropBlock2d",
    "DropBlock3d",
    "FeaturePyramidNetwork",
    "FrozenBatchNorm2d",
    "LastLevelMaxPool",
    "LastLevelP6P7",
    "MultiScaleRoIAlign",
    "PSRoIAlign",
    "PSRoIPool",
    "Permute",
    "RoIAlign",
    "RoIPool",
    "SqueezeExcitation",
    "StochasticDepth",
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "complete_box_iou_loss",
    "deform_conv2d",
    "distance_box_iou",
    "distance_box_iou_loss",
    "drop_block2d",
    "drop_block3d",
    "generalized_box_iou",
    "generalized_box_iou_loss",
    "masks_to_boxes",
    "nms",
    "nms_mask",
    "nms_padded",
    "ps_roi_align",
    "ps_roi_pool",
    "remove_small_boxes",
    "roi_align",
    "roi_pool",
    "sigmoid_focal_loss",
    "stochastic_depth",
]

# The places of torchvision's modules. Functions have the same names here.
alias_modules(
    __name__,
    {
        **dict.fromkeys(("ciou_loss", "diou_loss", "focal_loss", "giou_loss"), "zoo.ops.losses"),
        **dict.fromkeys(("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"), "zoo.ops.regions"),
        **dict.fromkeys(("drop_block", "stochastic_depth"), "zoo.nn.drop"),
        "feature_pyramid_network": "zoo.nn.fpn",
        "_box_convert": "zoo.ops._utils",
        "misc": "zoo.nn ConvNormActivation=zoo.nn.conv:ConvNormActivation",
        "poolers": "zoo.ops.pooler initLevelMapper=zoo.ops.pooler:LevelMapper",
    },
)


def __dir__() -> list[str]:
    return __all__
