"""States of quantization-aware training, compared with torch's ``convert`` of the same model."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo_quantized import eager, states
from zoo_quantized.building import to_fit

NAME = "quantized_shufflenet_v2_x0_5"


def trained(engine: str, per_channel: bool, seed: int = 0) -> Any:
    """A model in the middle of quantization-aware training, whose channels' weights have very different ranges."""
    torch.manual_seed(seed)
    model = zoo.get_model(NAME, num_classes=5).train()
    with torch.no_grad(), warnings.catch_warnings(), eager.using(engine):
        warnings.simplefilter("ignore")
        quantization = torch.ao.quantization
        model.fuse_model()
        activation = quantization.get_default_qat_qconfig(engine).activation
        kind = quantization.default_fused_per_channel_wt_fake_quant if per_channel else (
            quantization.default_fused_wt_fake_quant
        )  # fmt: skip
        model.qconfig = quantization.QConfig(activation=activation, weight=kind)
        quantization.prepare_qat(model, inplace=True)
        for module in model.modules():
            if hasattr(module, "weight_fake_quant"):
                column = (-1, *[1] * (module.weight.ndim - 1))
                module.weight *= torch.logspace(0, -2, len(module.weight)).reshape(column)
        for _ in range(3):
            model(torch.randn(4, 3, 64, 64))
    return model


def converted(model: Any, engine: str) -> Any:
    with warnings.catch_warnings(), eager.using(engine):
        warnings.simplefilter("ignore")
        int8 = torch.ao.quantization.convert(copy.deepcopy(model).eval())
    int8.engine = engine
    return int8


@pytest.mark.parametrize("per_channel", [True, False], ids=["channels", "tensor"])
@pytest.mark.parametrize("engine", eager.ENGINES)
def test_scales_and_outputs_are_those_of_convert(engine: str, per_channel: bool, tmp_path: Path) -> None:
    if engine not in torch.backends.quantized.supported_engines:
        pytest.skip(f"torch has no {engine} here")
    model = trained(engine, per_channel)
    int8 = converted(model, engine)
    want, got = states.unpack(int8.state_dict()), states.from_observed(model.state_dict(), eps=1e-5)
    assert set(want) <= set(got)
    for name, value in want.items():
        if name.endswith(".weight"):  # folding batch norm rounds in a different order
            assert (got[name].int() - value.int()).abs().max() <= 1, name
        else:
            same = torch.allclose(got[name].double(), value.double().reshape(got[name].shape), rtol=1e-5, atol=1e-7)
            assert same, name
    torch.save(model.state_dict(), tmp_path / "qat.pth")
    x = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        out = int8(x)
        ours = zoo.get_model(NAME, weights=tmp_path / "qat.pth", num_classes=5, quantize=True, backend=engine)
        reference = zoo.get_model(NAME, weights=tmp_path / "qat.pth", num_classes=5, quantize="reference")
        assert (ours(x) - out).abs().max() <= 0.1 * out.std()
        assert (reference(x) - out).abs().max() <= 0.25 * out.std()  # onednn and QNNPACK round differently
    reduced = engine in ("fbgemm", "x86")
    scale = model.state_dict()["conv1.0.activation_post_process.scale"]
    ends = [
        model.state_dict()[f"conv1.0.activation_post_process.activation_post_process.{e}_val"] for e in ("min", "max")
    ]
    assert states.largest_integer(*ends, scale) == (127 if reduced else 255)


def test_channels_keep_their_own_ranges() -> None:
    weight = (
        torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
        * torch.logspace(0, -3, 4)[:, None, None, None]
    )
    low, high = weight.flatten(1).amin(1), weight.flatten(1).amax(1)
    fake = {"scale": torch.ones(4), "observer_enabled": torch.tensor([1])}
    observer = {"activation_post_process.min_val": low, "activation_post_process.max_val": high}
    state = {"c.weight": weight, "c.bias": torch.zeros(4), **states.prefixed("c.weight_fake_quant", fake | observer)}
    plain = states.from_observed(state, eps=1e-5)
    assert torch.allclose(plain["c.weight_scale"], torch.maximum(-low, high) / 127.5, rtol=1e-6)
    infinite = {k: torch.full_like(v, torch.inf) for k, v in observer.items()}  # prepared, and never run
    again = states.from_observed(state | states.prefixed("c.weight_fake_quant", infinite), eps=1e-5)
    assert torch.allclose(again["c.weight_scale"], plain["c.weight_scale"], rtol=1e-6)


def test_where_one_scale_tells_nothing_the_others_or_the_backend_do() -> None:
    state = trained("fbgemm", per_channel=True).state_dict()
    want = states.from_observed(state, eps=1e-5)["conv1.0.scale"]
    one = {"conv1.0.activation_post_process.scale": torch.ones(1)}
    assert states.from_observed(state | one, eps=1e-5)["conv1.0.scale"] == want
    scales = {n: torch.ones(1) for n in state if n.endswith(".activation_post_process.scale")}
    for backend, factor in (("fbgemm", 1.0), ("x86", 1.0), ("qnnpack", 127 / 255), ("onednn", 127 / 255)):
        model = zoo.get_model(NAME, num_classes=5, quantize="reference", backend=backend)
        assert to_fit(dict(state | scales), model)["conv1.0.scale"].item() == pytest.approx(want.item() * factor)
    # Without observations there are no ranges: every scale is 1.
    ends = {n: torch.tensor(v) for n in state for e, v in (("min", torch.inf), ("max", -torch.inf))
            if n.endswith(f".activation_post_process.activation_post_process.{e}_val")}  # fmt: skip
    assert states.from_observed(state | scales | ends, eps=1e-5)["conv1.0.scale"] == 1
