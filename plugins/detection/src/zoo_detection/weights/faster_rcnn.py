"""Faster R-CNN's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_detection.weights.entries import FROZEN, FROZEN_EPS_0, coco


class FasterRCNN_ResNet50_FPN_Weights(WeightsEnum, builder="fasterrcnn_resnet50_fpn"):
    COCO_V1 = coco(
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        params=41_755_286,
        box_map=37.0,
        gflops=134.38,
        mb=159.743,
        recipe="faster-r-cnn-resnet-50-fpn",
        runtime=(0.2288, 0.0590, 5.2),
        config=FROZEN_EPS_0,
    )
    DEFAULT = COCO_V1


class FasterRCNN_ResNet50_FPN_V2_Weights(WeightsEnum, builder="fasterrcnn_resnet50_fpn_v2"):
    COCO_V1 = coco(
        "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
        params=43_712_278,
        box_map=46.7,
        gflops=280.371,
        mb=167.104,
        recipe="https://github.com/pytorch/vision/pull/5763",
    )
    DEFAULT = COCO_V1


class FasterRCNN_MobileNet_V3_Large_FPN_Weights(WeightsEnum, builder="fasterrcnn_mobilenet_v3_large_fpn"):
    COCO_V1 = coco(
        "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
        params=19_386_354,
        box_map=32.8,
        gflops=4.494,
        mb=74.239,
        recipe="faster-r-cnn-mobilenetv3-large-fpn",
        runtime=(0.1020, 0.0415, 1.0),
        config=FROZEN,
    )
    DEFAULT = COCO_V1


class FasterRCNN_MobileNet_V3_Large_320_FPN_Weights(WeightsEnum, builder="fasterrcnn_mobilenet_v3_large_320_fpn"):
    COCO_V1 = coco(
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
        params=19_386_354,
        box_map=22.8,
        gflops=0.719,
        mb=74.239,
        recipe="faster-r-cnn-mobilenetv3-large-320-fpn",
        runtime=(0.0978, 0.0376, 0.6),
        config=FROZEN,
    )
    DEFAULT = COCO_V1
