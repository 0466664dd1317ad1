"""Results that a person can read, and COCO's tools too."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from PIL import Image

import zoo
from zoo_detection import Detection
from zoo_detection.task import decode, run_lengths

PERSONS = zoo.get_weight("KeypointRCNN_ResNet50_FPN_Weights.COCO_V1").value
OBJECTS = zoo.get_weight("MaskRCNN_ResNet50_FPN_Weights.COCO_V1").value


def found(n: int = 3) -> dict[str, torch.Tensor]:
    masks = torch.zeros(n, 1, 4, 5)
    masks[:, :, 1:3, 2:4] = 0.9
    return {
        "boxes": torch.tensor([[1.0, 2, 11, 22]]).expand(n, -1),
        "labels": torch.tensor([90, 1, 1])[:n],
        "scores": torch.tensor([0.9, 0.8, 0.3])[:n],
        "masks": masks,
    }


def test_result_names_its_objects() -> None:
    (result,) = decode([found()], [Image.new("RGB", (5, 4))], OBJECTS)
    assert isinstance(result, Detection)
    assert len(result) == 3
    assert result.names == ["toothbrush", "person", "person"]
    assert result.lines(1) == [" 90.00%  toothbrush  [1, 2, 11, 22]", "and 2 × person"]
    assert result.above(0.5).names == ["toothbrush", "person"]
    assert result.above(0.99).lines() == ["nothing found"]
    first = result.to_dict(2)["objects"]
    assert len(first) == 2
    assert first[0] == {"label": "toothbrush", "id": 90, "score": pytest.approx(0.9), "box": [1, 2, 11, 22]}
    json.dumps(result.to_dict())


def test_labels_without_names_get_numbers() -> None:
    (result,) = decode([found()], [torch.zeros(3, 4, 5)], dataclasses.replace(OBJECTS, categories=None))
    assert result.names[:2] == ["class 90", "class 1"]


def test_result_in_coco_format() -> None:
    (result,) = decode([found(1)], [torch.zeros(3, 4, 5)], OBJECTS)
    (row,) = result.to_coco(image_id=7)
    assert row.pop("score") == pytest.approx(0.9)
    assert row == {
        "image_id": 7,
        "category_id": 90,
        "bbox": [1, 2, 10, 20],
        "segmentation": {"size": [4, 5], "counts": [9, 2, 2, 2, 5]},
    }
    keypoints = torch.tensor([[[3.0, 4, 1]] * 17])
    person = {
        "boxes": torch.ones(1, 4),
        "labels": torch.ones(1).long(),
        "scores": torch.ones(1),
        "keypoints": keypoints,
    }
    (result,) = decode([person], [torch.zeros(3, 4, 5)], PERSONS)
    assert result.keypoint_names[0] == "nose"
    assert result.to_coco()[0]["keypoints"] == [3, 4, 1] * 17


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[1, 0], [0, 1]], [0, 1, 2, 1]),
        ([[0, 1], [0, 1]], [2, 2]),
    ],
)
def test_run_lengths_go_column_by_column_and_begin_with_zeros(mask: list[list[int]], counts: list[int]) -> None:
    assert run_lengths(torch.tensor(mask).bool()) == {"size": [2, 2], "counts": counts}


def test_pipeline_predicts_from_pictures_of_any_size() -> None:
    model = zoo.get_model("ssdlite320_mobilenet_v3_large", weights_backbone=None, score_thresh=0.0)
    model.detections_per_img = 4
    weights = zoo.get_weight("SSDLite320_MobileNet_V3_Large_Weights.COCO_V1")
    predict = zoo.pipeline(model, weights, device="cpu", task="object-detection")
    results = predict([Image.new("RGB", (90, 40)), torch.rand(3, 50, 60)])
    assert [len(r) for r in results] == [4, 4]
    assert all(len(r.names) == 4 for r in results)
    assert results[0].boxes[:, 2].max() <= 90
