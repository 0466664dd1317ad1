"""DenseNet's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import WeightsEnum
from zoo_classification.weights.entries import imagenet1k

v1 = partial(
    imagenet1k,
    min_size=29,
    recipe="https://github.com/pytorch/vision/pull/116",
    docs="Contributed with the models; about as accurate as the paper's.",
)


class DenseNet121_Weights(WeightsEnum, builder="densenet121"):
    IMAGENET1K_V1 = v1("densenet121-a639ec97.pth", params=7_978_856, acc=(74.434, 91.972), gflops=2.834, mb=30.845)
    DEFAULT = IMAGENET1K_V1


class DenseNet161_Weights(WeightsEnum, builder="densenet161"):
    IMAGENET1K_V1 = v1("densenet161-8d451a50.pth", params=28_681_000, acc=(77.138, 93.560), gflops=7.728, mb=110.369)
    DEFAULT = IMAGENET1K_V1


class DenseNet169_Weights(WeightsEnum, builder="densenet169"):
    IMAGENET1K_V1 = v1("densenet169-b2777c0a.pth", params=14_149_480, acc=(75.600, 92.806), gflops=3.360, mb=54.708)
    DEFAULT = IMAGENET1K_V1


class DenseNet201_Weights(WeightsEnum, builder="densenet201"):
    IMAGENET1K_V1 = v1("densenet201-c1103571.pth", params=20_013_928, acc=(76.896, 93.370), gflops=4.291, mb=77.373)
    DEFAULT = IMAGENET1K_V1
