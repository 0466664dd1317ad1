"""The Vision Transformer's weights. Does not import torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from zoo import Weights, WeightsEnum
from zoo_classification.weights.entries import REFERENCES, STRONGER, imagenet1k, swag_end_to_end, swag_linear

DEIT = "Trained from scratch on ImageNet-1K, with a recipe that follows DeiT's."

swag_lc = partial(swag_linear, min_size=224)


def v1(file: str, *, docs: str = DEIT, **facts: Any) -> Weights:
    """The recipe's heading is the model's name, which the file's name begins with."""
    return imagenet1k(file, min_size=224, recipe=f"{REFERENCES}#{file.partition('-')[0]}", docs=docs, **facts)


def swag_e2e(file: str, *, size: int, **facts: Any) -> Weights:
    """Tuned end to end at ``size``: the position embeddings in the file are for images of that size."""
    return swag_end_to_end(file, crop=size, resize=size, min_size=size, config={"image_size": size}, **facts)


class ViT_B_16_Weights(WeightsEnum, builder="vit_b_16"):
    IMAGENET1K_V1 = v1("vit_b_16-c867db91.pth", params=86_567_656, acc=(81.072, 95.318), gflops=17.564, mb=330.285)
    IMAGENET1K_SWAG_E2E_V1 = swag_e2e(
        "vit_b_16_swag-9ac1b537.pth", params=86_859_496, acc=(85.304, 97.650), gflops=55.484, mb=331.398, size=384
    )
    IMAGENET1K_SWAG_LINEAR_V1 = swag_lc(
        "vit_b_16_lc_swag-4e70ced5.pth", params=86_567_656, acc=(81.886, 96.180), gflops=17.564, mb=330.285
    )
    DEFAULT = IMAGENET1K_V1


class ViT_B_32_Weights(WeightsEnum, builder="vit_b_32"):
    IMAGENET1K_V1 = v1("vit_b_32-d86f8d99.pth", params=88_224_232, acc=(75.912, 92.466), gflops=4.409, mb=336.604)
    DEFAULT = IMAGENET1K_V1


class ViT_L_16_Weights(WeightsEnum, builder="vit_l_16"):
    IMAGENET1K_V1 = v1(
        "vit_l_16-852ce7e3.pth",
        params=304_326_632,
        acc=(79.662, 94.638),
        gflops=61.555,
        mb=1161.023,
        resize=242,
        docs=STRONGER,
    )
    IMAGENET1K_SWAG_E2E_V1 = swag_e2e(
        "vit_l_16_swag-4f3808c9.pth", params=305_174_504, acc=(88.064, 98.512), gflops=361.986, mb=1164.258, size=512
    )
    IMAGENET1K_SWAG_LINEAR_V1 = swag_lc(
        "vit_l_16_lc_swag-4d563306.pth", params=304_326_632, acc=(85.146, 97.422), gflops=61.555, mb=1161.023
    )
    DEFAULT = IMAGENET1K_V1


class ViT_L_32_Weights(WeightsEnum, builder="vit_l_32"):
    IMAGENET1K_V1 = v1("vit_l_32-c7638314.pth", params=306_535_400, acc=(76.972, 93.070), gflops=15.378, mb=1169.449)
    DEFAULT = IMAGENET1K_V1


class ViT_H_14_Weights(WeightsEnum, builder="vit_h_14"):
    IMAGENET1K_SWAG_E2E_V1 = swag_e2e(
        "vit_h_14_swag-80465313.pth", params=633_470_440, acc=(88.552, 98.694), gflops=1016.717, mb=2416.643, size=518
    )
    IMAGENET1K_SWAG_LINEAR_V1 = swag_lc(
        "vit_h_14_lc_swag-c1eb923e.pth", params=632_045_800, acc=(85.708, 97.730), gflops=167.295, mb=2411.209
    )
    DEFAULT = IMAGENET1K_SWAG_E2E_V1
