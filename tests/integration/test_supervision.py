"""Conversion of results to supervision's: the same boxes, masks, numbers and names. Skipped without supervision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import MissingPlugin
from zoo_detection.task import Detection
from zoo_segmentation.task import Segmentation

SHAPES = Path(__file__).parents[2] / "examples/images/shapes.png"


def detection(**parts: Any) -> Detection:
    boxes = torch.tensor([[1.0, 2, 5, 6], [0, 0, 9, 9], [3, 3, 4, 4]])
    scores, labels = torch.tensor([0.9, 0.8, 0.2]), torch.tensor([1, 2, 1])
    return Detection(boxes, labels, scores, ["nothing", "cat", "dog"], Image.new("RGB", (10, 12)), **parts)


def segmentation() -> Segmentation:
    classes = torch.zeros(6, 8, dtype=torch.uint8)
    classes[2:4, 3:7] = 2
    return Segmentation(classes, ["nothing", "cat", "dog"], Image.new("RGB", (8, 6)))


def test_without_supervision_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    digits = zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="cpu")
    for result in (detection(), segmentation(), digits(torch.zeros(3, 8, 8, dtype=torch.uint8))):
        with pytest.raises(MissingPlugin, match=r"to_supervision\(\) needs the package supervision.*pip install"):
            result.to_supervision()


def test_detections() -> None:
    sv = pytest.importorskip("supervision")
    masks = torch.zeros(3, 1, 12, 10)
    masks[0, 0, 2:6, 1:5] = 1
    points = torch.arange(3 * 2 * 3).view(3, 2, 3).float()
    found = detection(masks=masks, keypoints=points).to_supervision()
    assert isinstance(found, sv.Detections)
    assert found.xyxy.tolist() == [[1, 2, 5, 6], [0, 0, 9, 9]], "the drawn objects"
    assert found.confidence.tolist() == pytest.approx([0.9, 0.8])
    assert found.class_id.tolist() == [1, 2]
    assert found["class_name"].tolist() == ["cat", "dog"]
    assert np.asarray(found.mask).sum((1, 2)).tolist() == [16, 0]
    assert found["keypoints"].shape == (2, 2, 3)
    assert len(detection().above(0.95).to_supervision()) == 0
    drawn = sv.BoxAnnotator().annotate(np.zeros((12, 10, 3), np.uint8), found)
    assert drawn.any()


def test_classes_of_pixels() -> None:
    pytest.importorskip("supervision")
    found = segmentation().to_supervision()
    assert found["class_name"].tolist() == ["nothing", "dog"]
    assert np.asarray(found.mask).sum((1, 2)).tolist() == [40, 8]
    assert found.xyxy[1].tolist() == [3, 2, 6, 3]


def test_a_detector_and_a_classifier() -> None:
    pytest.importorskip("supervision")
    found = zoo.pipeline("ssdlite320_mobilenet_v3_large", weights="SHAPES_V1", device="cpu")(SHAPES)
    assert len(found.to_supervision()) == len(found.above(0.5)) > 0
    labels = zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="cpu")(SHAPES)
    assert labels.to_supervision().get_top_k(1)[0][0] == int(labels.label)
