"""DeepLabV3's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_segmentation.weights.entries import coco_with_voc_labels


class DeepLabV3_ResNet50_Weights(WeightsEnum, builder="deeplabv3_resnet50"):
    COCO_WITH_VOC_LABELS_V1 = coco_with_voc_labels(
        "deeplabv3_resnet50_coco-cd0a2569.pth",
        params=42_004_074,
        miou=66.4,
        pixel_acc=92.4,
        gflops=178.722,
        mb=160.515,
        recipe="deeplabv3_resnet50",
    )
    DEFAULT = COCO_WITH_VOC_LABELS_V1


class DeepLabV3_ResNet101_Weights(WeightsEnum, builder="deeplabv3_resnet101"):
    COCO_WITH_VOC_LABELS_V1 = coco_with_voc_labels(
        "deeplabv3_resnet101_coco-586e9e4e.pth",
        params=60_996_202,
        miou=67.4,
        pixel_acc=92.4,
        gflops=258.743,
        mb=233.217,
        recipe="fcn_resnet101",  # the two share a recipe; the published entries link to each other's heading
    )
    DEFAULT = COCO_WITH_VOC_LABELS_V1


class DeepLabV3_MobileNet_V3_Large_Weights(WeightsEnum, builder="deeplabv3_mobilenet_v3_large"):
    COCO_WITH_VOC_LABELS_V1 = coco_with_voc_labels(
        "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
        params=11_029_328,
        miou=60.3,
        pixel_acc=91.2,
        gflops=10.452,
        mb=42.301,
        recipe="deeplabv3_mobilenet_v3_large",
    )
    DEFAULT = COCO_WITH_VOC_LABELS_V1
