"""Both models pass the conformance kit that plugin authors use."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zoo.testing


class TestOpticalFlow(zoo.testing.PluginConformance):
    plugin = "optical_flow"

    def example(self, name: str) -> tuple[Any, ...]:
        """The smallest frames that RAFT takes, and two updates instead of twelve."""
        first = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return first, torch.roll(first, (2, -3), (2, 3)), 2


@pytest.mark.slow
class TestOpticalFlowInFull(TestOpticalFlow):
    tier = "full"
