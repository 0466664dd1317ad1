"""Results as text, pictures and COCO's format."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoo
from zoo.cli import main
from zoo.draw import class_color
from zoo.errors import InvalidArgument
from zoo.io import decode_mask
from zoo.transforms.functional import pil_to_tensor
from zoo_detection import Detection
from zoo_detection.masks import paste_masks
from zoo_detection.task import DetectionTask, compress, run_lengths, side_of

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
    (result,) = DetectionTask().decode([found()], [Image.new("RGB", (5, 4))], OBJECTS)
    assert isinstance(result, Detection)
    assert len(result) == 3
    assert result.names == ["toothbrush", "person", "person"]
    assert result.lines(1) == [" 90.00%  toothbrush  [1, 2, 11, 22]", "and 1 × person", "and 1 below 50%"]
    assert result.above(0.5).names == ["toothbrush", "person"]
    assert result.above(0.99).lines() == ["nothing found"]
    strict = dataclasses.replace(result, min_score=0.95)
    assert strict.lines() == ["nothing from 95%; the best of 3 is toothbrush with 90.00%"]
    assert strict.to_dict() == {"objects": []}
    first = result.to_dict(2)["objects"]
    assert len(first) == 2
    assert first[0] == {"label": "toothbrush", "id": 90, "score": pytest.approx(0.9), "box": [1, 2, 11, 22]}
    json.dumps(result.to_dict())


def test_labels_without_names_get_numbers() -> None:
    (result,) = DetectionTask().decode([found()], [torch.zeros(3, 4, 5)], dataclasses.replace(OBJECTS, categories=None))
    assert result.names[:2] == ["class 90", "class 1"]


def test_result_in_coco_format() -> None:
    (result,) = DetectionTask().decode([found(1)], [torch.zeros(3, 4, 5)], OBJECTS)
    (row,) = result.to_coco(image_id=7)
    assert row.pop("score") == pytest.approx(0.9)
    assert row == {
        "image_id": 7,
        "category_id": 90,
        "bbox": [1, 2, 10, 20],
        "segmentation": {"size": [4, 5], "counts": "92203"},
    }
    keypoints = torch.tensor([[[3.0, 4, 1]] * 17])
    person = {
        "boxes": torch.ones(1, 4),
        "labels": torch.ones(1).long(),
        "scores": torch.ones(1),
        "keypoints": keypoints,
    }
    (result,) = DetectionTask().decode([person], [torch.zeros(3, 4, 5)], PERSONS)
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


@pytest.mark.parametrize("seed", range(4))
def test_compressed_run_lengths_are_pycocotools_own(seed: int) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    random = torch.Generator().manual_seed(seed)
    mask = torch.rand(97, 60, generator=random) < (0.5, 0.001, 0.999, 1.0)[seed]
    mask[:, 20:40] = bool(seed % 2)
    runs = run_lengths(mask)
    counts = compress(runs["counts"])
    assert counts == tools.encode(mask.numpy().astype("uint8", order="F"))["counts"].decode()
    assert torch.equal(torch.from_numpy(tools.decode({**runs, "counts": counts})).bool(), mask)


# ── pictures and files ───────────────────────────────────────────────────────────────────────────────────────────

GREY = (128, 128, 128)


def detection(boxes: Any, size: tuple[int, int] = (640, 480), **parts: Any) -> Detection:
    boxes = torch.tensor(boxes).float()
    n = len(boxes)
    defaults = {
        "labels": torch.arange(1, n + 1),
        "scores": torch.linspace(0.95, 0.9, n),
        "categories": [f"class {i}" for i in range(n + 1)],
        "image": Image.new("RGB", size, GREY),
    }
    return Detection(boxes, **{**defaults, **parts})


def drawn_on(picture: Image.Image) -> torch.Tensor:
    return (pil_to_tensor(picture) != 128).any(0)


def test_boxes_are_drawn_in_the_colours_of_their_classes() -> None:
    result = detection([[100, 100, 200, 200], [300, 100, 400, 200]], labels=torch.tensor([2, 2]))
    picture = result.draw()
    assert picture.size == (640, 480)
    assert picture.getpixel((100, 150)) == picture.getpixel((300, 150)) == class_color(2)
    assert drawn_on(picture)[80:99, 100:180].any(), "a label"
    assert result.image.getpixel((100, 150)) == GREY


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 32), (800, 640)), ((2000, 1500), (2000, 1500)), ((1, 1), (800, 800))]
)
def test_pictures_are_drawn_at_a_size_to_look_at(size: tuple[int, int], expected: tuple[int, int]) -> None:
    w, h = size
    box = [w * 0.25, h * 0.25, w * 0.75, h * 0.75]
    masks = torch.zeros(1, 1, h, w)
    masks[..., h // 4 : (3 * h + 3) // 4, w // 4 : (3 * w + 3) // 4] = 1
    points = torch.tensor([[[w * 0.5, h * 0.5, 1.0]]])
    for parts in ({}, {"masks": masks}, {"keypoints": points}):
        picture = detection([box], size, **parts).draw()
        assert picture.size == expected
        assert picture.getpixel((expected[0] // 4, expected[1] // 2)) != GREY
    tensor = detection([box], image=torch.full((3, h, w), 0.5)).draw()
    assert tensor.size == expected


def test_what_scores_less_is_not_drawn() -> None:
    boxes = [[100, 100, 200, 200], [300, 100, 400, 200]]
    result = detection(boxes, scores=torch.tensor([0.9, 0.3]), masks=torch.ones(2, 1, 480, 640).tril())
    one, both = (detection(boxes, scores=torch.tensor([0.9, 0.3])).draw(score) for score in (None, 0.3))
    assert one.getpixel((300, 150)) == GREY
    assert both.getpixel((300, 150)) == class_color(2)
    assert torch.equal(drawn_on(result.draw(1.0)), torch.zeros(480, 640, dtype=torch.bool))
    assert dataclasses.replace(result, min_score=0.2).draw().tobytes() == result.draw(0.2).tobytes()
    with pytest.raises(InvalidArgument, match="min_score is 50; expected a number from 0 to 1"):
        result.draw(50)


def test_masks_are_drawn_an_object_a_colour() -> None:
    masks = torch.zeros(2, 1, 480, 640)
    masks[0, 0, 100:200, 100:200] = masks[1, 0, 100:200, 300:400] = 0.9
    boxes = [[100, 100, 200, 200], [300, 100, 400, 200]]
    picture = detection(boxes, labels=torch.tensor([1, 1]), masks=masks).draw()
    first, second = picture.getpixel((150, 150)), picture.getpixel((350, 150))
    for colour, index in ((first, 0), (second, 1)):
        assert colour == tuple((128 + c) // 2 for c in class_color(index))
    assert picture.getpixel((100, 150)) == class_color(0), "the frame too"
    assert picture.getpixel((250, 150)) == GREY


def test_masks_of_boxes_are_those_of_the_picture() -> None:
    roi = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[100.0, 100, 260, 200], [300, 100, 400, 300]])
    full = detection(boxes.tolist(), masks=paste_masks(roi, boxes, (480, 640)))
    small = detection(boxes.tolist(), masks=roi)
    assert small.to_coco() == full.to_coco()
    assert small.draw().tobytes() == full.draw().tobytes()
    assert small.to_coco()[0]["segmentation"]["size"] == [480, 640]


def test_masks_of_boxes_at_and_beyond_the_border_are_those_of_the_picture() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(40, 2, generator=generator) * torch.tensor([700.0, 540]) - 40
    boxes = torch.cat([corners, corners + torch.rand(40, 2, generator=generator) * 200], 1)
    roi = torch.rand(40, 1, 28, 28, generator=generator)
    result = detection(boxes.tolist(), masks=roi, scores=torch.full((40,), 0.9), labels=torch.ones(40).long())
    whole = paste_masks(roi, boxes, (480, 640))[:, 0] > 0.5
    rows = result.to_coco()
    for i, row in enumerate(rows):
        assert torch.equal(result.mask(i), whole[i])
        assert torch.equal(decode_mask(row["segmentation"]), whole[i])


def test_labels_stand_above_joints() -> None:
    points = torch.zeros(1, 17, 3)
    points[0, :, :2] = torch.tensor([[100.0 + 5 * i, 95.0] for i in range(17)])
    points[0, :, 2] = 1
    box = [[100, 100, 200, 200]]
    with_points, without = (detection(box, **more).draw() for more in ({"keypoints": points}, {}))
    label = (102, 84, 140, 96)
    ink = [(torch.tensor(list(p.crop(label).convert("L").tobytes())) < 60).sum() for p in (with_points, without)]
    assert ink[0] >= ink[1] > 20


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("left_wrist", "left"),
        ("Right Eye", "right"),
        ("r_knee", "right"),
        ("nose", ""),
        ("upright", ""),
        ("LEFT", "left"),
    ],
)
def test_sides_are_read_from_names(name: str, side: str) -> None:
    assert side_of(name) == side


def test_persons_are_drawn_with_the_limbs_that_the_model_believes_in() -> None:
    points = torch.ones(1, 17, 3)
    points[0, :, :2] = torch.tensor([300.0, 200.0])
    points[0, 5, :2], points[0, 7, :2], points[0, 9, :2] = torch.tensor([[200.0, 300], [200, 350], [200, 400]])
    scores = torch.full((1, 17), 5.0)
    scores[0, 9] = -1
    result = detection([[190, 190, 310, 410]], keypoints=points, keypoints_scores=scores)
    picture = result.draw()
    assert picture.getpixel((200, 325)) == class_color(0), "shoulder to elbow"
    assert picture.getpixel((200, 375)) == GREY, "no line to a wrist with a low score"
    lone = dataclasses.replace(result, skeleton=()).draw()
    assert lone.getpixel((200, 325)) == GREY


def test_nothing_found_is_the_picture_and_an_empty_list(tmp_path: Path) -> None:
    for parts in ({}, {"masks": torch.zeros(0, 1, 480, 640)}, {"keypoints": torch.zeros(0, 17, 3)}):
        result = detection(torch.zeros(0, 4).tolist(), **parts)
        result = dataclasses.replace(result, boxes=torch.zeros(0, 4))
        assert not drawn_on(result.draw()).any()
        assert json.loads(result.save(tmp_path, "none")[1].read_text()) == []


def test_saved_files_hold_all_objects_and_pycocotools_reads_them(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    masks = torch.zeros(2, 1, 480, 640)
    masks[:, 0, 100:200, 100:190] = 0.9
    result = detection(
        [[100, 100, 200, 200], [300, 100, 400, 200]],
        scores=torch.tensor([0.9, 0.3]),
        masks=masks,
        keypoints=torch.ones(2, 17, 3),
    )
    paths = result.save(tmp_path, "000000000139")
    assert [path.name for path in paths] == ["000000000139.png", "000000000139.json"]
    assert pil_to_tensor(Image.open(paths[0])).equal(pil_to_tensor(result.draw()))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": 139, "height": 480, "width": 640}],
            "annotations": [],
            "categories": [{"id": 1}, {"id": 2}],
        }
        truth.createIndex()
        read = truth.loadRes(str(paths[1]))
    rows = list(read.anns.values())
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(139, 1), (139, 2)]
    assert [row["score"] for row in rows] == pytest.approx([0.9, 0.3])
    assert rows[0]["bbox"] == [100, 100, 100, 100]
    assert torch.equal(torch.from_numpy(read.annToMask(rows[0])).bool(), masks[0, 0] > 0.5)
    assert rows[1]["keypoints"] == [1] * 51
    named = json.loads(result.save(tmp_path, "street-2")[1].read_text())
    assert named[0]["image_id"] == "street-2"


# ── in the pipeline and on the command line ──────────────────────────────────────────────────────────────────────

MODEL = "ssdlite320_mobilenet_v3_large"


def test_pipeline_predicts_from_pictures_of_any_size() -> None:
    model = zoo.get_model(MODEL, weights_backbone=None, score_thresh=0.0)
    model.detections_per_img = 4
    weights = zoo.get_weight("SSDLite320_MobileNet_V3_Large_Weights.COCO_V1")
    predict = zoo.pipeline(model, weights, device="cpu", task="object-detection", optimize=False, min_score=0.25)
    results = predict([Image.new("RGB", (90, 40)), torch.rand(3, 50, 60)])
    assert [len(r) for r in results] == [4, 4]
    assert all(len(r.names) == 4 for r in results)
    assert results[0].boxes[:, 2].max() <= 90
    assert [r.min_score for r in results] == [0.25, 0.25]
    with pytest.raises(InvalidArgument, match="min_score is 30"):
        DetectionTask(min_score=30)


def test_predict_draws_and_writes_what_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = zoo.get_model(MODEL, weights_backbone=None, reduced_tail=False)
    torch.save(model.state_dict(), tmp_path / "own.pth")
    Image.radial_gradient("L").resize((90, 60)).save(tmp_path / "7.png")
    arguments = ["predict", str(tmp_path / "7.png"), "--model", MODEL, "--weights", str(tmp_path / "own.pth")]
    arguments += ["--device", "cpu", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--min-score", "0.01", "--top", "2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert re.match(r"  +\d\.\d\d%  class \d+  \[", printed[1])
    assert re.match(r"  and \d+ × class \d+", printed[3])
    assert [line.strip() for line in printed[-2:]] == [f"→ {tmp_path}/out/7.{kind}" for kind in ("png", "json")]
    picture = pil_to_tensor(Image.open(tmp_path / "out/7.png"))
    assert (picture[0] != picture[1]).any(), "boxes have colours"
    rows = json.loads((tmp_path / "out/7.json").read_text())
    assert len(rows) == 300
    assert rows[0]["image_id"] == 7
    assert main([*arguments, "--min-scor", "0.01"]) == 2
    assert "Did you mean '--min-score'" in capsys.readouterr().err
