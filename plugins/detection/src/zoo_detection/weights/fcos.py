"""FCOS's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_detection.weights.entries import FROZEN, SOME, coco


class FCOS_ResNet50_FPN_Weights(WeightsEnum, builder="fcos_resnet50_fpn"):
    COCO_V1 = coco(
        "fcos_resnet50_fpn_coco-99b0c9b7.pth",
        params=32_269_600,
        box_map=39.2,
        gflops=128.207,
        mb=123.608,
        recipe="fcos-resnet-50-fpn",
        runtime=(0.1450, 0.0539, 3.3),
        hardware=SOME,
        config=FROZEN,
    )
    DEFAULT = COCO_V1
