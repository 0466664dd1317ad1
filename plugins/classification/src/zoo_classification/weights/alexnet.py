"""AlexNet's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_classification.weights.entries import REFERENCES, imagenet1k


class AlexNet_Weights(WeightsEnum, builder="alexnet"):
    IMAGENET1K_V1 = imagenet1k(
        "alexnet-owt-7be5be79.pth",
        params=61_100_840,
        acc=(56.522, 79.066),
        gflops=0.714,
        mb=233.087,
        min_size=63,
        recipe=f"{REFERENCES}#alexnet-and-vgg",
        docs="Trained with a simple recipe; about as accurate as the paper's.",
    )
    DEFAULT = IMAGENET1K_V1
