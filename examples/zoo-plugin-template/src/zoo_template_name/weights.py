"""The published weights and their description. Imported whenever models are listed: no torch here."""

from __future__ import annotations

from zoo import Preset, Weights, WeightsEnum


class ConvMixer_64_8_Weights(WeightsEnum):
    DIGITS_V1 = Weights(
        # Small enough for the wheel; https:// and hf:// work as well. The name ends in the file's SHA-256.
        url="pkg://zoo_template_name/checkpoints/convmixer_64_8_digits-35f0ffc4.safetensors",
        transforms=Preset(
            "zoo.transforms:ImageClassification",
            {"crop_size": 32, "resize_size": 32, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        ),
        config={"num_classes": 10},
        num_params=52_554,
        metrics={"Digits": {"acc@1": 98.0, "acc@5": 99.778}},  # on the 450 held-out scans, in half precision
        file_size=0.115,
        categories=tuple("0123456789"),
        recipe="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html",
        license="BSD-3-Clause",
        min_size=(4, 4),
        docs="Handwritten digits; trained by train.py in minutes, included in the wheel.",
    )
    DEFAULT = DIGITS_V1
