"""Every weights entry of the six models has the published description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from published import PublishedTable, PublishedWeights

import zoo


class TestWeights(PublishedWeights):
    family = namespace = "segmentation"
    more_models = ("deeplabv3", "fcn", "lraspp")  # each on any backbone
    more_entries = ("LRASPP_MobileNet_V3_Large_Weights.SHAPES_V1",)
    missing = "fcn_resnet51"
    without_torch = """
from zoo_segmentation import FCN_ResNet50_Weights
assert len(FCN_ResNet50_Weights.DEFAULT.meta["categories"]) == 21
"""

    def check_entry(self, entry: Any, want: Mapping[str, Any]) -> None:
        assert want["categories"] == "voc"
        assert entry.value.config["num_classes"] == 21
        assert entry.value.config.get("aux_loss") is (None if "LRASPP" in repr(entry) else True)

    def test_models_of_a_family_have_its_paper_and_those_on_any_backbone_no_weights(self) -> None:
        specs = self.plugin.zoo_manifest().models
        assert {spec.paper.rpartition("/")[2] for spec in specs} == {"1411.4038", "1706.05587", "1905.02244"}
        assert {spec.weights for spec in specs if spec.name in self.more_models} == {None}

    def test_models_are_found_by_task_and_namespace(self) -> None:
        assert zoo.list_models(task="semantic-segmentation", has_weights=True) == sorted(self.models)
        assert set(self.models) <= set(zoo.list_models(module=zoo.models.segmentation))
        best = zoo.list_models(task="semantic-segmentation", min_metrics={"COCO-val2017-VOC-labels/miou": 66})
        assert best == ["deeplabv3_resnet101", "deeplabv3_resnet50"]

    def test_modules_are_in_the_package(self) -> None:
        for module in ("deeplabv3", "fcn", "losses", "lraspp", "metrics"):
            assert getattr(self.package, module).__name__ == f"zoo_segmentation.{module}"

    def test_heads_are_where_torchvision_has_them(self) -> None:
        from zoo.models.segmentation.deeplabv3 import DeepLabHead
        from zoo.models.segmentation.fcn import FCNHead

        assert DeepLabHead(8, 5)[-1].out_channels == 5
        assert FCNHead(8, 5)[-1].out_channels == 5


class TestTable(PublishedTable):
    family = "segmentation"
    dataset = "COCO-val2017-VOC-labels"
    metrics = ("miou", "pixel_acc")

    def test_headings_are_those_that_were_published(self) -> None:
        assert [m.title for m in zoo.get_task("semantic-segmentation").metrics] == ["Mean IoU", "Pixelwise Acc"]
