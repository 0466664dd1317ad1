"""MobileNetV3's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import NEW_RECIPE, REFERENCES, SIMPLE, STRONGER, imagenet1k

v1 = partial(imagenet1k, recipe=f"{REFERENCES}#mobilenetv3-large--small", docs=SIMPLE)
v2 = partial(imagenet1k, recipe=f"{NEW_RECIPE}-with-reg-tuning", docs=STRONGER, resize=232)


class MobileNet_V3_Large_Weights(WeightsEnum, builder="mobilenet_v3_large"):
    IMAGENET1K_V1 = v1(
        "mobilenet_v3_large-8738ca79.pth", params=5_483_032, acc=(74.042, 91.340), gflops=0.217, mb=21.114
    )
    IMAGENET1K_V2 = v2(
        "mobilenet_v3_large-5c1a4163.pth", params=5_483_032, acc=(75.274, 92.566), gflops=0.217, mb=21.107
    )
    DEFAULT = IMAGENET1K_V2


class MobileNet_V3_Small_Weights(WeightsEnum, builder="mobilenet_v3_small"):
    IMAGENET1K_V1 = v1(
        "mobilenet_v3_small-047dcff4.pth", params=2_542_856, acc=(67.668, 87.402), gflops=0.057, mb=9.829
    )
    DEFAULT = IMAGENET1K_V1
