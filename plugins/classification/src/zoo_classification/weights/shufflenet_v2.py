"""ShuffleNet V2's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import STRONGER, imagenet1k

contributed = partial(
    imagenet1k,
    recipe="https://github.com/ericsun99/Shufflenet-v2-Pytorch",
    docs="About as accurate as the paper's; trained by a contributor.",
)
new = partial(imagenet1k, recipe="https://github.com/pytorch/vision/pull/5906", docs=STRONGER, resize=232)


class ShuffleNet_V2_X0_5_Weights(WeightsEnum, builder="shufflenet_v2_x0_5"):
    IMAGENET1K_V1 = contributed(
        "shufflenetv2_x0.5-f707e7126e.pth", params=1_366_792, acc=(60.552, 81.746), gflops=0.040, mb=5.282
    )
    DEFAULT = IMAGENET1K_V1


class ShuffleNet_V2_X1_0_Weights(WeightsEnum, builder="shufflenet_v2_x1_0"):
    IMAGENET1K_V1 = contributed(
        "shufflenetv2_x1-5666bf0f80.pth", params=2_278_604, acc=(69.362, 88.316), gflops=0.145, mb=8.791
    )
    DEFAULT = IMAGENET1K_V1


class ShuffleNet_V2_X1_5_Weights(WeightsEnum, builder="shufflenet_v2_x1_5"):
    IMAGENET1K_V1 = new(
        "shufflenetv2_x1_5-3c479a10.pth", params=3_503_624, acc=(72.996, 91.086), gflops=0.296, mb=13.557
    )
    DEFAULT = IMAGENET1K_V1


class ShuffleNet_V2_X2_0_Weights(WeightsEnum, builder="shufflenet_v2_x2_0"):
    IMAGENET1K_V1 = new(
        "shufflenetv2_x2_0-8be3c8ee.pth", params=7_393_996, acc=(76.230, 93.006), gflops=0.583, mb=28.433
    )
    DEFAULT = IMAGENET1K_V1
