"""What the published entries of all families have in common. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo import Preset, Weights
from zoo_detection.coco import KEYPOINT_NAMES

RECIPES = "https://github.com/pytorch/vision/tree/main/references/detection"

COCO = "pkg://zoo_detection/categories/coco.txt"
COCO_PERSON = "pkg://zoo_detection/categories/coco_person.txt"

# The hardware of the published times and memory. For FCOS, SSD and SSDlite only the number of GPUs was published.
V100 = "8 V100 GPUs, CUDA 10.0, cuDNN 7.4"
SOME = "8 GPUs"

# The backbone's batch norm is frozen in all entries except the V2 models, SSD and SSDlite. The first four published
# models were trained with an eps of 0; another eps shifts their boxes slightly.
FROZEN = {"frozen_norm_eps": 1e-5}
FROZEN_EPS_0 = {"frozen_norm_eps": 0.0}


def coco(
    file: str,
    *,
    params: int,
    box_map: float,
    gflops: float,
    mb: float,
    recipe: str,
    mask_map: float | None = None,
    kp_map: float | None = None,
    config: Mapping[str, Any] | None = None,
    runtime: tuple[float, float, float] | None = None,
    batch: int = 2,
    hardware: str = V100,
    docs: str = "Trained on COCO's train2017.",
) -> Weights:
    """Weights for COCO's objects, or with ``kp_map`` for its persons and their keypoints, as one line of a table.

    Args:
        file: name of the file on download.pytorch.org.
        params: number of parameters.
        box_map: mean AP of the boxes on val2017, in percent; ``mask_map`` and ``kp_map`` likewise.
        gflops: billions of multiply-adds at the evaluation size.
        mb: size of the file in MB (2**20 bytes).
        recipe: link to how they were trained, or a heading of the training scripts' page.
        runtime: seconds per training iteration, seconds per test image, and GB of memory, as published.
        batch: images per GPU in that training; the test uses single images and includes pasting of masks.
        hardware: hardware of both.
        config: builder arguments in addition to ``num_classes``.
    """
    persons = kp_map is not None
    metrics = {"box_map": box_map, "mask_map": mask_map, "kp_map": kp_map}
    return Weights(
        url=f"https://download.pytorch.org/models/{file}",
        transforms=Preset("zoo.transforms:ObjectDetection"),
        config={"num_classes": 2 if persons else 91, **(config or {})},
        num_params=params,
        metrics={"COCO-val2017": {key: value for key, value in metrics.items() if value is not None}},
        gflops=gflops,
        file_size=mb,
        categories=COCO_PERSON if persons else COCO,
        recipe=recipe if "://" in recipe else f"{RECIPES}#{recipe}",
        min_size=(1, 1),
        docs=docs,
        extra={"protocols": {"COCO-val2017": {"max_detections": 100}}}
        | (runtime_facts(runtime, batch, hardware) if runtime else {})
        | ({"keypoint_names": list(KEYPOINT_NAMES)} if persons else {}),
    )


def runtime_facts(runtime: tuple[float, float, float], batch: int, hardware: str) -> dict[str, Any]:
    """Published times and memory, in the form stored in ``extra``."""
    train, test, memory = runtime
    return {
        "runtime": {
            "train_s_per_iteration": train,
            "test_s_per_image": test,
            "memory_gb": memory,
            "train_batch_per_gpu": batch,
            "hardware": hardware,
        }
    }
