"""Inception v3's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES, imagenet1k


class Inception_V3_Weights(WeightsEnum, builder="inception_v3"):
    IMAGENET1K_V1 = imagenet1k(
        "inception_v3_google-0cc3c7bd.pth",
        params=27_161_264,
        acc=(77.294, 93.450),
        gflops=5.713,
        mb=103.903,
        crop=299,
        resize=342,
        min_size=75,
        recipe=f"{REFERENCES}#inception-v3",
        docs="Converted from the weights of the paper's authors.",
        config={"transform_input": True, "aux_logits": True, "init_weights": False},
    )
    DEFAULT = IMAGENET1K_V1
