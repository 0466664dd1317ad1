"""Every family: arguments are inferred from the shapes of a bare state dict, so that a tuned model only needs its
file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from zoo.loading.without_memory import filled_by_file

CLASSES = 3


def families() -> list[str]:
    """The smallest model of each module with builders."""
    smallest: dict[str, tuple[float, str]] = {}
    for entry in zoo.registry.registry().entries.values():
        if entry.plugin.first_party:
            module, _, _ = entry.spec.builder.partition(":")
            facts = entry.spec.parameters or float("inf"), entry.full_name
            smallest[module] = min(smallest.get(module, facts), facts)
    return sorted(name for _, name in smallest.values())


def state_of(name: str, **config: Any) -> dict[str, Any]:
    """A state dict of that model with three classes; its parameters are zeros, so that nothing is initialised."""
    takes = inspect.signature(zoo.get_model_builder(name)).parameters
    config |= {key: value for key, value in {"weights_backbone": None, "init_weights": False}.items() if key in takes}
    with filled_by_file():
        state = zoo.get_model(name, **config).state_dict()
    return {
        key: torch.zeros(value.shape, dtype=value.dtype) if isinstance(value, Tensor) and value.is_meta else value
        for key, value in state.items()
    }


def shapes(state: dict[str, Any]) -> dict[str, torch.Size]:
    """The entries that training changes: frozen norms of a detector loaded from a file do not count batches."""
    return {
        key: value.shape
        for key, value in state.items()
        if isinstance(value, Tensor) and not key.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("name", families())
def test_the_head_of_every_family_is_told_by_its_file(name: str, tmp_path: Path) -> None:
    has_classes = "optical-flow" not in zoo.model_info(name).tasks
    state = state_of(name, **({"num_classes": CLASSES} if has_classes else {}))
    torch.save(state, tmp_path / "bare.pth")
    again = zoo.get_model(name, weights=tmp_path / "bare.pth")
    found, want = shapes(again.state_dict()), shapes(state)
    if zoo.model_info(name).plugin == "quantized":  # which omit auxiliary classifiers when loaded
        want = {key: shape for key, shape in want.items() if not key.lower().startswith("aux")}
    assert found == want
    if has_classes:
        assert again._built_with.arguments["num_classes"] == CLASSES


@pytest.mark.parametrize(
    "config",
    [
        {"aspect_ratios": [[2]] * 6},
        {"aspect_ratios": [[2], [2, 3], [2, 3], [2, 3], [2], [2]], "width_mult": 0.5, "reduced_tail": False},
        {"aspect_ratios": [[]] * 6, "reduced_tail": True},
    ],
)
def test_the_anchors_of_ssdlite_are_told_as_far_as_shapes_say(config: dict[str, Any], tmp_path: Path) -> None:
    name = "ssdlite320_mobilenet_v3_large"
    state = state_of(name, num_classes=CLASSES, **config)
    torch.save(state, tmp_path / "bare.pth")
    again = zoo.get_model(name, weights=tmp_path / "bare.pth")
    assert shapes(again.state_dict()) == shapes(state)
    assert again.anchor_generator.aspect_ratios == config["aspect_ratios"]


def test_anchors_that_shapes_do_not_tell_are_said_by_the_caller(tmp_path: Path) -> None:
    name, ratios = "ssdlite320_mobilenet_v3_large", [[2, 3, 4]] * 6
    state = state_of(name, num_classes=CLASSES, aspect_ratios=ratios)
    torch.save(state, tmp_path / "bare.pth")
    again = zoo.get_model(name, weights=tmp_path / "bare.pth", aspect_ratios=ratios)
    assert shapes(again.state_dict()) == shapes(state)
    with pytest.raises(zoo.errors.CheckpointError, match="of another shape in the file"):
        zoo.get_model(name, weights=tmp_path / "bare.pth")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("mobilenet_v2", {"width_mult": 0.35}),
        ("mobilenet_v2", {"width_mult": 1.4, "in_channels": 1}),
        ("mobilenet_v3_large", {"width_mult": 0.5, "reduced_tail": True}),
        ("mobilenet_v3_large", {"reduced_tail": True}),
        ("mobilenet_v3_small", {"width_mult": 0.33}),
        ("mobilenet_v3_small", {"width_mult": 2.0}),
        ("lraspp_mobilenet_v3_large", {"width_mult": 0.5}),
        ("ssdlite320_mobilenet_v3_large", {"width_mult": 0.75, "reduced_tail": True}),
        ("googlenet", {"aux_logits": False}),
        ("inception_v3", {"aux_logits": False}),
        ("deeplabv3_mobilenet_v3_large", {"width_mult": 0.75, "aux_loss": True}),
        ("resnet18", {"in_channels": 4}),
        ("convnext_tiny", {"in_channels": 1}),
        ("vit_b_32", {"in_channels": 2, "image_size": 64}),
        ("r3d_18", {"in_channels": 1}),
        ("fcn_resnet50", {"in_channels": 5}),
    ],
)
def test_width_tail_and_channels_are_told_by_shapes(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    state = state_of(name, num_classes=CLASSES, **config)
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "bare.pth")
    again = zoo.get_model(name, weights=tmp_path / "bare.pth")
    assert shapes(again.state_dict()) == shapes(state)
    assert {key: again._built_with.arguments[key] for key in config} == config


@pytest.mark.parametrize("argument", ["width_mult", "in_channels"])
def test_what_the_caller_says_holds(argument: str, tmp_path: Path) -> None:
    torch.save(state_of("mobilenet_v2", width_mult=0.5, in_channels=1), tmp_path / "bare.pth")
    with pytest.raises(zoo.errors.CheckpointError, match="another shape"):
        zoo.get_model("mobilenet_v2", weights=tmp_path / "bare.pth", **{argument: 2})
