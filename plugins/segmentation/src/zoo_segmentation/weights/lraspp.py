"""LR-ASPP's weights. Does not import torch."""

from __future__ import annotations

from zoo import Preset, Weights, WeightsEnum
from zoo_segmentation.weights.entries import coco_with_voc_labels


class LRASPP_MobileNet_V3_Large_Weights(WeightsEnum, builder="lraspp_mobilenet_v3_large"):
    COCO_WITH_VOC_LABELS_V1 = coco_with_voc_labels(
        "lraspp_mobilenet_v3_large-d234d4ea.pth",
        params=3_221_538,
        miou=57.9,
        pixel_acc=91.2,
        gflops=2.086,
        mb=12.490,
        recipe="lraspp_mobilenet_v3_large",
        aux_loss=False,
    )
    SHAPES_V1 = Weights(
        url="pkg://zoo_segmentation/checkpoints/lraspp_mobilenet_v3_large_shapes-88dd7195.safetensors",
        transforms=Preset("zoo.transforms:SemanticSegmentation", {"resize_size": 256}),
        config={"num_classes": 6, "width_mult": 0.5},
        num_params=909_796,
        metrics={"Shapes": {"miou": 91.713, "pixel_acc": 98.216}},  # on 500 held-out pictures, in half precision
        gflops=0.148,
        file_size=1.788,
        categories=("background", "circle", "square", "triangle", "star", "ring"),
        recipe="examples/train_segmentation.py",
        license="BSD-3-Clause",
        min_size=(1, 1),
        docs="Generated pictures of shapes, 160 pixels wide and enlarged to 256; a backbone of half the width. Trained "
        "by examples/train_segmentation.py on one CPU core, and part of the package.",
    )
    DEFAULT = COCO_WITH_VOC_LABELS_V1
