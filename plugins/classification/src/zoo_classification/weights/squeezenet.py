"""SqueezeNet's weights. Does not import torch."""

from __future__ import annotations

from functools import partial

from zoo import Preset, Weights, WeightsEnum
from zoo_classification.weights.entries import imagenet1k

v1 = partial(
    imagenet1k,
    recipe="https://github.com/pytorch/vision/pull/49#issuecomment-277560717",
    docs="About as accurate as the paper's.",
)


class SqueezeNet1_0_Weights(WeightsEnum, builder="squeezenet1_0"):
    IMAGENET1K_V1 = v1(
        "squeezenet1_0-b66bff10.pth", params=1_248_424, acc=(58.092, 80.420), gflops=0.819, mb=4.778, min_size=21
    )
    DEFAULT = IMAGENET1K_V1


class SqueezeNet1_1_Weights(WeightsEnum, builder="squeezenet1_1"):
    IMAGENET1K_V1 = v1(
        "squeezenet1_1-b8a52dc0.pth", params=1_235_496, acc=(58.178, 80.624), gflops=0.349, mb=4.729, min_size=17
    )
    DIGITS_V1 = Weights(
        url="pkg://zoo_classification/checkpoints/squeezenet1_1_digits-ced8cad3.safetensors",
        transforms=Preset(
            "zoo.transforms:ImageClassification",
            {"crop_size": 64, "resize_size": 64, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        ),
        config={"num_classes": 10},
        num_params=727_626,
        metrics={"Digits": {"acc@1": 98.889, "acc@5": 100.0}},  # on the 450 held-out scans, in half precision
        gflops=0.017,
        file_size=1.393,
        categories=tuple("0123456789"),
        recipe="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html",
        license="BSD-3-Clause",
        min_size=(17, 17),
        docs="Handwritten digits; trained by examples/train_digits.py in minutes, and part of the package.",
    )
    DEFAULT = IMAGENET1K_V1
