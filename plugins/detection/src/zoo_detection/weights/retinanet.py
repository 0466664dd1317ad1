"""RetinaNet's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_detection.weights.entries import FROZEN_EPS_0, coco


class RetinaNet_ResNet50_FPN_Weights(WeightsEnum, builder="retinanet_resnet50_fpn"):
    COCO_V1 = coco(
        "retinanet_resnet50_fpn_coco-eeacb38b.pth",
        params=34_014_999,
        box_map=36.4,
        gflops=151.54,
        mb=130.267,
        recipe="retinanet",
        runtime=(0.2514, 0.0939, 4.1),
        config=FROZEN_EPS_0,
    )
    DEFAULT = COCO_V1


class RetinaNet_ResNet50_FPN_V2_Weights(WeightsEnum, builder="retinanet_resnet50_fpn_v2"):
    COCO_V1 = coco(
        "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
        params=38_198_935,
        box_map=41.5,
        gflops=152.238,
        mb=146.037,
        recipe="https://github.com/pytorch/vision/pull/5756",
    )
    DEFAULT = COCO_V1
