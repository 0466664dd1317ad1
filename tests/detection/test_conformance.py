"""The detectors pass the conformance kit that plugin authors use."""

from __future__ import annotations

from typing import Any

import pytest

import zoo.testing

# Small pictures, except for detectors with a fixed size; few regions and few objects.
SMALL: dict[str, Any] = {"min_size": 96, "max_size": 128}
FEW: dict[str, Any] = {
    **SMALL,
    "rpn_post_nms_top_n_train": 32,
    "rpn_post_nms_top_n_test": 32,
    "box_batch_size_per_image": 16,
    "box_detections_per_img": 4,
}
FEW_ON_ANY, SMALL_ON_ANY = ({"backbone": "mobilenet_v3_small", **config} for config in (FEW, SMALL))
TWO_STAGES = (
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "keypointrcnn_resnet50_fpn",
)
ONE_STAGE = ("fcos_resnet50_fpn", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2")


class TestDetection(zoo.testing.PluginConformance):
    plugin = "detection"
    tiny = {  # noqa: RUF012
        **dict.fromkeys(TWO_STAGES, FEW),
        **dict.fromkeys(ONE_STAGE, SMALL),
        **dict.fromkeys(("fasterrcnn", "maskrcnn", "keypointrcnn"), FEW_ON_ANY),
        **dict.fromkeys(("fcos", "retinanet"), SMALL_ON_ANY),
    }


@pytest.mark.slow
class TestDetectionInFull(TestDetection):
    tier = "full"
