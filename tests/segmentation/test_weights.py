"""Every weights entry of the six models is described as it was published."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import models_of, read_reference

import zoo
from zoo_segmentation.plugin import public_names, zoo_manifest

MODELS = models_of("segmentation")
REFERENCE = {name: entry for name, entry in read_reference("weights").items() if entry["model"] in MODELS}
GENERIC = ["deeplabv3", "fcn", "lraspp"]


def test_manifest_has_every_published_model_and_each_family_on_any_backbone() -> None:
    specs = {spec.name: spec for spec in zoo_manifest().models}
    assert sorted(specs) == sorted([*MODELS, *GENERIC])
    for name in MODELS:
        published, spec = read_reference("models")[name], specs[name]
        assert spec.builder.endswith(f":{published['builder']}")
        assert spec.weights.__name__ == published["weights"]
        assert spec.weights.DEFAULT is spec.weights[published["default"]]
    assert {specs[name].weights for name in GENERIC} == {None}
    papers = {spec.paper.rpartition("/")[2] for spec in specs.values()}
    assert papers == {"1411.4038", "1706.05587", "1905.02244"}


def test_models_are_found_by_task_and_namespace() -> None:
    assert zoo.list_models(task="semantic-segmentation", has_weights=True) == sorted(MODELS)
    assert set(MODELS) <= set(zoo.list_models(module=zoo.models.segmentation))
    best = zoo.list_models(task="semantic-segmentation", min_metrics={"COCO-val2017-VOC-labels/miou": 66})
    assert best == ["deeplabv3_resnet101", "deeplabv3_resnet50"]


@pytest.mark.parametrize("name", REFERENCE)
def test_entry_has_the_published_facts(name: str) -> None:
    want = REFERENCE[name]
    entry = zoo.get_weight(name)
    assert entry.url == want["url"]
    assert entry.value.num_params == want["num_params"]
    assert entry.value.metrics == want["_metrics"]
    assert entry.value.gflops == want["_ops"]
    assert entry.value.file_size == want["_file_size"]
    assert entry.value.recipe == want["recipe"]
    assert entry.value.license == want.get("license", "unknown")
    assert entry.value.min_size == tuple(want["min_size"])
    assert entry.value.config["num_classes"] == 21
    assert entry.value.config.get("aux_loss") is (None if "LRASPP" in name else True)
    assert entry.value.docs
    assert entry.meta["categories"] == read_reference("categories")["voc"]

    members = zoo.get_model_weights(want["model"]).__members__
    assert {alias for alias, member in members.items() if member is entry} == {entry.name, *want["aliases"]}

    preset, resolved = entry.transforms(), want["transforms_resolved"]
    assert type(preset) is zoo.transforms.SemanticSegmentation
    assert list(preset.resize_size) == resolved["resize_size"]
    assert list(preset.mean) == resolved["mean"]
    assert list(preset.std) == resolved["std"]
    assert preset.interpolation.name == resolved["interpolation"].removeprefix("InterpolationMode.")
    assert preset.antialias is resolved["antialias"]


def test_table_is_the_one_that_was_published() -> None:
    rows = read_reference("table_segmentation")
    assert sorted(row["weights"] for row in rows) == sorted(REFERENCE)
    for row in rows:
        entry = zoo.get_weight(row["weights"]).value
        metrics = entry.metrics["COCO-val2017-VOC-labels"]
        printed = {
            "weights": row["weights"],
            "miou": f"{metrics['miou']:g}",
            "pixel_acc": f"{metrics['pixel_acc']:g}",
            "params": f"{entry.num_params / 1e6:.1f}M",
            "gflops": f"{round(entry.gflops, 2):g}",
            "recipe": entry.recipe,
        }
        assert printed == row
    assert [m.title for m in zoo.get_task("semantic-segmentation").metrics] == ["Mean IoU", "Pixelwise Acc"]


def test_names_are_there_without_torch() -> None:
    """Weights, the manifest and the list of names, in a Python where importing torch fails."""
    code = """
import sys
for blocked in ("torch", "numpy", "PIL", "safetensors", "huggingface_hub", "typer", "rich"):
    sys.modules[blocked] = None
import zoo_segmentation
from zoo_segmentation import FCN_ResNet50_Weights
from zoo_segmentation.plugin import public_names, zoo_manifest
assert len(zoo_manifest().models) == 9
assert len(FCN_ResNet50_Weights.DEFAULT.meta["categories"]) == 21
assert set(public_names()) <= set(dir(zoo_segmentation))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported_from_the_package() -> None:
    import zoo_segmentation

    for name, module in public_names().items():
        assert getattr(zoo_segmentation, name).__module__ == module, name
    for module in ("deeplabv3", "fcn", "losses", "lraspp", "metrics"):
        assert getattr(zoo_segmentation, module).__name__ == f"zoo_segmentation.{module}"
    with pytest.raises(AttributeError, match="no attribute 'fcn_resnet51'"):
        zoo_segmentation.fcn_resnet51  # noqa: B018


def test_heads_are_where_torchvision_has_them() -> None:
    from zoo.models.segmentation.deeplabv3 import DeepLabHead
    from zoo.models.segmentation.fcn import FCNHead

    assert DeepLabHead(8, 5)[-1].out_channels == 5
    assert FCNHead(8, 5)[-1].out_channels == 5
