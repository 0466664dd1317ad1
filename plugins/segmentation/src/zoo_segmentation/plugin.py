"""The manifest: six published models, each family on any backbone, and their task. Does not import torch."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest, Metric, Option, TaskSpec
from zoo.contract.families import Family, model_specs, offered_names

# fmt: off
FAMILIES = (
    Family("fcn", "FCN FCNHead",
           "Fully Convolutional Networks for Semantic Segmentation", "1411.4038",
           "fcn_resnet50 fcn_resnet101", "fcn"),
    Family("deeplabv3", "DeepLabV3 DeepLabHead ASPP",
           "Rethinking Atrous Convolution for Semantic Image Segmentation", "1706.05587",
           "deeplabv3_resnet50 deeplabv3_resnet101 deeplabv3_mobilenet_v3_large", "deeplabv3"),
    Family("lraspp", "LRASPP LRASPPHead",
           "Searching for MobileNetV3", "1905.02244",
           "lraspp_mobilenet_v3_large", "lraspp"),
)
# fmt: on

SEGMENTATION = TaskSpec(
    "semantic-segmentation",
    "zoo_segmentation.task:SegmentationTask",
    metrics=(Metric("miou", "Mean IoU"), Metric("pixel_acc", "Pixelwise Acc")),
    options=(
        Option("ignore_index", int, 255, "True class of the pixels to ignore.", verb="evaluate"),
        Option("loss", str, "cross-entropy", "Loss: cross-entropy, dice, focal or cross-entropy+dice.", verb="train"),
    ),
    provides={
        "evaluate": "zoo_segmentation.evaluation:ClassMaps",
        "export": "zoo_segmentation.export:export",
        "exported": "zoo_segmentation.export:Restored",
        "data": "zoo_segmentation.data:READERS",
        "train": "zoo_segmentation.training:Training",
    },
    suffixes=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    same_size=True,
)


def public_names() -> dict[str, str]:
    """Every public name of ``zoo_segmentation`` (classes, builders, weights) → the module that defines it."""
    return offered_names("zoo_segmentation", FAMILIES)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    models = model_specs("zoo_segmentation", FAMILIES, SEGMENTATION.name)
    defaults = [
        Default("lraspp_mobilenet_v3_large"),
        Default("deeplabv3_mobilenet_v3_large"),
        Default("deeplabv3_resnet50"),
        Default("lraspp_mobilenet_v3_large", "SHAPES_V1", trained_on="drawn shapes"),
    ]
    return Manifest(
        api_version=1,
        models=models,
        tasks=[SEGMENTATION],
        defaults={SEGMENTATION.name: defaults},
        capabilities="pkg://zoo_segmentation/capabilities.json",
    )
