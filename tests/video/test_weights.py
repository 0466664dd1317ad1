"""Every weights entry of the nine published models has the published description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from helpers import models_of
from published import PublishedTable, PublishedWeights

import zoo

OURS = ("mc3_tiny",)  # in addition to the published ones


class TestWeights(PublishedWeights):
    family = namespace = "video"
    more_models = OURS
    like_their_modules = ("s3d",)
    missing = "r3d_19"
    without_torch = """
from zoo_video import R3D_18_Weights, MViT_V2_S_Weights
assert len(R3D_18_Weights.KINETICS400_V1.meta["categories"]) == 400
"""

    def check_entry(self, entry: Any, want: Mapping[str, Any]) -> None:
        assert entry.value.config == {"num_classes": 400}
        assert entry.meta.get("min_temporal_size") == want.get("min_temporal_size")

    def test_models_are_found_by_task(self) -> None:
        assert zoo.list_models(task="video-classification") == sorted([*self.models, *OURS])


class TestTable(PublishedTable):
    family = "video"
    dataset = "Kinetics-400"
    metrics = ("acc@1", "acc@5")


@pytest.mark.parametrize("name", [*models_of("video"), *OURS])
def test_model_info_says_how_long_a_clip_must_be(name: str) -> None:
    """Models that accept any number of frames state this and accept it; the others state their number."""
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
