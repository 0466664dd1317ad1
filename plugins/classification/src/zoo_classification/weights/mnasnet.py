"""MNASNet's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import STRONGER, imagenet1k

contributed = partial(
    imagenet1k,
    recipe="https://github.com/1e100/mnasnet_trainer",
    docs="About as accurate as the paper's; trained by a contributor.",
)
new = partial(imagenet1k, recipe="https://github.com/pytorch/vision/pull/6019", docs=STRONGER, resize=232)


class MNASNet0_5_Weights(WeightsEnum, builder="mnasnet0_5"):
    IMAGENET1K_V1 = contributed(
        "mnasnet0.5_top1_67.823-3ffadce67e.pth", params=2_218_512, acc=(67.734, 87.490), gflops=0.104, mb=8.591
    )
    DEFAULT = IMAGENET1K_V1


class MNASNet0_75_Weights(WeightsEnum, builder="mnasnet0_75"):
    IMAGENET1K_V1 = new("mnasnet0_75-7090bc5f.pth", params=3_170_208, acc=(71.180, 90.496), gflops=0.215, mb=12.303)
    DEFAULT = IMAGENET1K_V1


class MNASNet1_0_Weights(WeightsEnum, builder="mnasnet1_0"):
    IMAGENET1K_V1 = contributed(
        "mnasnet1.0_top1_73.512-f206786ef8.pth", params=4_383_312, acc=(73.456, 91.510), gflops=0.314, mb=16.915
    )
    DEFAULT = IMAGENET1K_V1


class MNASNet1_3_Weights(WeightsEnum, builder="mnasnet1_3"):
    IMAGENET1K_V1 = new("mnasnet1_3-a4c69d6f.pth", params=6_282_256, acc=(76.506, 93.522), gflops=0.526, mb=24.246)
    DEFAULT = IMAGENET1K_V1
