"""The manifest: six published models that segment pictures, each family on any backbone, and their task. No torch."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import zoo
from zoo import Manifest, Metric, ModelSpec, TaskSpec, WeightsEnum


class Family(NamedTuple):
    """The models of one paper. ``fcn_resnet50``'s weights are FCN_ResNet50_Weights, in ``weights/MODULE.py``.

    The model that takes any backbone has the module's name and no weights.
    """

    module: str
    public: str  # classes that the module offers beside its builders
    paper: str
    arxiv: str
    builders: str


# fmt: off
FAMILIES = (
    Family("fcn", "FCN FCNHead",
           "Fully Convolutional Networks for Semantic Segmentation", "1411.4038",
           "fcn_resnet50 fcn_resnet101"),
    Family("deeplabv3", "DeepLabV3 DeepLabHead ASPP",
           "Rethinking Atrous Convolution for Semantic Image Segmentation", "1706.05587",
           "deeplabv3_resnet50 deeplabv3_resnet101 deeplabv3_mobilenet_v3_large"),
    Family("lraspp", "LRASPP LRASPPHead",
           "Searching for MobileNetV3", "1905.02244",
           "lraspp_mobilenet_v3_large"),
)
# fmt: on

SEGMENTATION = TaskSpec(
    "semantic-segmentation",
    metrics=(Metric("miou", "Mean IoU"), Metric("pixel_acc", "Pixelwise Acc")),
    load="zoo_segmentation.task:load",
    collate="zoo_segmentation.task:collate",
    decode="zoo_segmentation.task:decode",
    draw="zoo_segmentation.task:draw",
    evaluate="zoo_segmentation.evaluation:ClassMaps",
    suffixes=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    same_size=True,
)


def weights_of(family: Family) -> dict[str, type[WeightsEnum]]:
    """Builder → the enum of its weights, for the published models of ``family``."""
    module = importlib.import_module(f"zoo_segmentation.weights.{family.module}")
    enums = {name.removesuffix("_Weights").lower(): enum for name, enum in vars(module).items()}
    return {builder: enums[builder] for builder in family.builders.split()}


def public_names() -> dict[str, str]:
    """Every name that ``zoo_segmentation`` offers (classes, builders, weights) → the module that it comes from."""
    names: dict[str, str] = {}
    for family in FAMILIES:
        names |= dict.fromkeys([*family.public.split(), *family.builders.split()], f"zoo_segmentation.{family.module}")
        names |= {enum.__name__: enum.__module__ for enum in weights_of(family).values()}
    return names


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(
        api_version=1,
        models=[
            ModelSpec(
                builder,
                f"zoo_segmentation.{family.module}:{builder}",
                task=SEGMENTATION.name,
                weights=weights_of(family).get(builder),
                paper=f"{family.paper}, https://arxiv.org/abs/{family.arxiv}",
            )
            for family in FAMILIES
            for builder in (family.module, *family.builders.split())
        ],
        tasks=[SEGMENTATION],
    )
