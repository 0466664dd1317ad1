"""Our classification models keep the contract, as the kit that other plugins' authors use sees it."""

from __future__ import annotations

import pytest

import zoo.testing

# A Vision Transformer's layers are what its name says; of images it can do with few patches.
TINY = {name: {"image_size": 64} for name in ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32")}
TINY["vit_h_14"] = {"image_size": 56}


class TestClassification(zoo.testing.PluginConformance):
    plugin = "classification"
    tiny = TINY


@pytest.mark.slow
class TestClassificationInFull(TestClassification):
    tier = "full"
