"""The kit that plugin authors run, on this plugin."""

from __future__ import annotations

import zoo.testing

SMALL = {"width_mult": 0.25}


class TestSegmentation(zoo.testing.PluginConformance):
    plugin = "segmentation"
    tiny = {  # noqa: RUF012
        "lraspp_mobilenet_v3_large": SMALL,
        "deeplabv3_mobilenet_v3_large": SMALL,
        "fcn": {"backbone": "mobilenet_v3_small", **SMALL},
        "deeplabv3": {"backbone": "mobilenet_v3_small", **SMALL},
        "lraspp": {"backbone": "mobilenet_v3_small", **SMALL},
    }
