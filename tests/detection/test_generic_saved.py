"""Detectors on a named backbone can be saved and loaded."""

from __future__ import annotations

import pytest
import torch

import zoo


@pytest.mark.parametrize("name", ["fasterrcnn", "retinanet"])
def test_a_detector_on_a_named_backbone_is_loaded_again(name, tmp_path):
    options = {"backbone": "resnet18", "num_classes": 3, "min_size": 64, "max_size": 64, "frozen_norm": True}
    model = zoo.get_model(name, **options).eval()
    zoo.save(model, tmp_path / "d.safetensors", transforms=zoo.Preset("zoo.transforms:ObjectDetection"))
    again = zoo.load(tmp_path / "d.safetensors").eval()
    ours, theirs = model.state_dict(), again.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    zoo.pipeline(tmp_path / "d.safetensors")
    torch.save(ours, tmp_path / "d.pth")
    bare = zoo.get_model(name, **options, weights=tmp_path / "d.pth").state_dict()
    assert all(torch.equal(ours[key], bare[key]) for key in ours)
