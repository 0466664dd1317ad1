"""A Faster R-CNN with a timm backbone, trained with ``zoo train`` on shapes: a short run, saved and used."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path

import pytest
from PIL import Image

import zoo

pytest.importorskip("zoo_timm.models")

AT_LEAST = 60.0  # AP50 in percent, of 76 that it comes to; after one epoch it is 20


@pytest.fixture
def shapes(examples, tmp_path):
    """Eight pictures of shapes with their boxes, in COCO format."""
    make_picture = importlib.import_module("shapes").make_picture
    classes = importlib.import_module("shapes").CLASSES
    folder = tmp_path / "shapes"
    folder.mkdir()
    images, annotations = [], []
    for n in range(8):
        made = make_picture(seed=n, size=(128, 128))
        Image.fromarray(made.image).save(folder / f"{n}.png")
        images.append({"id": n, "file_name": f"{n}.png", "width": 128, "height": 128})
        for (left, top, right, bottom), label in zip(made.boxes.tolist(), made.labels.tolist(), strict=True):
            box = [left, top, right - left, bottom - top]
            facts = {"id": len(annotations) + 1, "image_id": n, "category_id": label, "bbox": box, "iscrowd": 0}
            annotations.append({**facts, "area": box[2] * box[3]})
    categories = [{"id": i, "name": name} for i, name in enumerate(classes) if i]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_a_detector_on_a_backbone_of_timms(run, shapes, tmp_path):
    output = tmp_path / "run"
    done = run(
        "train", "--model", "fasterrcnn", "--weights", "none", "--data", shapes, "--output", output,
        "--epochs", 2, "--batch-size", 4, "--set", "backbone=timm/resnet18", "--set", "min_size=128",
        "--set", "max_size=128", "--set", "trainable_backbone_layers=4", "--device", "cpu",
    )  # fmt: skip
    assert done.status == 0, done.err
    rows = list(csv.DictReader((output / "metrics.csv").open()))
    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < losses[0]
    detect = zoo.pipeline(output / "best.safetensors", min_score=0.0)
    assert detect.model.backbone.body.body.model.__class__.__module__.startswith("timm.")
    assert "ring" in detect.weights.read_categories()
    assert detect(shapes / "3.png").boxes.shape[1] == 4


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.usefixtures("examples")
def test_it_learns_the_shapes(run, tmp_path):
    """The pictures and the command of docs/backbones.md: far above chance on pictures that it was not trained on."""
    write_pictures = importlib.import_module("train_detection").write_pictures
    for name, seeds in {"train": range(1000), "val": range(900_001, 900_061)}.items():
        write_pictures(tmp_path / "shapes" / name, seeds, sides=(96, 112))
    page = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text()
    command = page.partition("```sh\nzoo train ")[2].partition("```")[0].replace("\\\n", " ")
    if "bf16" not in Path("/proc/cpuinfo").read_text():  # it would be computed in software
        command = command.replace("--precision bf16", "")
    changed = {"shapes": tmp_path / "shapes", "runs/shapes": tmp_path / "run"}
    done = run("train", *[changed.get(word, word) for word in command.split()])
    assert done.status == 0, done.err
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert max(float(row["val_box_map_50"]) for row in rows) > AT_LEAST


def test_a_classifier_of_timms(run, tmp_path):
    for name, colour in {"red": (200, 30, 30), "blue": (30, 30, 200)}.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for n in range(6):
            Image.new("RGB", (48, 48), tuple(c + n for c in colour)).save(tmp_path / "data" / name / f"{n}.png")
    done = run(
        "train", "--model", "timm/mobilenetv3_small_050", "--weights", "none", "--data", tmp_path / "data",
        "--output", tmp_path / "run", "--epochs", 1, "--set", "drop_rate=0.1", "--device", "cpu",
    )  # fmt: skip
    assert done.status == 0, done.err
    info = zoo.model_info(tmp_path / "run" / "best.safetensors")
    assert info.full_name == "timm/mobilenetv3_small_050"
    assert info.weights["SAVED"].transforms.arguments["resize_size"] == 256
    assert run("predict", tmp_path / "data/red/0.png", "--model", tmp_path / "run/best.safetensors").status == 0
