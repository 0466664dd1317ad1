"""The video models pass the conformance kit that plugin authors use."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zoo.testing

# Clips as small as the architectures allow.
TINY: dict[str, dict[str, Any]] = {
    "mvit_v1_b": {"temporal_size": 4, "spatial_size": (64, 64)},
    "mvit_v2_s": {"temporal_size": 4, "spatial_size": (64, 64)},
}
SIZES = {"s3d": (13, 209, 209), "mvit_v1_b": (4, 64, 64), "mvit_v2_s": (4, 64, 64)}


class TestVideo(zoo.testing.PluginConformance):
    plugin = "video"
    tiny = TINY

    def example(self, name: str) -> tuple[Any, ...]:
        size = SIZES.get(name, (4, 40, 40))
        return (torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)),)


@pytest.mark.slow
class TestVideoInFull(TestVideo):
    tier = "full"
