"""The kit that plugin authors run, on this plugin: on its float models, and on reference models in int8."""

from __future__ import annotations

from typing import ClassVar

import pytest

import zoo.testing
from zoo.testing.kit import Case

QUICK = {"init_weights": False}  # drawing truncated normals takes longer than all else


class TestFloat(zoo.testing.PluginConformance):
    plugin = "quantized"
    # With weights these two have no auxiliary heads unless asked for, so a file with them comes back with fewer keys.
    tiny: ClassVar = {
        "quantized_googlenet": {"aux_logits": False, **QUICK},
        "quantized_inception_v3": {"aux_logits": False, **QUICK},
    }
    skip: ClassVar = {
        f"quantized_inception_v3:{check}": "a minute's work, and the float model is zoo-classification's, checked there"
        for check in ("train", "num_classes", "deterministic")
    }


class TestReferenceMode(zoo.testing.PluginConformance):
    """An int8 model has no parameters: it neither trains nor gets a new head. All else holds for it too."""

    plugin = "quantized"
    tier = "full"
    tiny: ClassVar = {
        "quantized_resnet18": {"quantize": "reference"},
        "quantized_shufflenet_v2_x0_5": {"quantize": "reference"},
    }
    checks = ("forward", "deterministic", "round_trip", "capture")  # the others are made of the float models

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
