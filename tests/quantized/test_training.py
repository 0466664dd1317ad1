"""Quantization-aware training: models that round like their int8 form."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
import zoo_quantized
from zoo.errors import InvalidArgument
from zoo_quantized import eager, training

NAMES = ("quantized_shufflenet_v2_x0_5", "quantized_resnet18", "quantized_mobilenet_v2", "quantized_mobilenet_v3_large")


def trained(name: str, steps: int = 4, **given: Any) -> Any:
    torch.manual_seed(0)
    model = zoo.get_model(name, num_classes=4, quantize=False, **given).train()
    model.prepare_qat()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(steps):
        model(torch.randn(4, 3, 64, 64)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.parametrize("name", NAMES)
def test_the_int8_model_gives_what_training_saw_and_is_kept_by_save(name: str, tmp_path: Path) -> None:
    model = trained(name)
    picture = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        rounding, int8 = model(picture), model.to_int8()
        plain = training.converted(model, to_reference=True)
        # an occasional error of one step per layer, accumulated over all layers of an untrained model
        step = plain.fc.scale if hasattr(plain, "fc") else plain.classifier[-1].scale
        for made in (int8, plain):
            assert ((made(picture) - rounding).abs() / step).mean() < 4
            again = zoo.load(zoo.save(made, tmp_path / "int8.safetensors")).eval()
            assert (again.engine, again.backend) == (made.engine, made.backend)
            assert torch.equal(again(picture), made(picture))
    assert not [key for key in int8.state_dict() if training.ROUNDING in key]
    assert isinstance(model.get_submodule("quant.fake_quantize"), training.FakeQuantize), "the model is not modified"


def test_parameters_and_names_stay_and_copies_round_too() -> None:
    model = zoo.get_model(NAMES[0], num_classes=3, quantize=False)
    before = dict(model.named_parameters())
    model.prepare_qat()
    assert {name: id(p) for name, p in model.named_parameters()} == {name: id(p) for name, p in before.items()}
    model.train()(torch.randn(4, 3, 64, 64))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        picture = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(other.eval()(picture), model.eval()(picture))
        norm = other.get_submodule("conv1.0").norms[0]
        assert norm is other.get_submodule("conv1.1"), "not the norm of the model that was copied"
    with pytest.raises(InvalidArgument, match="already quantized"):
        model.prepare_qat()
    with pytest.raises(InvalidArgument, match="was not prepared"):
        zoo.get_model(NAMES[0], num_classes=3, quantize=False).to_int8()


def test_gradients_pass_through_the_rounding() -> None:
    model = trained(NAMES[1], steps=0).train()
    model(torch.randn(4, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert sum((p.grad != 0).double().mean() for p in model.parameters()) > 0.5 * len(list(model.parameters()))


@pytest.mark.parametrize("backend", ["x86", "qnnpack"])
def test_steps_of_weights_and_activations_are_those_of_the_backend(backend: str) -> None:
    model = trained(NAMES[1], backend=backend)
    conv, rounding = model.conv1, model.get_submodule("relu.fake_quantize")
    with torch.no_grad():
        out = rounding(torch.linspace(-9, 9, 9999))
    assert len(out.unique()) <= eager.LARGEST[backend] + 1
    scale = conv.rounded().flatten(1).abs()
    assert all(len(row.unique()) <= 129 for row in scale)
    layer = model.to_int8().conv1
    assert layer.weight().dtype == torch.qint8


def test_a_quantized_copy_of_a_float_model_is_kept_by_save(tmp_path: Path) -> None:
    model = zoo.get_model(NAMES[0], num_classes=3, quantize=False).eval()
    picture = torch.randn(2, 3, 64, 64)
    for backend in ("fbgemm", "reference"):
        int8 = zoo_quantized.quantize(model, [torch.randn(4, 3, 64, 64)], backend=backend, progress=False)
        again = zoo.load(zoo.save(int8, tmp_path / "int8.safetensors", categories=["a", "b", "c"])).eval()
        assert torch.equal(again(picture), int8(picture))
    assert isinstance(zoo.load(zoo.save(model, tmp_path / "float.safetensors")).fc, nn.Linear)
