"""Every weights entry of the nine published models is described as it was published."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from helpers import models_of, read_reference

import zoo
from zoo_video.plugin import public_names, zoo_manifest

MODELS = models_of("video")
OURS = ("mc3_tiny",)  # beyond the published ones
REFERENCE = {name: entry for name, entry in read_reference("weights").items() if entry["model"] in MODELS}


def test_manifest_has_every_published_model() -> None:
    specs = {spec.name: spec for spec in zoo_manifest().models}
    assert sorted(specs) == sorted([*MODELS, *OURS])
    for name in MODELS:
        published, spec = read_reference("models")[name], specs[name]
        assert spec.builder.endswith(f":{published['builder']}")
        assert spec.weights.__name__ == published["weights"]
        assert spec.weights.DEFAULT is spec.weights[published["default"]]
        assert spec.paper.count("https://arxiv.org/abs/") == 1
    assert zoo.list_models(task="video-classification") == sorted(specs)


def test_every_published_entry_is_there_in_order() -> None:
    ours: dict[str, list[str]] = {}
    for name in MODELS:
        ours |= {enum.__name__: [e.name for e in enum] for enum in [zoo.get_model_weights(name)]}
    published: dict[str, list[str]] = {}
    for name in REFERENCE:
        enum, _, member = name.partition(".")
        published.setdefault(enum, []).append(member)
    assert ours == published


@pytest.mark.parametrize("name", REFERENCE)
def test_entry_has_the_published_facts(name: str) -> None:
    want, entry = REFERENCE[name], zoo.get_weight(name)
    assert entry.url == want["url"]
    assert entry.value.num_params == want["num_params"]
    assert entry.value.metrics == want["_metrics"]
    assert entry.value.gflops == want["_ops"]
    assert entry.value.file_size == want["_file_size"]
    assert entry.value.recipe == want["recipe"]
    assert entry.value.license == want.get("license", "unknown")
    assert entry.value.min_size == tuple(want["min_size"])
    assert entry.value.config == {"num_classes": 400}
    assert entry.value.docs
    assert entry.meta.get("min_temporal_size") == want.get("min_temporal_size")
    assert entry.meta["categories"] == read_reference("categories")[want["categories"]]
    assert {key: entry.meta[key] for key in ("num_params", "_ops", "_file_size", "recipe")} == {
        key: want[key] for key in ("num_params", "_ops", "_file_size", "recipe")
    }
    members = zoo.get_model_weights(want["model"]).__members__
    assert {alias for alias, member in members.items() if member is entry} == {entry.name, *want["aliases"]}


@pytest.mark.parametrize("name", REFERENCE)
def test_entry_builds_the_published_preprocessing(name: str) -> None:
    want = REFERENCE[name]["transforms_resolved"]
    preset: Any = zoo.get_weight(name).transforms()
    assert type(preset) is zoo.transforms.VideoClassification
    assert list(preset.crop_size) == want["crop_size"]
    assert list(preset.resize_size) == want["resize_size"]
    assert (list(preset.mean), list(preset.std)) == (want["mean"], want["std"])
    assert preset.interpolation.name == want["interpolation"].removeprefix("InterpolationMode.")


def test_table_is_the_one_that_was_published() -> None:
    """The documentation's table of all weights: accuracies, parameters, GFLOPS and recipe of each row, as printed."""
    rows = read_reference("table_video")
    assert {row["weights"] for row in rows} == set(REFERENCE)
    for row in rows:
        entry = zoo.get_weight(row["weights"]).value
        metrics = entry.metrics["Kinetics-400"]
        printed = {
            "weights": row["weights"],
            "acc@1": f"{metrics['acc@1']:g}",
            "acc@5": f"{metrics['acc@5']:g}",
            "params": f"{entry.num_params / 1e6:.1f}M",
            "gflops": f"{round(entry.gflops, 2):g}",
            "recipe": entry.recipe,
        }
        assert printed == row


@pytest.mark.parametrize("name", [*MODELS, *OURS])
def test_model_info_says_how_long_a_clip_must_be(name: str) -> None:
    """Models that take any number of frames say so, and take it; those that do not say which."""
    frames = zoo.model_info(name).input["num_frames"]
    with torch.device("meta"):
        model = zoo.get_model(name).eval()
        least = 13 if name == "s3d" else 1
        clips = {n: torch.empty(1, 3, n, 224, 224) for n in (least, 16, 23)}
    if isinstance(frames, int):
        assert model(clips.pop(frames)).shape == (1, 400)
        for clip in clips.values():
            with pytest.raises(ValueError, match=f"this model takes {frames} of 224×224"):
                model(clip)
    else:
        assert frames.startswith("any")
        for clip in clips.values():
            assert model(clip).shape == (1, 400)


def test_names_are_there_without_torch() -> None:
    """Weights, the manifest and the list of names, in a Python where importing torch fails."""
    code = """
import sys
for blocked in ("torch", "numpy", "PIL", "av", "safetensors", "huggingface_hub", "typer", "rich"):
    sys.modules[blocked] = None
import zoo_video
from zoo_video import R3D_18_Weights, MViT_V2_S_Weights
from zoo_video.plugin import public_names, zoo_manifest
assert len(zoo_manifest().models) == 10
assert len(R3D_18_Weights.KINETICS400_V1.meta["categories"]) == 400
assert set(public_names()) <= set(dir(zoo_video))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported_from_the_package() -> None:
    import zoo_video

    for name, module in public_names().items():
        assert getattr(zoo_video, name).__module__ == module, name
        assert getattr(zoo.models.video, name) is getattr(zoo_video, name), name
    with pytest.raises(AttributeError, match="no attribute 'r3d_19'"):
        zoo_video.r3d_19  # noqa: B018


@pytest.mark.parametrize("first", ["import zoo_video.s3d", "from zoo_video import s3d"])
def test_s3d_stays_the_builder_whichever_is_imported_first(first: str) -> None:
    code = f"""
{first}
import importlib, zoo_video
module = importlib.import_module("zoo_video.s3d")
assert zoo_video.s3d is module.s3d and callable(zoo_video.s3d)
from zoo_video.s3d import S3D
"""
    subprocess.run([sys.executable, "-c", code], check=True)
