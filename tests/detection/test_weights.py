"""Every weights entry of the detectors is described as it was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from helpers import read_reference
from published import PublishedWeights

import zoo
from zoo_detection.coco import COCO_IDS, COCO_INDEX, KEYPOINT_NAMES


class TestWeights(PublishedWeights):
    family = namespace = "detection"
    more_models = ("fasterrcnn", "fcos", "retinanet", "maskrcnn", "keypointrcnn")  # each on any backbone
    more_entries = ("SSDLite320_MobileNet_V3_Large_Weights.SHAPES_V1",)
    constants = ("COCO_IDS", "COCO_INDEX")
    missing = "retinanet51"
    without_torch = """
from zoo_detection import COCO_INDEX, FasterRCNN_ResNet50_FPN_Weights
assert len(zoo_manifest().tasks) == 3
assert len(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]) == 91
"""

    def check_entry(self, entry: Any, want: Mapping[str, Any]) -> None:
        assert entry.value.config["num_classes"] == len(entry.meta["categories"])
        assert entry.meta.get("keypoint_names") == read_reference("categories").get(want.get("keypoint_names"))

    def test_models_have_their_tasks_and_those_on_any_backbone_no_weights(self) -> None:
        specs = {spec.name: spec for spec in self.plugin.zoo_manifest().models}
        assert specs["maskrcnn_resnet50_fpn"].tasks == ("instance-segmentation", "object-detection")
        assert all(specs[name].weights is None for name in self.more_models)


def test_coco_ids_are_those_that_have_a_category() -> None:
    names = zoo.get_weight("FCOS_ResNet50_FPN_Weights.COCO_V1").meta["categories"]
    assert [i for i, name in enumerate(names) if name not in ("__background__", "N/A")] == list(COCO_IDS)
    assert [COCO_INDEX[i] for i in COCO_IDS] == list(range(80))
    assert len(KEYPOINT_NAMES) == 17
