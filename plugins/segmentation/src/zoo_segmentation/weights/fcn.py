"""FCN's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_segmentation.weights.entries import coco_with_voc_labels


class FCN_ResNet50_Weights(WeightsEnum, builder="fcn_resnet50"):
    COCO_WITH_VOC_LABELS_V1 = coco_with_voc_labels(
        "fcn_resnet50_coco-1167a1af.pth",
        params=35_322_218,
        miou=60.5,
        pixel_acc=91.4,
        gflops=152.717,
        mb=135.009,
        recipe="fcn_resnet50",
    )
    DEFAULT = COCO_WITH_VOC_LABELS_V1


class FCN_ResNet101_Weights(WeightsEnum, builder="fcn_resnet101"):
    COCO_WITH_VOC_LABELS_V1 = coco_with_voc_labels(
        "fcn_resnet101_coco-7ecb50ca.pth",
        params=54_314_346,
        miou=63.7,
        pixel_acc=91.9,
        gflops=232.738,
        mb=207.711,
        recipe="deeplabv3_resnet101",  # the two share a recipe; the published entries link to each other's heading
    )
    DEFAULT = COCO_WITH_VOC_LABELS_V1
