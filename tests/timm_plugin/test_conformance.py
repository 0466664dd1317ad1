"""The conformance kit on a sample of timm; ``zoo verify-plugin timm --full --resume`` checks all models."""

from __future__ import annotations

import pytest

import zoo.testing

pytest.importorskip("zoo_timm.models")


class TestTimm(zoo.testing.PluginConformance):
    plugin = "timm"
    tier = "full"
    models = (
        "resnet18", "convnext_atto", "mobilenetv3_small_050", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
        "regnety_002", "efficientnet_lite0", "ghostnet_100", "edgenext_xx_small", "poolformer_s12",
    )  # fmt: skip


class TestContract(zoo.testing.PluginConformance):
    """The facts of a larger sample, without torch."""

    plugin = "timm"
    tier = "contract"
    limit = 100
    skip = {"urls": "files that are not on the hub have no hash in their names"}  # noqa: RUF012
