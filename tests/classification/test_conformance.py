"""The classification models pass the conformance kit that plugin authors use."""

from __future__ import annotations

import pytest

import zoo.testing

# A Vision Transformer's layers are fixed by its name; small images with few patches are enough.
TINY = {name: {"image_size": 64} for name in ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32")}
TINY["vit_h_14"] = {"image_size": 56}


class TestClassification(zoo.testing.PluginConformance):
    plugin = "classification"
    tiny = TINY


@pytest.mark.slow
class TestClassificationInFull(TestClassification):
    tier = "full"
