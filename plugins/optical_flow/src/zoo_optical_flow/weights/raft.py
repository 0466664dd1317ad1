"""RAFT's weights. Does not import torch."""

from __future__ import annotations

import re

from zoo import Preset, Weights, WeightsEnum

PAPER_CODE = "https://github.com/princeton-vl/RAFT"
RETRAINED = "https://github.com/pytorch/vision/tree/main/references/optical_flow"

# The letters in the names of the entries are the training data sets, in this order.
CHAIRS_THINGS = "FlyingChairs and FlyingThings3D"
SINTEL_TOO = "FlyingChairs and FlyingThings3D, then Sintel, KITTI, HD1K and FlyingThings3D together"
KITTI_LAST = "FlyingChairs and FlyingThings3D, then Sintel, KITTI, HD1K and FlyingThings3D together, then KITTI alone"


# How the metrics of a benchmark were measured, by the first word of its name: options of the task.
PROTOCOLS: dict[str, dict[str, int | str]] = {
    "Sintel": {"num_flow_updates": 32, "padding": "sintel"},
    "Kitti": {"num_flow_updates": 24, "padding": "kitti"},
    "Generated": {"num_flow_updates": 12, "padding": "sintel"},
}


def protocols(*data: str) -> dict[str, dict[str, dict[str, int | str]]]:
    return {"protocols": {name: PROTOCOLS[re.split("[- ]", name)[0]] for name in data}}


def large(file: str, recipe: str, data: str, **metrics: dict[str, float]) -> Weights:
    return published(file, recipe, data, metrics, params=5_257_536, gflops=211.007, mb=20.129)


def small(file: str, recipe: str, data: str, **metrics: dict[str, float]) -> Weights:
    return published(file, recipe, data, metrics, params=990_162, gflops=47.655, mb=3.821)


def published(
    file: str, recipe: str, data: str, metrics: dict[str, dict[str, float]], *, params: int, gflops: float, mb: float
) -> Weights:
    """One line of the tables below. Metrics: data set → ``epe`` (pixels), ``per_image_epe`` (pixels), ``fl_all``
    (%)."""
    named = {name.replace("_", "-"): values for name, values in metrics.items()}
    return Weights(
        url=f"https://download.pytorch.org/models/{file}",
        transforms=Preset("zoo.transforms:OpticalFlow"),
        num_params=params,
        metrics=named,
        extra=protocols(*named),
        gflops=gflops,
        file_size=mb,
        recipe=recipe,
        min_size=(128, 128),
        docs=f"{'Ported from the authors. ' if recipe == PAPER_CODE else ''}Trained on {data}.",
    )


# fmt: off
class Raft_Large_Weights(WeightsEnum):
    C_T_V1 = large("raft_large_C_T_V1-22a6c225.pth", PAPER_CODE, CHAIRS_THINGS,
                   Sintel_Train_Cleanpass={"epe": 1.4411}, Sintel_Train_Finalpass={"epe": 2.7894},
                   Kitti_Train={"per_image_epe": 5.0172, "fl_all": 17.4506})
    C_T_V2 = large("raft_large_C_T_V2-1bb1363a.pth", RETRAINED, CHAIRS_THINGS,
                   Sintel_Train_Cleanpass={"epe": 1.3822}, Sintel_Train_Finalpass={"epe": 2.7161},
                   Kitti_Train={"per_image_epe": 4.5118, "fl_all": 16.0679})
    C_T_SKHT_V1 = large("raft_large_C_T_SKHT_V1-0b8c9e55.pth", PAPER_CODE, SINTEL_TOO,
                        Sintel_Test_Cleanpass={"epe": 1.94}, Sintel_Test_Finalpass={"epe": 3.18})
    C_T_SKHT_V2 = large("raft_large_C_T_SKHT_V2-ff5fadd5.pth", RETRAINED, SINTEL_TOO,
                        Sintel_Test_Cleanpass={"epe": 1.819}, Sintel_Test_Finalpass={"epe": 3.067})
    C_T_SKHT_K_V1 = large("raft_large_C_T_SKHT_K_V1-4a6a5039.pth", PAPER_CODE, KITTI_LAST,
                          Kitti_Test={"fl_all": 5.10})
    C_T_SKHT_K_V2 = large("raft_large_C_T_SKHT_K_V2-b5c70766.pth", RETRAINED, KITTI_LAST,
                          Kitti_Test={"fl_all": 5.19})
    DEFAULT = C_T_SKHT_V2


class Raft_Small_Weights(WeightsEnum):
    C_T_V1 = small("raft_small_C_T_V1-ad48884c.pth", PAPER_CODE, CHAIRS_THINGS,
                   Sintel_Train_Cleanpass={"epe": 2.1231}, Sintel_Train_Finalpass={"epe": 3.279},
                   Kitti_Train={"per_image_epe": 7.6557, "fl_all": 25.2801})
    C_T_V2 = small("raft_small_C_T_V2-01064c6d.pth", RETRAINED, CHAIRS_THINGS,
                   Sintel_Train_Cleanpass={"epe": 1.9901}, Sintel_Train_Finalpass={"epe": 3.2831},
                   Kitti_Train={"per_image_epe": 7.5978, "fl_all": 25.2369})
    SHAPES_V1 = Weights(
        url="pkg://zoo_optical_flow/checkpoints/raft_small_shapes-aff7281f.safetensors",
        transforms=Preset("zoo.transforms:OpticalFlow"),
        num_params=990_162,
        metrics={"Generated shapes": {"epe": 1.7661, "zero_flow_epe": 6.7489}},  # 64 held-out pairs, 128×160
        gflops=47.655,
        file_size=1.900,
        recipe="examples/train_flow.py",
        license="BSD-3-Clause",
        min_size=(128, 128),
        extra=protocols("Generated shapes"),
        docs="Generated pairs of moving shapes; trained by examples/train_flow.py in minutes, and part of the package.",
    )
    DEFAULT = C_T_V2
# fmt: on
