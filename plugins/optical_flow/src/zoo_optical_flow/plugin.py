"""The manifest: RAFT in two sizes, and the task of optical flow. Does not import torch."""

from __future__ import annotations

import zoo
from zoo import Default, Manifest, Metric, ModelSpec, Option, TaskSpec
from zoo_optical_flow.weights.raft import Raft_Large_Weights, Raft_Small_Weights

PAPER = "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, https://arxiv.org/abs/2003.12039"

PICTURES = (".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
ANIMATIONS = (".png", ".webp", ".gif", ".apng")  # formats that may be a still picture or an animation
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")

OPTICAL_FLOW = TaskSpec(
    "optical-flow",
    "zoo_optical_flow.task:FlowTask",
    metrics=(
        Metric("epe", "EPE", higher_is_better=False),
        Metric("per_image_epe", "EPE per image", higher_is_better=False),
        Metric("fl_all", "Fl-all", higher_is_better=False),
    ),
    options=(
        Option("pad", bool, True, "Pad the frames to a size that the model takes."),
        Option("padding", str, "sintel", "Position: sintel, half on each side; kitti, the height's at the bottom."),
        Option(
            "num_flow_updates",
            int,
            None,
            "Number of updates of the flow; 12 by default.",
            known_as=("iters", "iterations", "num_updates"),
        ),
        Option("backward", bool, False, "Also compute the backward flow and the occluded pixels."),
        Option("flow_format", str, "flo", "Format of the flow in --output: flo, kitti (16-bit PNGs), or both."),
        Option("stride", int, None, "For videos, take every N-th frame."),
        Option("frame_rate", float, None, "For videos, take this many frames per second."),
        Option("num_flow_updates", int, 12, "Number of updates in the exported file.", verb="export"),
        Option("num_flow_updates", int, 12, "Number of updates per training step.", verb="train"),
        Option("gamma", float, 0.8, "Weight of an update in the loss, relative to the next update.", verb="train"),
    ),
    provides={
        "evaluate": "zoo_optical_flow.evaluation:FlowPairs",
        "export": "zoo_optical_flow.export:export",
        "exported": "zoo_optical_flow.export:Restored",
        "data": "zoo_optical_flow.data:READERS",
        "train": "zoo_optical_flow.training:Training",
    },
    suffixes=(*PICTURES, *ANIMATIONS, *VIDEOS),
    inputs_per_sample=2,
    same_size=True,
)

PUBLIC = {
    "RAFT": "zoo_optical_flow.raft",
    "raft_large": "zoo_optical_flow.raft",
    "raft_small": "zoo_optical_flow.raft",
    "sequence_loss": "zoo_optical_flow.raft",
    "Raft_Large_Weights": "zoo_optical_flow.weights.raft",
    "Raft_Small_Weights": "zoo_optical_flow.weights.raft",
    "end_point_error": "zoo_optical_flow.metrics",
    "error_shares": "zoo_optical_flow.metrics",
    "outlier_share": "zoo_optical_flow.metrics",
    "Flow": "zoo_optical_flow.result",
    "FlowVideo": "zoo_optical_flow.video",
    "crop_flow": "zoo_optical_flow.task",
    "forward_backward_error": "zoo_optical_flow.consistency",
    "occlusion": "zoo_optical_flow.consistency",
    "pad_frames": "zoo_optical_flow.task",
    "read_flo": "zoo_optical_flow.flo",
    "read_kitti_flow": "zoo_optical_flow.kitti",
    "write_flo": "zoo_optical_flow.flo",
    "write_kitti_flow": "zoo_optical_flow.kitti",
}
"""Every public name of ``zoo_optical_flow`` → the module that defines it."""


@zoo.hookimpl
def zoo_manifest() -> Manifest:
    return Manifest(
        api_version=1,
        models=[
            ModelSpec(name, f"zoo_optical_flow.raft:{name}", task=OPTICAL_FLOW.name, weights=weights, paper=PAPER)
            for name, weights in (("raft_large", Raft_Large_Weights), ("raft_small", Raft_Small_Weights))
        ],
        tasks=[OPTICAL_FLOW],
        defaults={
            OPTICAL_FLOW.name: [
                Default("raft_small"),
                Default("raft_large"),
                Default("raft_small", "SHAPES_V1", trained_on="drawn shapes that move"),
            ]
        },
        capabilities="pkg://zoo_optical_flow/capabilities.json",
    )
