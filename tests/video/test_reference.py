"""Every video model equals the published one in layout, initialisation, outputs and training, and can be adapted as
documented."""

from __future__ import annotations

from collections.abc import Mapping

from published import PublishedBends, PublishedModels, PublishedSettings, PublishedTraining

import zoo

# Number of frames and side of the smallest clips, where there is a minimum; otherwise 9 and 40.
SMALLEST = {"s3d": (14, 224, 224), "mvit_v1_b": (16, 224, 224), "mvit_v2_s": (16, 224, 224)}


class TestModels(PublishedModels, PublishedSettings, PublishedBends, PublishedTraining):
    family = "video"
    num_classes = 400
    without_stages = ("mvit_v1_b", "mvit_v2_s")  # a class token does not fit into a feature map
    slow = {  # noqa: RUF012
        "test_model_is_the_published_one": ["mvit_v1_b", "swin3d_b", "swin3d_s"],  # a smaller variant of each is tested
        "test_training_step_is_the_published_one": ["s3d"],
    }

    def smallest(self, name: str) -> tuple[int, ...]:
        return SMALLEST.get(name, (9, 40, 40))

    def check_stage(self, stage: zoo.Stage, sizes: Mapping[str, int], side: int) -> None:
        assert sizes["H"] == sizes["W"] == -(-side // stage.stride), stage
