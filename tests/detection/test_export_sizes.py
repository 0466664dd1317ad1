"""Exported detectors with dynamic sizes, and in half precision: the model's detections at other sizes than the
example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from detection.test_export import SIZE, tiny
from PIL import Image
from reference.fill import images
from torch import Tensor

import zoo

TASKS = {"maskrcnn": "instance-segmentation", "keypointrcnn": "keypoint-detection"}
OTHERS = [SIZE, (128, 96), (80, 150), (111, 133)]  # the example's size, and others
SHAPES = Path(__file__).parents[2] / "examples/images/shapes.png"
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "file", "dynamic"),
    [
        ("fasterrcnn", "out.pt2", "height,width"),
        *(
            pytest.param(name, file, dynamic, marks=slow)
            for name in ("fasterrcnn", "maskrcnn", "keypointrcnn")
            for file in ("out.pt2", "out.onnx")
            for dynamic in ("height,width", "batch,height,width")
            if (name, file, dynamic) != ("fasterrcnn", "out.pt2", "height,width")
        ),
    ],
)
def test_rcnn_at_other_sizes_than_the_example(name: str, file: str, dynamic: str, tmp_path: Path) -> None:
    model: Any = tiny(name)
    least, model.roi_heads.score_thresh = model.roi_heads.score_thresh, 0.01  # detections at all of these sizes
    try:
        report = zoo.export(
            model, tmp_path / file, image_size=SIZE, dynamic=dynamic, task=TASKS.get(name, "object-detection")
        )
        opened, seen = zoo.get_model(report.path), 0
        for size in OTHERS:
            pictures = [images((3, *size), 0), images((3, *size), 1)]
            for picture, got in zip(pictures, opened(pictures), strict=True):
                with torch.no_grad():
                    want = model([picture])[0]
                assert got.keys() == want.keys()
                for key, value in want.items():
                    assert_near(key, got[key], value)
                seen += len(want["boxes"])
        assert seen > 20
    finally:
        model.roi_heads.score_thresh = least


def assert_near(key: str, got: Tensor, want: Tensor) -> None:
    tolerance = {"boxes": 0.02, "keypoints": 0.05}.get(key, 2e-3)
    torch.testing.assert_close(got, want, atol=tolerance, rtol=0, msg=lambda text: f"{key}: {text}")


@pytest.mark.parametrize("file", ["out.pt2", pytest.param("out.onnx", marks=slow), pytest.param("out.xml", marks=slow)])
def test_a_detector_in_half_precision(file: str, tmp_path: Path) -> None:
    if file == "out.xml":
        pytest.importorskip("openvino")
    name, picture = "ssdlite320_mobilenet_v3_large", Image.open(SHAPES).convert("RGB")
    full = zoo.export(name, tmp_path / f"full{Path(file).suffix}", weights="SHAPES_V1")
    half = zoo.export(name, tmp_path / file, weights="SHAPES_V1", half=True)
    assert half.inputs == full.inputs
    assert half.outputs == full.outputs
    sizes = [sum(path.stat().st_size for path in report.files) for report in (half, full)]
    assert sizes[0] < 0.7 * sizes[1]
    want = zoo.pipeline(full.path)(picture).above(0.5)
    got = zoo.pipeline(half.path)(picture).above(0.5)
    assert len(want) > 2
    assert got.names == want.names
    torch.testing.assert_close(got.boxes, want.boxes, atol=2.0, rtol=0)
    torch.testing.assert_close(got.scores, want.scores, atol=0.03, rtol=0)
