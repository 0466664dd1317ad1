"""The detector of shapes that the package brings, and the script that trained it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument
from zoo.ops import box_iou

pytestmark = pytest.mark.usefixtures("offline")

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "examples/images/shapes.png"
MODEL = "ssdlite320_mobilenet_v3_large"


@pytest.fixture(scope="module")
def script(examples: Path) -> Any:
    """``examples/train_detection.py``."""
    return importlib.import_module("train_detection")


@pytest.fixture(scope="module")
def predict() -> Any:
    return zoo.pipeline(MODEL, weights="SHAPES_V1", device="cpu")


def matched(boxes: Tensor, labels: Tensor, made: Any) -> int:
    """How many of the shapes in a picture have a detection of their own, with their label and an IoU above 0.5."""
    iou = box_iou(torch.from_numpy(made.boxes), boxes)
    iou[torch.from_numpy(made.labels)[:, None] != labels] = 0
    pairs = (iou > 0.5).nonzero()
    return min(len(pairs[:, 0].unique()), len(pairs[:, 1].unique()))


# ── the weights in the package ───────────────────────────────────────────────────────────────────────────────────


def test_predict_finds_the_shapes_of_the_example_picture(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from shapes import EXAMPLE, make_picture

    made = make_picture(EXAMPLE)
    assert np.array_equal(np.asarray(Image.open(PICTURE)), made.image), "examples/shapes.py makes it"
    arguments = ["predict", str(PICTURE), "--model", MODEL, "--weights", "SHAPES_V1", "--device", "cpu"]
    assert main([*arguments, "--json", "--top", "100"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    sure = [found for found in said["objects"] if found["score"] > 0.5]
    assert sorted(found["label"] for found in sure) == sorted(script.CLASSES[label] for label in made.labels)
    assert [script.CLASSES[found["id"]] for found in sure] == [found["label"] for found in sure]
    iou = box_iou(torch.from_numpy(made.boxes), torch.tensor([found["box"] for found in sure]))
    iou[torch.from_numpy(made.labels)[:, None] != torch.tensor([found["id"] for found in sure])] = 0
    best = iou.max(1)
    assert best.values.min() > 0.75
    assert len(best.indices.unique()) == len(made.labels), "one detection for each"


def test_pictures_never_seen_have_their_shapes_found(script: Any, predict: Any) -> None:
    made = [script.picture(seed) for seed in range(script.HELD_OUT.stop, script.HELD_OUT.stop + 40)]
    results = [result.above(0.5) for result in predict([Image.fromarray(picture.image) for picture in made])]
    right = sum(matched(result.boxes, result.labels, picture) for result, picture in zip(results, made, strict=True))
    shapes, found = sum(len(picture.labels) for picture in made), sum(map(len, results))
    assert right / shapes > 0.9, "of those that are there"
    assert right / found > 0.9, "of those that are claimed"


def test_shapes_entry_is_no_default_and_describes_its_file(script: Any) -> None:
    enum = zoo.get_model_weights(MODEL)
    assert enum.DEFAULT is enum.COCO_V1
    entry = enum.SHAPES_V1.value
    assert entry.config == script.CONFIG
    model = zoo.get_model(MODEL, weights="SHAPES_V1")
    file = ROOT / "plugins/detection/src" / entry.url.removeprefix("pkg://")
    assert sum(p.numel() for p in model.parameters()) == entry.num_params
    assert file.stat().st_size / 2**20 == pytest.approx(entry.file_size, abs=5e-4)
    assert file.stat().st_size < 8 * 2**20
    assert {value.dtype for value in load_file(file).values()} == {torch.float16, torch.int64}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert entry.read_categories() == ["__background__", *script.CLASSES[1:]]
    assert entry.metrics["Shapes"]["box_map_50"] >= 85


@pytest.mark.parametrize(("wrong", "message"), [({"size": 0}, "size is 0"), ({"scales": (0.2, 0.4)}, "7 scales")])
def test_ssdlite_refuses_sizes_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message), torch.device("meta"):
        zoo.get_model(MODEL, weights_backbone=None, **wrong)


# ── the script ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_boxes_follow_the_augmented_pictures(script: Any) -> None:
    image = torch.zeros(3, 40, 50, dtype=torch.uint8)
    image[..., 4:13, 10:20] = 255
    target = {"boxes": torch.tensor([[10.0, 4.0, 20.0, 13.0]]), "labels": torch.tensor([3])}
    generator, seen = torch.Generator().manual_seed(0), set()
    for _ in range(60):
        new, moved = script.augment(image, target, generator)
        inside = new[0] != new[0, 20, 20]  # the middle is never in the box
        rows, columns = (inside.any(dim).nonzero() for dim in (1, 0))
        assert moved["boxes"].tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        assert moved["labels"].tolist() == [3]
        seen.add((*moved["boxes"][0].tolist(), new[0, 20, 20].item(), *new.shape))
    assert len(seen) > 6, "mirrored across, down, transposed, inverted"
    assert target["boxes"].tolist() == [[10, 4, 20, 13]]
    assert image.sum() == 9 * 10 * 255 * 3, "what was given stays"


def test_held_out_pictures_are_written_as_coco_has_them(script: Any, tmp_path: Path) -> None:
    script.write_held_out(tmp_path, range(1_000_001, 1_000_006))
    contents = json.loads((tmp_path / "instances.json").read_text())
    assert [category["name"] for category in contents["categories"]] == list(script.CLASSES[1:])
    sizes = set()
    for image in contents["images"]:
        made = script.picture(image["id"])
        with Image.open(tmp_path / image["file_name"]) as written:
            assert np.array_equal(np.asarray(written), made.image)
            assert written.size == (image["width"], image["height"])
        sizes.add(made.image.shape)
        mine = [found for found in contents["annotations"] if found["image_id"] == image["id"]]
        assert [found["category_id"] for found in mine] == made.labels.tolist()
        assert [found["area"] for found in mine] == made.masks.sum((1, 2)).tolist()
        corners = np.array([found["bbox"] for found in mine])
        corners[:, 2:] += corners[:, :2]
        assert np.array_equal(corners, made.boxes)
    assert len(sizes) > 1
    assert len({found["id"] for found in contents["annotations"]}) == len(contents["annotations"])


@pytest.mark.slow
def test_script_trains_and_writes_a_file_that_loads(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "HELD_OUT", range(1_000_001, 1_000_009))
    monkeypatch.setattr(script, "VALIDATED", range(900_001, 900_005))
    monkeypatch.setattr(script.write_held_out, "__defaults__", (script.HELD_OUT,))
    arguments = ["--pictures", "16", "--epochs", "1", "--batch-size", "4", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["train_detection.py", *arguments])
    script.main()
    (path,) = tmp_path.glob("ssdlite320*.safetensors")
    said = capsys.readouterr().out
    assert str(path) in said
    assert "box_map_50" in said
    model = zoo.get_model(MODEL, weights=str(path), weights_backbone=None, **script.CONFIG).eval()
    (found,) = model([torch.rand(3, 60, 90)])
    assert found["boxes"].isfinite().all()
