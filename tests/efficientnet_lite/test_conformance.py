"""EfficientNet-Lite keeps the contract, as the kit that other plugins' authors use sees it."""

from __future__ import annotations

import pytest

import zoo.testing


class TestEfficientNetLite(zoo.testing.PluginConformance):
    plugin = "efficientnet_lite"


@pytest.mark.slow
class TestEfficientNetLiteInFull(TestEfficientNetLite):
    tier = "full"
