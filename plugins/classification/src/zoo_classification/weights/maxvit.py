"""MaxViT's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES, imagenet1k


class MaxVit_T_Weights(WeightsEnum, builder="maxvit_t"):
    IMAGENET1K_V1 = imagenet1k(
        "maxvit_t-bc5ab103.pth",
        params=30_919_624,
        acc=(83.700, 96.722),
        gflops=5.558,
        mb=118.769,
        resize=224,
        interpolation="bicubic",
        min_size=224,
        recipe=f"{REFERENCES}#maxvit",
        docs="About as accurate as the paper's, with a similar recipe.",
    )
    DEFAULT = IMAGENET1K_V1
