"""Every weights entry has the published description, and the entry in the package has the stated metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from published import PublishedWeights

import zoo


class TestWeights(PublishedWeights):
    family = namespace = "optical_flow"
    more_entries = ("Raft_Small_Weights.SHAPES_V1",)
    missing = "raft_tiny"

    def public_names(self) -> Mapping[str, str]:
        names: Mapping[str, str] = self.plugin.PUBLIC
        return names

    def check_entry(self, entry: Any, want: Mapping[str, Any]) -> None:
        assert want["transforms"] == {"preset": "OpticalFlow"}

    def test_models_are_found_by_task(self) -> None:
        assert zoo.list_models(task="optical-flow", plugin="optical_flow") == sorted(self.models)
        assert [spec.name for spec in self.plugin.zoo_manifest().models] == self.models


def test_the_file_in_the_package_is_small_and_named_by_its_hash() -> None:
    entry = zoo.get_weight("Raft_Small_Weights.SHAPES_V1")
    path = zoo.files.fetch(entry.url)
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:8] == path.stem.rpartition("-")[2]
    assert path.stat().st_size / 2**20 == pytest.approx(entry.value.file_size, abs=1e-3)
    assert path.stat().st_size <= 4 * 2**20
    figures = entry.value.metrics["Generated shapes"]
    assert figures["epe"] <= figures["zero_flow_epe"] / 3
    model = zoo.get_model("raft_small", weights=entry)
    assert sum(p.numel() for p in model.parameters()) == entry.value.num_params
