"""SSD's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_detection.weights.entries import SOME, coco


class SSD300_VGG16_Weights(WeightsEnum, builder="ssd300_vgg16"):
    COCO_V1 = coco(
        "ssd300_vgg16_coco-b556d3b4.pth",
        params=35_641_826,
        box_map=25.1,
        gflops=34.858,
        mb=135.988,
        recipe="ssd300-vgg16",
        runtime=(0.2093, 0.0744, 1.5),
        hardware=SOME,
        batch=4,
    )
    DEFAULT = COCO_V1
