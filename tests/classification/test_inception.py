"""Inception v3: its auxiliary head, and the minimum size of images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import zoo
from zoo.errors import InvalidArgument
from zoo_classification.inception import InceptionOutputs, inception_v3
from zoo_classification.weights.inception import Inception_V3_Weights


def test_training_returns_the_auxiliary_logits_by_name() -> None:
    model = inception_v3(init_weights=False, num_classes=7).train()
    out = model(torch.rand(2, 3, 299, 299))
    assert isinstance(out, InceptionOutputs)
    assert out._fields == ("logits", "aux_logits")
    assert {tuple(t.shape) for t in out} == {(2, 7)}
    with pytest.raises(InvalidArgument, match="at least 299×299"):  # the auxiliary head needs its full grid
        model(torch.rand(2, 3, 298, 299))
    assert model.eval()(torch.rand(1, 3, 75, 75)).shape == (1, 7)
    with pytest.raises(InvalidArgument, match="at least 75×75"):
        model(torch.rand(1, 3, 74, 75))


def test_without_the_auxiliary_head_small_images_train(tmp_path: Path) -> None:
    file = tmp_path / "inception.pth"
    state = inception_v3(init_weights=False).state_dict()
    torch.save({k: torch.full((), 0.01, dtype=t.dtype).expand(t.shape) for k, t in state.items()}, file)
    published = dataclasses.replace(Inception_V3_Weights.DEFAULT.value, url=file.as_uri())

    assert inception_v3(weights=published).AuxLogits is not None
    model = inception_v3(weights=published, aux_logits=False).train()

    assert model.AuxLogits is None
    assert model.transform_input
    assert any(k.startswith("AuxLogits.") for k in zoo.load_report(model).ignored)
    assert model(torch.rand(2, 3, 107, 107)).shape == (2, 1000)
