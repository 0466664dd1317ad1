"""EfficientNet-Lite passes the conformance kit that plugin authors use."""

from __future__ import annotations

import pytest

import zoo.testing


class TestEfficientNetLite(zoo.testing.PluginConformance):
    plugin = "efficientnet_lite"


@pytest.mark.slow
class TestEfficientNetLiteInFull(TestEfficientNetLite):
    tier = "full"
