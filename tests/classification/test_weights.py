"""Every weights entry of the 80 models is described as it was published."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import models_of, read_reference

import zoo
from zoo_classification.plugin import FAMILIES, public_names, zoo_manifest

MODELS = models_of("classification")
REFERENCE = {name: entry for name, entry in read_reference("weights").items() if entry["model"] in MODELS}
OURS = ("DIGITS_V1",)  # entries beyond the published ones


def test_manifest_has_every_published_model() -> None:
    specs = {spec.name: spec for spec in zoo_manifest().models}
    assert sorted(specs) == sorted(MODELS)
    for name, spec in specs.items():
        published = read_reference("models")[name]
        assert spec.builder.endswith(f":{published['builder']}")
        assert spec.weights.__name__ == published["weights"]
        assert spec.weights.DEFAULT is spec.weights[published["default"]]
        assert spec.paper.count("https://arxiv.org/abs/") == 1


def published_entries() -> Iterator[str]:
    for spec in zoo_manifest().models:
        yield from (repr(entry) for entry in spec.weights if entry.name not in OURS)


def test_every_published_entry_is_there_in_order() -> None:
    ours, published = {}, {}
    for names, found in ((published_entries(), ours), (REFERENCE, published)):
        for name in names:
            enum, _, member = name.partition(".")
            found.setdefault(enum, []).append(member)
    assert ours == published


@pytest.mark.parametrize("name", REFERENCE)
def test_entry_has_the_published_facts(name: str) -> None:
    want = REFERENCE[name]
    entry = zoo.get_weight(name)
    metrics = want["_metrics"]["ImageNet-1K"]
    assert entry.url == want["url"]
    assert entry.value.num_params == want["num_params"]
    assert entry.value.metrics == {"ImageNet-1K": pytest.approx(metrics, rel=0, abs=0, nan_ok=True)}
    assert entry.value.gflops == want["_ops"]
    assert entry.value.file_size == want["_file_size"]
    assert entry.value.recipe == want["recipe"]
    assert entry.value.license == want.get("license", "unknown")
    assert entry.value.min_size == tuple(want["min_size"])
    assert entry.value.config["num_classes"] == 1000
    assert entry.value.docs

    members = zoo.get_model_weights(want["model"]).__members__
    assert {alias for alias, member in members.items() if member is entry} == {entry.name, *want["aliases"]}

    meta = entry.meta
    assert meta.get("categories") == (
        read_reference("categories")[want["categories"]] if "categories" in want else None
    )
    assert meta["num_params"] == want["num_params"]
    assert (meta["_ops"], meta["_file_size"], meta["recipe"]) == (want["_ops"], want["_file_size"], want["recipe"])


@pytest.mark.parametrize("name", REFERENCE)
def test_entry_builds_the_published_preprocessing(name: str) -> None:
    want = REFERENCE[name]["transforms_resolved"]
    preset: Any = zoo.get_weight(name).transforms()
    assert type(preset) is zoo.transforms.ImageClassification
    assert list(preset.crop_size) == want["crop_size"]
    assert list(preset.resize_size) == want["resize_size"]
    assert list(preset.mean) == want["mean"]
    assert list(preset.std) == want["std"]
    assert preset.interpolation.name == want["interpolation"].removeprefix("InterpolationMode.")
    assert preset.antialias is want["antialias"]


def test_table_is_the_one_that_was_published() -> None:
    """The documentation's table of all weights: accuracies, parameters, GFLOPS and recipe of each row, as printed."""
    rows = read_reference("table_classification")
    assert [row["weights"] for row in rows if row["weights"] not in REFERENCE] == []
    assert len(rows) == len(REFERENCE)
    for row in rows:
        entry = zoo.get_weight(row["weights"]).value
        metrics = entry.metrics["ImageNet-1K"]
        printed = {
            "weights": row["weights"],
            "acc@1": f"{metrics['acc@1']:g}",
            "acc@5": f"{metrics['acc@5']:g}",
            "params": f"{entry.num_params / 1e6:.1f}M",
            "gflops": f"{round(entry.gflops, 2):g}",
            "recipe": entry.recipe,
        }
        assert printed == row


def test_names_are_there_without_torch() -> None:
    """Weights, the manifest and the list of names, in a Python where importing torch fails."""
    code = """
import sys
for blocked in ("torch", "numpy", "PIL", "safetensors", "huggingface_hub", "typer", "rich"):
    sys.modules[blocked] = None
import zoo_classification
from zoo_classification import ResNet50_Weights, ViT_B_16_Weights
from zoo_classification.plugin import public_names, zoo_manifest
assert len(zoo_manifest().models) == 80
assert len(ResNet50_Weights.IMAGENET1K_V2.meta["categories"]) == 1000
assert set(public_names()) <= set(dir(zoo_classification))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported_from_the_package() -> None:
    import zoo_classification

    for name, module in public_names().items():
        assert getattr(zoo_classification, name).__module__ == module, name
    with pytest.raises(AttributeError, match="no attribute 'resnet51'"):
        zoo_classification.resnet51  # noqa: B018


def test_a_builder_keeps_its_name_when_the_module_of_that_name_is_imported() -> None:
    """Whichever comes first: the import of the module, or that of the builder."""
    same = [family.module for family in FAMILIES if family.module in family.builders.split()]
    assert same == ["alexnet", "googlenet", "mobilenet_v2"]
    module_first = """
import importlib, zoo_classification
for name in ("alexnet", "googlenet", "mobilenet_v2"):
    module = importlib.import_module(f"zoo_classification.{name}")
    assert getattr(zoo_classification, name) is getattr(module, name), name
"""
    builder_first = """
import importlib
from zoo_classification import alexnet, googlenet, mobilenet_v2
for builder in (alexnet, googlenet, mobilenet_v2):
    assert getattr(importlib.import_module(f"zoo_classification.{builder.__name__}"), builder.__name__) is builder
"""
    for code in (module_first, builder_first):
        subprocess.run([sys.executable, "-c", code], check=True)
