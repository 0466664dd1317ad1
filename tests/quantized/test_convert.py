"""Conversion of packed files to plain tensors: no torch quantized types, and the same results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import int8_files
import pytest
import torch
from safetensors import safe_open

import zoo
import zoo_quantized
from zoo.errors import InvalidArgument

Run = Callable[..., SimpleNamespace]
ENTRY = "ShuffleNet_V2_X0_5_QuantizedWeights.IMAGENET1K_FBGEMM_V1"
NAME = "quantized_shufflenet_v2_x0_5"
PICTURES = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))


def test_the_command_writes_what_both_kinds_of_model_load(run: Run, tmp_path: Path) -> None:
    packed, plain = int8_files.write(ENTRY, tmp_path), tmp_path / "plain.safetensors"
    done = run("convert", packed, plain)
    assert done.status == 0, done.err
    assert "packed" in done.out
    with safe_open(plain, "pt") as file:
        dtypes = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  not a mapping
    assert "I8" in dtypes
    assert dtypes <= {"I8", "F32", "F64", "I32", "I64"}
    for how in (True, "reference"):
        with torch.no_grad():
            a, b = (zoo.get_model(NAME, weights=str(f), quantize=how)(PICTURES) for f in (packed, plain))
        assert torch.equal(a, b), how
    assert run("convert", packed, plain).status == 1, "existing files are not overwritten"
    assert run("convert", packed, plain, "--force", "--model", NAME).status == 0


def test_a_file_of_training_needs_its_model(tmp_path: Path) -> None:
    observed, plain = tmp_path / "qat.pth", tmp_path / "plain.safetensors"
    with int8_files.prepared_for_training() as model:
        torch.save(model.state_dict(), observed)
    with pytest.raises(InvalidArgument, match=r"name the model"):
        zoo_quantized.convert(observed, plain)
    done = zoo_quantized.convert(observed, plain, model="quantized_mobilenet_v3_large")
    assert (done.form, done.layers > 50) == ("observed", True)
    with torch.no_grad():
        a, b = (
            zoo.get_model("quantized_mobilenet_v3_large", weights=str(f), quantize="reference", backend="qnnpack")(
                PICTURES
            )
            for f in (observed, plain)
        )
    torch.testing.assert_close(a, b)


def test_what_cannot_be_converted_is_told(run: Run, tmp_path: Path) -> None:
    floats = tmp_path / "float.pth"
    torch.save(zoo.get_model(NAME).state_dict(), floats)
    assert "contains a float model" in run("convert", floats, tmp_path / "a.safetensors").err
    assert "ends in .safetensors" in run("convert", floats, tmp_path / "a.pth").err
    assert "has no int8 weights" in run("convert", "resnet18", tmp_path / "a.safetensors").err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["float.pth"]
