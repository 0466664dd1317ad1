"""GoogLeNet: auxiliary heads in training and in the published file, and the scale of its input."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch

import zoo
from zoo.errors import WeightsWarning
from zoo_classification.googlenet import GoogLeNetOutputs, googlenet
from zoo_classification.weights.googlenet import GoogLeNet_Weights


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> zoo.Weights:
    """The published entry with a small file: every tensor is one number, expanded."""
    file = tmp_path_factory.mktemp("googlenet") / "googlenet.pth"
    state = googlenet(init_weights=False).state_dict()
    torch.save({k: torch.full((), 0.01, dtype=t.dtype).expand(t.shape) for k, t in state.items()}, file)
    return dataclasses.replace(GoogLeNet_Weights.DEFAULT.value, url=file.as_uri())


def test_training_returns_the_auxiliary_logits_by_name() -> None:
    model = googlenet(init_weights=False, num_classes=7).train()
    x = torch.rand(2, 3, 64, 64)
    out = model(x)
    assert isinstance(out, GoogLeNetOutputs)
    assert out._fields == ("logits", "aux_logits2", "aux_logits1")
    assert {tuple(t.shape) for t in out} == {(2, 7)}
    assert model.eval()(x).shape == (2, 7)
    assert googlenet(init_weights=False, aux_logits=False, num_classes=7).train()(x).shape == (2, 7)


def test_published_weights_come_without_auxiliary_heads(published: zoo.Weights) -> None:
    model = googlenet(weights=published)
    assert model.aux1 is None
    assert model.transform_input
    assert any(k.startswith("aux1.") for k in zoo.load_report(model).ignored)
    assert sum(p.numel() for p in model.parameters()) == published.num_params


def test_auxiliary_heads_kept_are_said_to_be_untrained(published: zoo.Weights) -> None:
    with pytest.warns(WeightsWarning, match="not trained"):
        model = googlenet(weights=published, aux_logits=True)
    assert model.aux1.fc1.weight[0, 0].item() == pytest.approx(0.01)  # the values of the file


def test_a_file_of_ones_own_loads_without_that_warning(published: zoo.Weights) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = googlenet(weights=published.url)
    assert model.aux1 is not None
    assert not model.transform_input


def test_transform_input_changes_the_normalisation() -> None:
    expects_half = googlenet(init_weights=False, aux_logits=False).eval()
    expects_imagenet = googlenet(init_weights=False, aux_logits=False, transform_input=True).eval()
    expects_imagenet.load_state_dict(expects_half.state_dict())
    picture = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    imagenet = (picture - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(expects_imagenet(imagenet), expects_half(picture * 2 - 1), rtol=1e-4, atol=1e-5)
