"""Every weights entry of the 12 models is described as it was published."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import models_of, read_reference

import zoo
from zoo.cli import main
from zoo_quantized.plugin import FAMILIES, public_names, zoo_manifest

MODELS = models_of("quantized")
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


def test_every_published_entry_is_there() -> None:
    ours = [repr(w) for spec in zoo_manifest().models for w in spec.weights if w.name not in OURS]
    assert sorted(ours) == sorted(REFERENCE)
    assert len(ours) == 14


@pytest.mark.parametrize("name", REFERENCE)
def test_entry_has_the_published_facts(name: str) -> None:
    want, entry = REFERENCE[name], zoo.get_weight(name)
    assert entry.url == want["url"]
    assert entry.value.num_params == want["num_params"]
    assert entry.value.metrics == want["_metrics"]
    assert (entry.value.gflops, entry.value.ops_unit) == (want["_ops"], "GIPS")
    assert entry.value.file_size == want["_file_size"]
    assert entry.value.recipe == want["recipe"]
    assert entry.value.license == want.get("license", "unknown")
    assert entry.value.min_size == tuple(want["min_size"])
    assert entry.value.config["num_classes"] == 1000
    assert entry.value.config["quantize"] == "auto"
    assert entry.value.docs

    assert entry.meta["backend"] == entry.value.config["backend"] == want["backend"]
    assert repr(entry.meta["unquantized"]) == want["unquantized"]
    assert entry.meta["unquantized"] is zoo.get_weight(want["unquantized"])
    assert entry.meta["categories"] == read_reference("categories")[want["categories"]]

    members = zoo.get_model_weights(want["model"]).__members__
    assert {alias for alias, member in members.items() if member is entry} == {entry.name, *want["aliases"]}

    preset, resolved = entry.transforms(), want["transforms_resolved"]
    assert type(preset) is zoo.transforms.ImageClassification
    assert list(preset.crop_size) == resolved["crop_size"]
    assert list(preset.resize_size) == resolved["resize_size"]
    assert list(preset.mean) == resolved["mean"]
    assert list(preset.std) == resolved["std"]
    assert preset.interpolation.name == resolved["interpolation"].removeprefix("InterpolationMode.")
    assert preset.antialias is resolved["antialias"]


def test_table_is_the_one_that_was_published(capsys: pytest.CaptureFixture[str]) -> None:
    """Row by row as ``zoo table`` prints it, under the published headings."""
    assert main(["table", "quantized", "--format", "markdown"]) == 0
    heading, _, *lines = capsys.readouterr().out.splitlines()
    assert [cell.strip(" *") for cell in heading.strip("|").split("|")] == [
        "Weight", "Acc@1", "Acc@5", "Params", "GIPS", "Recipe",
    ]  # fmt: skip
    printed = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if "DIGITS" not in line]
    rows = read_reference("table_quantized")
    assert len(rows) == len(printed) == 14
    for got, row in zip(sorted(printed), sorted(rows, key=lambda row: row["weights"]), strict=True):
        assert got[:5] == [row["weights"], row["acc@1"], row["acc@5"], row["params"], row["gips"]]
        assert row["recipe"] in got[5]


def test_a_table_of_both_kinds_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "image-classification", "--format", "markdown"]) == 0
    assert "GFLOPS / GIPS" in capsys.readouterr().out.splitlines()[0]
    assert main(["table", "quantized", "--format", "json"]) == 0
    assert {entry["ops_unit"] for entry in json.loads(capsys.readouterr().out)} == {"GIPS"}


def test_names_are_there_without_torch() -> None:
    """Weights, the manifest and the list of names, in a Python where importing torch fails."""
    code = """
import sys
for blocked in ("torch", "numpy", "PIL", "safetensors", "huggingface_hub", "typer", "rich"):
    sys.modules[blocked] = None
import zoo_quantized
from zoo_quantized import ResNet50_QuantizedWeights
from zoo_quantized.plugin import public_names, zoo_manifest
assert len(zoo_manifest().models) == 12
assert ResNet50_QuantizedWeights.DEFAULT.meta["unquantized"].name == "IMAGENET1K_V2"
assert set(public_names()) <= set(dir(zoo_quantized))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported_from_the_package_and_from_zoo_models() -> None:
    import zoo_quantized

    for name, module in public_names().items():
        assert getattr(zoo_quantized, name).__module__ == module, name
        assert getattr(zoo.models.quantization, name) is getattr(zoo_quantized, name)
    for family in FAMILIES:
        for builder in family.builders.split():
            built = getattr(zoo.models.quantization, builder)
            assert zoo.get_model_weights(built) is zoo.get_model_weights(f"quantized_{builder}")
    with pytest.raises(AttributeError, match="no attribute 'resnet51'"):
        zoo_quantized.resnet51  # noqa: B018


def test_a_builder_keeps_its_name_when_the_module_of_that_name_is_imported() -> None:
    code = """
import importlib, zoo_quantized
for name in ("googlenet", "mobilenet_v2"):
    module = importlib.import_module(f"zoo_quantized.{name}")
    assert getattr(zoo_quantized, name) is getattr(module, name), name
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_module_touches_torch_ao() -> None:
    import zoo_quantized

    for path in Path(zoo_quantized.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
        names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
        names |= {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
        assert path.name == "eager.py" or not any(n == "ao" or n.startswith("torch.ao") for n in names), path


def test_constructors_as_before_torchvision_0_13() -> None:
    """The published examples: ``pretrained=True`` with ``quantize`` or without."""
    from zoo.models import quantization

    cases = (
        ({"pretrained": True, "quantize": True}, "MobileNet_V2_QuantizedWeights.IMAGENET1K_QNNPACK_V1"),
        ({"pretrained": True}, "MobileNet_V2_Weights.IMAGENET1K_V1"),
    )
    for arguments, entry in cases:
        with torch.device("meta"), pytest.warns(DeprecationWarning, match=re.escape(f"weights={entry}")):
            quantization.mobilenet_v2(**arguments)


def test_published_example_of_random_int8_models() -> None:
    model = zoo.models.quantization.shufflenet_v2_x1_0(quantize=True)
    assert model.engine == "fbgemm"
    with torch.no_grad():
        logits = model(torch.rand(1, 3, 224, 224))
    assert logits.shape == (1, 1000)
    assert logits.std() > 0
    assert zoo.list_models(module=zoo.models.quantization) == sorted(MODELS)
