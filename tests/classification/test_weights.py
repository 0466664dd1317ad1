"""Every weights entry of the 80 models has the published description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from published import PublishedTable, PublishedWeights


class TestWeights(PublishedWeights):
    family = "classification"
    more_entries = ("SqueezeNet1_1_Weights.DIGITS_V1",)
    like_their_modules = ("alexnet", "googlenet", "mobilenet_v2")
    missing = "resnet51"
    without_torch = """
from zoo_classification import ResNet50_Weights, ViT_B_16_Weights
assert len(ResNet50_Weights.IMAGENET1K_V2.meta["categories"]) == 1000
"""

    def check_entry(self, entry: Any, want: Mapping[str, Any]) -> None:
        assert list(want["_metrics"]) == ["ImageNet-1K"]
        assert entry.value.config["num_classes"] == 1000


class TestTable(PublishedTable):
    family = "classification"
    dataset = "ImageNet-1K"
    metrics = ("acc@1", "acc@5")
