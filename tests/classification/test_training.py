"""Train mode: outputs, auxiliary ones too, running statistics and gradients are the published models'."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import flatten, output_problems, read_reference
from reference.cases import inputs
from reference.fill import fill_
from torch import nn

import zoo
from zoo.nn import StochasticDepth

REFERENCE = read_reference("train_classification")


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout | StochasticDepth):
            module.p = 0.0
    return model


@pytest.mark.parametrize("name", REFERENCE)
def test_training_step_is_the_published_one(name: str) -> None:
    want = REFERENCE[name]
    model = without_dropout(fill_(zoo.get_model(name, **want["kwargs"]))).train()
    (image,) = inputs(name, "classification")
    outputs = flatten(model(torch.cat([image, image.flip(-1)])))
    sum(output.square().mean() for output in outputs.values()).backward()

    assert output_problems(outputs, want["train"], tolerance=2e-3) == []
    state = model.state_dict()
    for key, (mean, std) in want["running_stats"].items():
        got = state[key].double()
        assert got.mean().item() == pytest.approx(mean, rel=1e-3, abs=1e-3 * std + 1e-6), key
        assert got.std().item() == pytest.approx(std, rel=1e-3, abs=1e-6), key
    assert all(buffer.item() == 1 for key, buffer in state.items() if key.endswith("num_batches_tracked"))
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    assert set(gradients) == set(want["grad_norms"])
    top = max(want["grad_norms"].values())
    for key, norm in want["grad_norms"].items():
        assert gradients[key].norm().item() == pytest.approx(norm, rel=1e-2, abs=1e-5 * top), key


@pytest.mark.parametrize(("name", "fields"), [("googlenet", "GoogLeNetOutputs"), ("inception_v3", "InceptionOutputs")])
def test_auxiliary_outputs_are_named(name: str, fields: str) -> None:
    import zoo_classification

    with torch.device("meta"):
        model = zoo.get_model(name, num_classes=5)
        outputs = model(torch.empty(2, 3, 299, 299))
        plain = zoo.get_model(name, num_classes=5, aux_logits=False)(torch.empty(2, 3, 299, 299))
    assert type(outputs) is getattr(zoo_classification, fields)
    assert set(outputs._fields) == set(REFERENCE[name]["train"])
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
