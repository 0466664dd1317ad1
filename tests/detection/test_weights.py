"""Every weights entry of the detectors has the published description."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from helpers import read_reference
from published import PublishedWeights

import zoo
from zoo.cli import main
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


RUNTIMES = """
    fasterrcnn_resnet50_fpn               0.2288 0.0590 5.2
    fasterrcnn_mobilenet_v3_large_fpn     0.1020 0.0415 1.0
    fasterrcnn_mobilenet_v3_large_320_fpn 0.0978 0.0376 0.6
    fcos_resnet50_fpn                     0.1450 0.0539 3.3
    retinanet_resnet50_fpn                0.2514 0.0939 4.1
    ssd300_vgg16                          0.2093 0.0744 1.5
    ssdlite320_mobilenet_v3_large         0.1773 0.0906 1.5
    maskrcnn_resnet50_fpn                 0.2728 0.0903 5.4
    keypointrcnn_resnet50_fpn             0.3789 0.1242 6.8
"""


@pytest.mark.parametrize("line", RUNTIMES.strip().splitlines())
def test_published_runtimes(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, *cells = line.split()
    runtime = zoo.get_model_weights(name).DEFAULT.meta["runtime"]
    assert [runtime[k] for k in ("train_s_per_iteration", "test_s_per_image", "memory_gb")] == [*map(float, cells)]
    assert "8" in runtime["hardware"]
    assert main(["show", name]) == 0
    assert f"memory_gb={cells[2]}" in " ".join(capsys.readouterr().out.split())


def test_published_runtimes_in_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "detection", "--format", "markdown"]) == 0
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    runtimes = [row for row in rows if row and row[-1].startswith("8 ")]
    assert len(runtimes) == 9
    for line in RUNTIMES.strip().splitlines():
        name, *cells = line.split()
        (row,) = [row for row in runtimes if row[0] == repr(zoo.get_model_weights(name).DEFAULT)]
        assert [*map(float, row[1:4])] == [*map(float, cells)]
        assert row[5] == "8 GPUs" if name.startswith(("fcos", "ssd")) else "V100" in row[5]
    assert main(["table", "instance-segmentation", "--format", "json"]) == 0
    runtime = {entry["weights"]: entry["runtime"] for entry in json.loads(capsys.readouterr().out)}
    assert runtime["MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1"] is None
    assert runtime["MaskRCNN_ResNet50_FPN_Weights.COCO_V1"]["test_s_per_image"] == 0.0903
    assert main(["table", "optical-flow"]) == 0
    assert "runtime" not in capsys.readouterr().out
