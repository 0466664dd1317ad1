"""MobileNetV2's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import NEW_RECIPE, REFERENCES, SIMPLE, STRONGER, imagenet1k

v1 = partial(imagenet1k, recipe=f"{REFERENCES}#mobilenetv2", docs=SIMPLE)
v2 = partial(imagenet1k, recipe=f"{NEW_RECIPE}-with-reg-tuning", docs=STRONGER, resize=232)


class MobileNet_V2_Weights(WeightsEnum, builder="mobilenet_v2"):
    IMAGENET1K_V1 = v1("mobilenet_v2-b0353104.pth", params=3_504_872, acc=(71.878, 90.286), gflops=0.301, mb=13.555)
    IMAGENET1K_V2 = v2("mobilenet_v2-7ebf99e0.pth", params=3_504_872, acc=(72.154, 90.822), gflops=0.301, mb=13.598)
    DEFAULT = IMAGENET1K_V2
