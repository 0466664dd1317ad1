"""The weights of Swin Transformer, first and second version. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES, imagenet1k

LIKE_THE_PAPER = "About as accurate as the paper's, with a similar recipe."

v1 = partial(
    imagenet1k,
    interpolation="bicubic",
    min_size=224,
    recipe=f"{REFERENCES}#swintransformer",
    docs=LIKE_THE_PAPER,
)
v2 = partial(
    imagenet1k,
    crop=256,
    interpolation="bicubic",
    min_size=256,
    recipe=f"{REFERENCES}#swintransformer-v2",
    docs=LIKE_THE_PAPER,
)


class Swin_T_Weights(WeightsEnum, builder="swin_t"):
    IMAGENET1K_V1 = v1(
        "swin_t-704ceda3.pth", params=28_288_354, acc=(81.474, 95.776), gflops=4.491, mb=108.190, resize=232
    )
    DEFAULT = IMAGENET1K_V1


class Swin_S_Weights(WeightsEnum, builder="swin_s"):
    IMAGENET1K_V1 = v1(
        "swin_s-5e29d889.pth", params=49_606_258, acc=(83.196, 96.360), gflops=8.741, mb=189.786, resize=246
    )
    DEFAULT = IMAGENET1K_V1


class Swin_B_Weights(WeightsEnum, builder="swin_b"):
    IMAGENET1K_V1 = v1(
        "swin_b-68c6b09e.pth", params=87_768_224, acc=(83.582, 96.640), gflops=15.431, mb=335.364, resize=238
    )
    DEFAULT = IMAGENET1K_V1


class Swin_V2_T_Weights(WeightsEnum, builder="swin_v2_t"):
    IMAGENET1K_V1 = v2(
        "swin_v2_t-b137f0e2.pth", params=28_351_570, acc=(82.072, 96.132), gflops=5.940, mb=108.626, resize=260
    )
    DEFAULT = IMAGENET1K_V1


class Swin_V2_S_Weights(WeightsEnum, builder="swin_v2_s"):
    IMAGENET1K_V1 = v2(
        "swin_v2_s-637d8ceb.pth", params=49_737_442, acc=(83.712, 96.816), gflops=11.546, mb=190.675, resize=260
    )
    DEFAULT = IMAGENET1K_V1


class Swin_V2_B_Weights(WeightsEnum, builder="swin_v2_b"):
    IMAGENET1K_V1 = v2(
        "swin_v2_b-781e5279.pth", params=87_930_848, acc=(84.112, 96.864), gflops=20.325, mb=336.372, resize=272
    )
    DEFAULT = IMAGENET1K_V1
