"""Mask R-CNN's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_detection.weights.entries import FROZEN_EPS_0, coco


class MaskRCNN_ResNet50_FPN_Weights(WeightsEnum, builder="maskrcnn_resnet50_fpn"):
    COCO_V1 = coco(
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        params=44_401_393,
        box_map=37.9,
        mask_map=34.6,
        gflops=134.38,
        mb=169.84,
        recipe="mask-r-cnn",
        runtime=(0.2728, 0.0903, 5.4),
        config=FROZEN_EPS_0,
    )
    DEFAULT = COCO_V1


class MaskRCNN_ResNet50_FPN_V2_Weights(WeightsEnum, builder="maskrcnn_resnet50_fpn_v2"):
    COCO_V1 = coco(
        "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        params=46_359_409,
        box_map=47.4,
        mask_map=41.8,
        gflops=333.577,
        mb=177.219,
        recipe="https://github.com/pytorch/vision/pull/5773",
    )
    DEFAULT = COCO_V1
