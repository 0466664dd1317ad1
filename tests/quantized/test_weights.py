"""Every weights entry of the 12 models has the published description."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import read_reference
from published import PublishedWeights

import zoo
from zoo.cli import main


class TestWeights(PublishedWeights):
    family = "quantized"
    namespace = "quantization"
    more_entries = ("ShuffleNet_V2_X0_5_QuantizedWeights.DIGITS_V1",)
    like_their_modules = ("googlenet", "mobilenet_v2")
    missing = "resnet51"
    without_torch = """
from zoo_quantized import ResNet50_QuantizedWeights
assert ResNet50_QuantizedWeights.DEFAULT.meta["unquantized"].name == "IMAGENET1K_V2"
"""

    def check_entry(self, entry: Any, want: Mapping[str, Any]) -> None:
        assert entry.value.ops_unit == "GIPS"
        assert entry.value.config["num_classes"] == 1000
        assert entry.value.config["quantize"] == "auto"
        assert entry.meta["backend"] == entry.value.config["backend"] == want["backend"]
        assert repr(entry.meta["unquantized"]) == want["unquantized"]
        assert entry.meta["unquantized"] is zoo.get_weight(want["unquantized"])

    def test_builders_have_the_weights_of_their_models(self) -> None:
        assert len(self.entries) == 14
        assert zoo.list_models(module=zoo.models.quantization) == sorted(self.models)
        for family in self.plugin.FAMILIES:
            for builder in family.builders.split():
                built = getattr(zoo.models.quantization, builder)
                assert zoo.get_model_weights(built) is zoo.get_model_weights(f"quantized_{builder}")


def test_table_is_the_one_that_was_published(capsys: pytest.CaptureFixture[str]) -> None:
    """The rows of ``zoo table``, under the published headings."""
    assert main(["table", "quantized", "--format", "markdown"]) == 0
    heading, _, *lines = capsys.readouterr().out.splitlines()
    assert [cell.strip(" *") for cell in heading.strip("|").split("|")] == [
        "Weight", "Acc@1", "Acc@5", "Params", "GIPS", "Recipe", "Licence",
    ]  # fmt: skip
    printed = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if "DIGITS" not in line]
    rows = read_reference("table_quantized")
    assert len(rows) == len(printed) == 14
    for got, row in zip(sorted(printed), sorted(rows, key=lambda row: row["weights"]), strict=True):
        assert got[:5] == [row["weights"], row["acc@1"], row["acc@5"], row["params"], row["gips"]]
        assert row["recipe"] in got[5]


def test_a_table_of_both_kinds_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "image-classification", "--format", "markdown"]) == 0
    assert "GFLOPs / GIPS" in capsys.readouterr().out.splitlines()[0]
    assert main(["table", "quantized", "--format", "json"]) == 0
    assert {entry["ops_unit"] for entry in json.loads(capsys.readouterr().out)} == {"GIPS"}


def test_one_module_touches_torch_ao() -> None:
    import zoo_quantized

    for path in Path(zoo_quantized.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
        names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
        names |= {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
        assert path.name == "eager.py" or not any(n == "ao" or n.startswith("torch.ao") for n in names), path


def test_constructors_as_before_torchvision_0_13() -> None:
    """The published examples: ``pretrained=True`` with and without ``quantize``."""
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
