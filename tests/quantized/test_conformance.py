"""The conformance kit that plugin authors use, on the float models and on int8 reference models."""

from __future__ import annotations

from typing import ClassVar

import pytest

import zoo.testing
from zoo.testing.kit import Case

QUICK = {"init_weights": False}  # drawing truncated normals is the slowest step


class TestFloat(zoo.testing.PluginConformance):
    plugin = "quantized"
    # With weights these two have no auxiliary heads unless asked for, so a file with them is loaded with fewer keys.
    tiny: ClassVar = {
        "quantized_googlenet": {"aux_logits": False, **QUICK},
        "quantized_inception_v3": {"aux_logits": False, **QUICK},
    }
    skip: ClassVar = {
        f"quantized_inception_v3:{check}": "a minute's work, and the float model is zoo-classification's, checked there"
        for check in ("train", "num_classes", "deterministic")
    }


class TestReferenceMode(zoo.testing.PluginConformance):
    """An int8 model has no parameters: it cannot be trained or get a new head. Everything else is tested."""

    plugin = "quantized"
    tier = "full"
    tiny: ClassVar = {
        "quantized_resnet18": {"quantize": "reference"},
        "quantized_shufflenet_v2_x0_5": {"quantize": "reference"},
    }
    checks = ("forward", "deterministic", "round_trip", "capture")  # the other checks use the float models

    def cases(self) -> list[Case]:
        return [case for case in super().cases() if case.model in self.tiny and case.check.name in self.checks]


@pytest.mark.slow
class TestReferenceModeOfOthers(TestReferenceMode):
    tiny: ClassVar = {
        "quantized_googlenet": {"quantize": "reference", "aux_logits": False, **QUICK},
        "quantized_inception_v3": {"quantize": "reference", "aux_logits": False, **QUICK},
        "quantized_mobilenet_v2": {"quantize": "reference"},
        "quantized_mobilenet_v3_large": {"quantize": "reference"},
    }
