"""Every segmentation model is the published one: layout, initialisation, outputs, training steps, settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import (
    crc32,
    first_difference,
    flatten,
    initialisation_problems,
    layout,
    models_of,
    output_problems,
    read_reference,
    reference_layout,
)
from reference.cases import inputs
from reference.fill import fill_
from torch import nn

import zoo

MODELS = models_of("segmentation")
BUILDS = read_reference("weights_builds_segmentation")
TRAINING = read_reference("train_segmentation")

# What the random number generator of the machine that the reference was measured on gives; another processor or
# version of torch may round differently, and then no model can have the reference's numbers.
GENERATOR = 690042024


def generator_numbers() -> int:
    torch.manual_seed(0)
    fillers = (nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.kaiming_normal_)
    return crc32([fill(torch.empty(64, 40)) for fill in fillers])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if "resnet101" in n else n for n in MODELS])
def test_model_is_the_published_one(name: str) -> None:
    expected_generator = generator_numbers() == GENERATOR
    torch.manual_seed(0)
    model = zoo.get_model(name, weights_backbone=None)

    init = read_reference("init_segmentation")[name]
    assert initialisation_problems(model, init["stats"]) == []
    if expected_generator:  # all draw in the published order, so they start from the same numbers
        assert crc32(model.state_dict().values()) == init["seed0_crc32"]

    # With the auxiliary classifier, where there is one: it adds an output and leaves the other as it was.
    golden = read_reference(f"golden/{name}")["eval"]
    weights = zoo.get_model_weights(name).DEFAULT
    if "aux_loss" in weights.value.config:
        model = zoo.get_model(name, weights_backbone=None, **weights.value.config)
        golden = {**BUILDS[repr(weights)]["eval"], **golden}
    fill_(model).eval()
    given = inputs(name, "segmentation")
    with torch.no_grad():
        problems = output_problems(flatten(model(*given)), golden)
    if problems:
        problems.append(first_difference(model, given, name))
    assert problems == []


@pytest.mark.parametrize("name", MODELS)
def test_layout_and_what_weights_change_of_it(name: str) -> None:
    """On the meta device: what the published file is loaded into, with the auxiliary classifier and without."""
    entry = zoo.get_model_weights(name).DEFAULT
    want = BUILDS[repr(entry)]
    with torch.device("meta"):
        plain = zoo.get_model(name)
        loaded = zoo.get_model(name, weights=entry)
    assert layout(plain) == reference_layout(name)
    have = {n: [list(shape), dtype] for n, shape, dtype in layout(loaded)}
    assert have == {**{n: [list(shape), dtype] for n, shape, dtype in reference_layout(name)}, **want["added"]}
    assert (want["removed"], want["changed"]) == ([], {})
    for model, attrs in ((plain, want["plain_attrs"]), (loaded, want["attrs"])):
        assert sum(p.numel() for p in model.parameters()) == attrs["params"]
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == attrs["trainable_params"]
        assert model.training is attrs["training"]
    assert sum(p.numel() for p in loaded.parameters()) == entry.value.num_params


@pytest.mark.parametrize("name", TRAINING)
def test_training_step_is_the_published_one(name: str) -> None:
    want = TRAINING[name]
    model = fill_(zoo.get_model(name, **want["kwargs"])).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    (image,) = inputs(name, "segmentation")
    outputs = flatten(model(torch.cat([image, image.flip(-1)])))
    sum(output.square().mean() for output in outputs.values()).backward()

    assert output_problems(outputs, want["train"], tolerance=2e-3) == []
    state = model.state_dict()
    for key, (mean, std) in want["running_stats"].items():
        got = state[key].double()
        assert got.mean().item() == pytest.approx(mean, rel=1e-3, abs=1e-3 * std + 1e-6), key
        assert got.std().item() == pytest.approx(std, rel=1e-3, abs=1e-6), key
    gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    assert set(gradients) == set(want["grad_norms"])
    top = max(want["grad_norms"].values())
    for key, norm in want["grad_norms"].items():
        assert gradients[key].norm().item() == pytest.approx(norm, rel=1e-2, abs=1e-5 * top), key
