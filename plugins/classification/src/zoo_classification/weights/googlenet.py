"""GoogLeNet's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES, imagenet1k


class GoogLeNet_Weights(WeightsEnum, builder="googlenet"):
    IMAGENET1K_V1 = imagenet1k(
        "googlenet-1378be20.pth",
        params=6_624_904,
        acc=(69.778, 89.530),
        gflops=1.498,
        mb=49.731,
        min_size=15,
        recipe=f"{REFERENCES}#googlenet",
        docs="Converted from the weights of the paper's authors.",
        config={"transform_input": True, "aux_logits": False, "init_weights": False},
    )
    DEFAULT = IMAGENET1K_V1
