"""The manifest: models that classify videos, and their task. No torch here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import zoo
from zoo import Manifest, Metric, ModelSpec, TaskSpec, WeightsEnum


class Family(NamedTuple):
    """The models of one paper. ``r3d_18``'s weights are R3D_18_Weights, in ``weights/MODULE.py``."""

    module: str
    public: str  # classes that the module offers beside its builders
    paper: str
    arxiv: str
    builders: str
    input: Mapping[str, Any]  # what a clip must be


# fmt: off
FAMILIES = (
    Family("resnet", "VideoResNet",
           "A Closer Look at Spatiotemporal Convolutions for Action Recognition", "1711.11248",
           "r3d_18 mc3_18 mc3_tiny r2plus1d_18",
           {"num_frames": "any"}),
    Family("s3d", "S3D",
           "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification",
           "1712.04851",
           "s3d",
           {"num_frames": "any, at least 13"}),
    Family("mvit", "MViT",
           "Multiscale Vision Transformers", "2104.11227",
           "mvit_v1_b",
           {"num_frames": 16}),
    Family("mvit", "MViT",
           "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection", "2112.01526",
           "mvit_v2_s",
           {"num_frames": 16}),
    Family("swin3d", "SwinTransformer3d",
           "Video Swin Transformer", "2106.13230",
           "swin3d_t swin3d_s swin3d_b",
           {"num_frames": "any"}),
)
# fmt: on

VIDEO_CLASSIFICATION = TaskSpec(
    "video-classification",
    metrics=(Metric("acc@1", "Acc@1"), Metric("acc@5", "Acc@5")),
    load="zoo_video.task:load",
    transform="zoo_video.task:Prepare",
    collate="zoo_video.task:collate",
    decode="zoo_video.task:decode",
    draw="zoo_video.task:draw",
    evaluate="zoo_video.evaluation:evaluate",
    suffixes=(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".gif", ".webp", ".apng"),
    input_ndim=4,
)


def weights_of(family: Family) -> dict[str, type[WeightsEnum]]:
    """Builder → the enum of its weights, for the models of ``family``."""
    module = importlib.import_module(f"zoo_video.weights.{family.module}")
    enums = {name.removesuffix("_Weights").lower(): enum for name, enum in vars(module).items()}
    return {builder: enums[builder] for builder in family.builders.split()}


def public_names() -> dict[str, str]:
    """Every name that ``zoo_video`` offers (classes, builders, weights) → the module that it comes from."""
    names: dict[str, str] = {}
    for family in FAMILIES:
        names |= dict.fromkeys([*family.public.split(), *family.builders.split()], f"zoo_video.{family.module}")
        names |= {enum.__name__: enum.__module__ for enum in weights_of(family).values()}
    return names


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(
        api_version=1,
        models=[
            ModelSpec(
                builder,
                f"zoo_video.{family.module}:{builder}",
                task=VIDEO_CLASSIFICATION.name,
                weights=weights,
                paper=f"{family.paper}, https://arxiv.org/abs/{family.arxiv}",
                input=family.input,
            )
            for family in FAMILIES
            for builder, weights in weights_of(family).items()
        ],
        tasks=[VIDEO_CLASSIFICATION],
    )
