"""ConvNeXt's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES, STRONGER, imagenet1k

v1 = partial(imagenet1k, min_size=32, recipe=f"{REFERENCES}#convnext", docs=STRONGER)


class ConvNeXt_Tiny_Weights(WeightsEnum, builder="convnext_tiny"):
    IMAGENET1K_V1 = v1(
        "convnext_tiny-983f1562.pth", params=28_589_128, acc=(82.520, 96.146), gflops=4.456, mb=109.119, resize=236
    )
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Small_Weights(WeightsEnum, builder="convnext_small"):
    IMAGENET1K_V1 = v1(
        "convnext_small-0c510722.pth", params=50_223_688, acc=(83.616, 96.650), gflops=8.684, mb=191.703, resize=230
    )
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Base_Weights(WeightsEnum, builder="convnext_base"):
    IMAGENET1K_V1 = v1(
        "convnext_base-6075fbad.pth", params=88_591_464, acc=(84.062, 96.870), gflops=15.355, mb=338.064, resize=232
    )
    DEFAULT = IMAGENET1K_V1


class ConvNeXt_Large_Weights(WeightsEnum, builder="convnext_large"):
    IMAGENET1K_V1 = v1(
        "convnext_large-ea097f82.pth", params=197_767_336, acc=(84.414, 96.976), gflops=34.361, mb=754.537, resize=232
    )
    DEFAULT = IMAGENET1K_V1
