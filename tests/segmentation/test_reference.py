"""Every segmentation model equals the published one in layout, initialisation, outputs, training steps and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from helpers import layout, read_reference, reference_layout
from published import PublishedModels, PublishedSettings, PublishedTraining, settings
from torch import nn

import zoo


class TestModels(PublishedModels, PublishedSettings, PublishedTraining):
    family = "segmentation"
    slow = {"test_model_is_the_published_one": ["deeplabv3_resnet101", "fcn_resnet101"]}  # noqa: RUF012

    def arguments(self, name: str) -> dict[str, Any]:
        return {"weights_backbone": None}

    def case(self, model: nn.Module, name: str) -> tuple[nn.Module, Mapping[str, Any]]:
        """The model with its auxiliary classifier, if it has one: it adds an output and does not change the other."""
        model, golden = super().case(model, name)
        weights = zoo.get_model_weights(name).DEFAULT
        if "aux_loss" not in weights.value.config:
            return model, golden
        with_auxiliary = read_reference("weights_builds_segmentation")[repr(weights)]["eval"]
        return zoo.get_model(name, **self.arguments(name), **weights.value.config), {**with_auxiliary, **golden}

    def test_layout_and_settings_without_weights(self, model_name: str) -> None:
        want = read_reference("weights_builds_segmentation")[repr(zoo.get_model_weights(model_name).DEFAULT)]
        assert (want["removed"], want["changed"]) == ([], {}), "weights add to the layout and change nothing"
        with torch.device("meta"):
            plain = zoo.get_model(model_name)
        assert layout(plain) == reference_layout(model_name)
        assert settings(plain, want["plain_attrs"]) == want["plain_attrs"]
