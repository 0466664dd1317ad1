"""Keypoint R-CNN's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_detection.weights.entries import FROZEN, FROZEN_EPS_0, coco


class KeypointRCNN_ResNet50_FPN_Weights(WeightsEnum, builder="keypointrcnn_resnet50_fpn"):
    COCO_LEGACY = coco(
        "keypointrcnn_resnet50_fpn_coco-9f466800.pth",
        params=59_137_258,
        box_map=50.6,
        kp_map=61.1,
        gflops=133.924,
        mb=226.054,
        recipe="https://github.com/pytorch/vision/issues/1606",
        config=FROZEN,
    )
    COCO_V1 = coco(
        "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
        params=59_137_258,
        box_map=54.6,
        kp_map=65.0,
        gflops=137.42,
        mb=226.054,
        recipe="keypoint-r-cnn",
        runtime=(0.3789, 0.1242, 6.8),
        config=FROZEN_EPS_0,
    )
    DEFAULT = COCO_V1
