"""The weights of R3D-18, MC3-18 and R(2+1)D-18. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import Preset, Weights, WeightsEnum
from zoo_video.weights.entries import REFERENCES, kinetics400

v1 = partial(
    kinetics400,
    recipe=REFERENCES,
    sampling=(16, 15, 5),
    crop=112,
    resize=(128, 171),
    docs="Trained from scratch; about as accurate as the paper's.",
)


class R3D_18_Weights(WeightsEnum, builder="r3d_18"):
    KINETICS400_V1 = v1("r3d_18-b3b3357e.pth", params=33_371_472, acc=(63.200, 83.479), gflops=40.697, mb=127.359)
    DEFAULT = KINETICS400_V1


class MC3_18_Weights(WeightsEnum, builder="mc3_18"):
    KINETICS400_V1 = v1("mc3_18-a90a0ba3.pth", params=11_695_440, acc=(63.960, 84.130), gflops=43.343, mb=44.672)
    DEFAULT = KINETICS400_V1


class MC3_Tiny_Weights(WeightsEnum, builder="mc3_tiny"):
    MOVING_SHAPES_V1 = Weights(
        url="pkg://zoo_video/checkpoints/mc3_tiny_moving_shapes-074321d2.safetensors",
        transforms=Preset("zoo.transforms:VideoClassification", {"crop_size": (32, 32), "resize_size": (32, 32)}),
        config={"num_classes": 16},
        num_params=325_440,
        metrics={"Moving shapes": {"acc@1": 99.731, "acc@5": 100.0}},  # on 4,096 held-out clips, in half precision
        gflops=0.130,
        file_size=0.630,
        categories=tuple(
            f"{shape} moving {direction}"
            for shape in ("circle", "square", "triangle", "cross")
            for direction in ("right", "down", "left", "up")
        ),
        license="BSD-3-Clause",
        min_size=(1, 1),
        docs="Shapes that move over random backgrounds; trained by examples/train_video.py, and part of the package.",
        extra={"num_frames": 16, "clips_per_video": 1},
    )
    DEFAULT = MOVING_SHAPES_V1


class R2Plus1D_18_Weights(WeightsEnum, builder="r2plus1d_18"):
    KINETICS400_V1 = v1("r2plus1d_18-91a641e6.pth", params=31_505_325, acc=(67.463, 86.175), gflops=40.519, mb=120.318)
    DEFAULT = KINETICS400_V1
