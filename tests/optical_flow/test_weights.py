"""Every weights entry is described as it was published, and the one in the package is what it says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import models_of, read_reference

import zoo
import zoo_optical_flow
from zoo_optical_flow.plugin import PUBLIC, zoo_manifest

MODELS = models_of("optical_flow")
REFERENCE = {name: entry for name, entry in read_reference("weights").items() if entry["model"] in MODELS}


def test_manifest_has_both_models() -> None:
    specs = {spec.name: spec for spec in zoo_manifest().models}
    assert sorted(specs) == sorted(MODELS) == zoo.list_models(task="optical-flow", plugin="optical_flow")
    for name, spec in specs.items():
        published = read_reference("models")[name]
        assert spec.builder.endswith(f":{published['builder']}")
        assert spec.weights.__name__ == published["weights"]
        assert spec.weights.DEFAULT is spec.weights[published["default"]]


def test_every_published_entry_is_there_in_order() -> None:
    ours = [repr(entry) for spec in zoo_manifest().models for entry in spec.weights]
    assert [name for name in ours if name != "Raft_Small_Weights.SHAPES_V1"] == list(REFERENCE)


@pytest.mark.parametrize("name", REFERENCE)
def test_entry_has_the_published_facts(name: str) -> None:
    want, entry = REFERENCE[name], zoo.get_weight(name)
    value = entry.value
    assert (value.url, value.num_params, value.metrics) == (want["url"], want["num_params"], want["_metrics"])
    assert (value.gflops, value.file_size, value.recipe) == (want["_ops"], want["_file_size"], want["recipe"])
    assert value.min_size == tuple(want["min_size"])
    assert value.license == want.get("license", "unknown")
    assert want["transforms"] == {"preset": "OpticalFlow"}
    assert type(entry.transforms()) is zoo.transforms.OpticalFlow
    aliases = {a for a, member in type(entry).__members__.items() if member is entry}
    assert aliases == {entry.name, *want["aliases"]}


def test_the_file_in_the_package_is_small_and_named_by_its_hash() -> None:
    import hashlib

    entry = zoo.get_weight("Raft_Small_Weights.SHAPES_V1")
    path = zoo.files.fetch(entry.url)
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:8] == path.stem.rpartition("-")[2]
    assert path.stat().st_size / 2**20 == pytest.approx(entry.value.file_size, abs=1e-3)
    assert path.stat().st_size <= 4 * 2**20
    figures = entry.value.metrics["Generated shapes"]
    assert figures["epe"] <= figures["zero_flow_epe"] / 3
    model = zoo.get_model("raft_small", weights=entry)
    assert sum(p.numel() for p in model.parameters()) == entry.value.num_params


def test_names_are_public_and_where_torchvision_has_them() -> None:
    assert set(PUBLIC) <= set(dir(zoo_optical_flow))
    for name in PUBLIC:
        assert getattr(zoo_optical_flow, name).__name__ == name
    assert zoo.models.optical_flow.raft_small is zoo_optical_flow.raft_small
    assert zoo.models.optical_flow.Raft_Large_Weights is zoo_optical_flow.Raft_Large_Weights
    assert zoo.models.optical_flow.RAFT is zoo_optical_flow.RAFT
    with pytest.raises(AttributeError, match="raft_tiny"):
        zoo_optical_flow.raft_tiny  # noqa: B018


def test_describing_imports_no_torch() -> None:
    code = "import sys, zoo_optical_flow.plugin as p; p.zoo_manifest(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
