"""SSDlite's weights. Does not import torch."""

from __future__ import annotations

from zoo import Preset, Weights, WeightsEnum
from zoo_detection.weights.entries import SOME, coco


class SSDLite320_MobileNet_V3_Large_Weights(WeightsEnum, builder="ssdlite320_mobilenet_v3_large"):
    COCO_V1 = coco(
        "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        params=3_440_060,
        box_map=21.3,
        gflops=0.583,
        mb=13.418,
        recipe="ssdlite320-mobilenetv3-large",
        runtime=(0.1773, 0.0906, 1.5),
        hardware=SOME,
        batch=24,
        config={"reduced_tail": True},
    )
    SHAPES_V1 = Weights(
        url="pkg://zoo_detection/checkpoints/ssdlite320_mobilenet_v3_large_shapes-ef797523.safetensors",
        transforms=Preset("zoo.transforms:ObjectDetection"),
        config={
            "num_classes": 6,
            "width_mult": 0.5,
            "reduced_tail": False,
            "size": 192,
            "scales": (0.28, 0.42, 0.56, 0.7, 0.8, 0.9, 1.0),
        },
        num_params=1_399_632,
        metrics={"Shapes": {"box_map": 79.389, "box_map_50": 98.386}},  # on 500 held-out pictures, in half precision
        gflops=0.059,
        file_size=2.766,
        categories="pkg://zoo_detection/categories/shapes.txt",
        recipe="examples/train_detection.py",
        license="BSD-3-Clause",
        min_size=(1, 1),
        docs="Generated pictures of shapes, a backbone of half the width, images of 192×192; trained by "
        "examples/train_detection.py in half an hour on one CPU core, and part of the package.",
    )
    DEFAULT = COCO_V1
