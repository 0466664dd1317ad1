"""The manifest: video classification models and their task. Does not import torch."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest, Metric, Option, TaskSpec
from zoo.contract.families import Family, model_specs, offered_names

# fmt: off
FAMILIES = (
    Family("resnet", "VideoResNet",
           "A Closer Look at Spatiotemporal Convolutions for Action Recognition", "1711.11248",
           "r3d_18 mc3_18 mc3_tiny r2plus1d_18",
           input={"num_frames": "any"}),
    Family("s3d", "S3D",
           "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification",
           "1712.04851",
           "s3d",
           input={"num_frames": "any, at least 13"}),
    Family("mvit", "MViT",
           "Multiscale Vision Transformers", "2104.11227",
           "mvit_v1_b",
           input={"num_frames": 16}),
    Family("mvit", "MViT",
           "MViTv2: Improved Multiscale Vision Transformers for Classification and Detection", "2112.01526",
           "mvit_v2_s",
           input={"num_frames": 16}),
    Family("swin3d", "SwinTransformer3d",
           "Video Swin Transformer", "2106.13230",
           "swin3d_t swin3d_s swin3d_b",
           input={"num_frames": "any"}),
)
# fmt: on

VIDEO_CLASSIFICATION = TaskSpec(
    "video-classification",
    "zoo_video.task:VideoTask",
    metrics=(Metric("acc@1", "Acc@1"), Metric("acc@5", "Acc@5")),
    options=(
        Option(
            "clips",
            int,
            1,
            "Number of clips, evenly spaced; a single one is taken from the middle.",
            known_as=("num_clips", "n_clips"),
        ),
        Option("frames", int, None, "Number of frames per clip; by default as for the weights."),
        Option("stride", int, None, "Take every N-th frame, regardless of the frame rate."),
        Option("spread", bool, False, "Spread the frames of the clips evenly over the whole video."),
        Option("frames", int, None, "Number of frames that the exported file takes.", verb="export"),
        Option("label_smoothing", float, 0.0, "Label smoothing of the cross entropy.", verb="train"),
    ),
    provides={
        "evaluate": "zoo_video.evaluation:evaluate",
        "export": "zoo_video.export:export",
        "exported": "zoo_video.export:Restored",
        "data": "zoo_video.data:READERS",
        "train": "zoo_video.training:Training",
    },
    suffixes=(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".gif", ".webp", ".apng"),
    input_ndim=4,
)


def public_names() -> dict[str, str]:
    """Every public name of ``zoo_video`` (classes, builders, weights) → the module that defines it."""
    return offered_names("zoo_video", FAMILIES)


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    models = model_specs("zoo_video", FAMILIES, VIDEO_CLASSIFICATION.name)
    defaults = [
        Default("s3d"),
        Default("r3d_18"),
        Default("mvit_v2_s"),
        Default("mc3_tiny", trained_on="drawn shapes that move"),
    ]
    return Manifest(
        api_version=1,
        models=models,
        tasks=[VIDEO_CLASSIFICATION],
        defaults={VIDEO_CLASSIFICATION.name: defaults},
        capabilities="pkg://zoo_video/capabilities.json",
    )
