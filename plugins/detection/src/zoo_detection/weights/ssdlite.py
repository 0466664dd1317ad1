"""SSDlite's weights. No torch here."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_detection.weights.entries import coco


class SSDLite320_MobileNet_V3_Large_Weights(WeightsEnum):
    COCO_V1 = coco(
        "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        params=3_440_060,
        box_map=21.3,
        gflops=0.583,
        mb=13.418,
        recipe="ssdlite320-mobilenetv3-large",
        config={"reduced_tail": True},
    )
    DEFAULT = COCO_V1
