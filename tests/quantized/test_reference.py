"""Every model equals the published one: layout, initialisation and outputs in float; layout and outputs in int8."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from helpers import crc32, initialisation_problems, layout, models_of, read_reference, reference_layout
from int8_files import prepared_for_training
from published import PublishedModels
from reference.cases import build_kwargs, inputs
from reference.fill import fill_
from torch import nn

import zoo
from zoo_quantized import eager

MODELS = models_of("quantized")
LARGE = ("quantized_inception_v3", "quantized_resnet50", "quantized_resnext101_32x8d", "quantized_resnext101_64x4d")
SMALL = ("quantized_mobilenet_v3_large", "quantized_shufflenet_v2_x0_5")  # in int8: one of each backend

pytestmark = pytest.mark.usefixtures("one_thread")


class TestFloatModels(PublishedModels):
    family = "quantized"
    slow = {"test_model_is_the_published_one": LARGE}  # noqa: RUF012

    def arguments(self, name: str) -> dict[str, Any]:
        return build_kwargs(name, "quantized")

    def test_layout_is_the_published_one(self, model_name: str) -> None:
        with torch.device("meta"):
            assert layout(zoo.get_model(model_name)) == reference_layout(model_name)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_initialisation_starts_from_the_published_numbers(name: str) -> None:
    init = read_reference("init_quantized")[name]
    twin = name.removeprefix("quantized_")
    torch.manual_seed(0)
    model = zoo.get_model(name)
    torch.manual_seed(0)
    assert crc32(model.state_dict().values()) == crc32(zoo.get_model(twin).state_dict().values())
    assert initialisation_problems(model, init["stats"]) == []


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in SMALL)) for n in MODELS])
def test_int8_is_the_published_one_step_by_step(name: str) -> None:
    """The workflow of torch.ao: fuse_model, a qconfig, prepare, one pass, convert."""
    golden = read_reference(f"golden/{name}")
    model = fill_(zoo.get_model(name, **build_kwargs(name, "quantized"))).eval()
    given = inputs(name, "quantized")
    with torch.no_grad(), warnings.catch_warnings(), eager.using(golden["int8_backend"]):
        warnings.simplefilter("ignore")
        quantization = torch.ao.quantization
        model.fuse_model()
        assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        model.qconfig = quantization.get_default_qconfig(golden["int8_backend"])
        quantization.prepare(model, inplace=True)
        model(*given)
        quantization.convert(model, inplace=True)
        got = model(*given)
    have = [
        [n, list(t.shape), str(t.dtype).removeprefix("torch.")] if torch.is_tensor(t) else [n, None, type(t).__name__]
        for n, t in model.state_dict().items()
    ]
    assert have == golden["int8_layout"]
    # A value between two steps may be rounded to either on another processor, which changes later values.
    want = golden["int8_eval"]["out"]
    values = torch.tensor(want["values"])
    off = (got.flatten()[:: want["step"]][: len(values)] - values).abs() / want["std"]
    assert off.mean() < 0.05
    assert off.max() < 0.3


def test_quantization_aware_training_has_the_published_state() -> None:
    """The layout of MobileNetV3's file, and a training step in it."""
    entry = "MobileNet_V3_Large_QuantizedWeights.IMAGENET1K_QNNPACK_V1"
    with prepared_for_training() as model:
        before = copy.deepcopy(model.state_dict())
        model(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert model.features[0][0].weight.grad.abs().sum() > 0
    assert list(before) == [row[0] for row in read_reference("int8_files")[entry]["file"]]
