"""Train mode: outputs, auxiliary outputs, running statistics and gradients equal the published models'."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import read_reference
from published import PublishedTraining
from reference.cases import inputs
from reference.fill import fill_
from torch import nn

import zoo
from zoo.nn import StochasticDepth


class TestTraining(PublishedTraining):
    family = "classification"


@pytest.mark.parametrize(("name", "fields"), [("googlenet", "GoogLeNetOutputs"), ("inception_v3", "InceptionOutputs")])
def test_auxiliary_outputs_are_named(name: str, fields: str) -> None:
    import zoo_classification

    with torch.device("meta"):
        model = zoo.get_model(name, num_classes=5)
        outputs = model(torch.empty(2, 3, 299, 299))
        plain = zoo.get_model(name, num_classes=5, aux_logits=False)(torch.empty(2, 3, 299, 299))
    assert type(outputs) is getattr(zoo_classification, fields)
    assert set(outputs._fields) == set(read_reference("train_classification")[name]["train"])
    assert {tuple(output.shape) for output in outputs} == {(2, 5)}
    assert isinstance(plain, torch.Tensor)
    assert isinstance(model.eval()(torch.empty(2, 3, 299, 299, device="meta")), torch.Tensor)


def random_parts(model: nn.Module) -> set[Any]:
    return {type(m) for m in model.modules() if isinstance(m, nn.Dropout | StochasticDepth) and m.p > 0}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("alexnet", {nn.Dropout}),
        ("efficientnet_b0", {nn.Dropout, StochasticDepth}),
        ("convnext_tiny", {StochasticDepth}),
        ("swin_t", {StochasticDepth}),
        ("maxvit_t", {StochasticDepth}),
        ("mobilenet_v3_small", {nn.Dropout}),
        ("resnet18", set()),
    ],
)
def test_chance_is_at_work_in_training_alone(name: str, parts: set[Any]) -> None:
    torch.manual_seed(0)
    model = fill_(zoo.get_model(name))
    assert random_parts(model) == parts
    x = inputs(name, "classification")[0].repeat(2, 1, 1, 1)
    with torch.no_grad():
        trained = [model.train()(x) for _ in range(2)]
        evaluated = [model.eval()(x) for _ in range(2)]
    assert torch.equal(*trained) == (not parts)
    assert torch.equal(*evaluated)
