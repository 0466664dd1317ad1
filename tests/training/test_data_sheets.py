"""The pixels of contact sheets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from coco_squares import squares
from PIL import Image

from zoo import draw
from zoo.cli import main
from zoo_classification.data import Folders
from zoo_training.data.showing import CAPTION, drawn, sizes

GREY = torch.full((3, 160, 320), 60, dtype=torch.uint8)


def has(picture: Image.Image, color: tuple[int, ...], box: tuple[int, int, int, int]) -> bool:
    return color in {found for _, found in picture.crop(box).getcolors(1 << 20) or ()}


def test_classes_that_are_there_have_their_colour_beneath() -> None:
    mask = torch.zeros(160, 320, dtype=torch.int64)
    mask[:50, :50], mask[100:, 100:], mask[0, 0] = 1, 3, 255
    made = drawn(GREY, {"mask": mask}, ["none", "cat", "owl", "dog"], "a")
    legend = (0, 160, 320, 160 + CAPTION)
    palette = [tuple(color) for color in draw.voc_palette(256)]
    assert [has(made, palette[label], legend) for label in (1, 2, 3)] == [True, False, True]
    assert made.size == (320, 160 + 2 * CAPTION)


def test_names_stand_above_keypoints() -> None:
    target = {
        "boxes": torch.tensor([[20.0, 60, 200, 140]]),
        "labels": torch.tensor([1]),
        "iscrowd": torch.tensor([0]),
        "keypoints": torch.tensor([[[30.0 + 4 * i, 100.0 if i == 16 else 52, 2] for i in range(17)]]),
    }
    with_points = drawn(GREY, target, ["__background__", "a wide name for a cat"])
    del target["keypoints"]
    without = drawn(GREY, target, ["__background__", "a wide name for a cat"])
    label = (22, 46, 120, 58)
    assert with_points.crop(label).tobytes() == without.crop(label).tobytes()
    assert with_points.tobytes() != without.tobytes()


def test_long_names_of_classes_keep_their_beginning_and_paths_their_end() -> None:
    name = "dog with a name that is long, very long, and longer than any picture is wide"
    long = drawn(GREY, {"label": 0}, [name], "folder/" * 20 + "end.png")
    short = drawn(GREY, {"label": 0}, [name + " and some more"], "folder/" * 40 + "end.png")
    assert long.size == (320, 160 + 2 * CAPTION)
    assert long.tobytes() == short.tobytes()


def test_sizes_are_told_of_pictures_and_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = squares(tmp_path / "data", 6)
    Image.new("RGB", (300, 50)).save(tmp_path / "data/images/6.png")  # without annotation: reported, not read
    options = ["--task", "object-detection", "--annotations", str(root / "annotations.json"), "--val", "0.3"]
    assert main(["data", "show", str(root / "images"), *options]) == 0
    said = capsys.readouterr().out
    assert "pictures, width × height: smallest 128 × 96, median 128 × 96, largest 128 × 96\n" in said
    assert "objects, width × height: smallest 40 × 40, median 40 × 40, largest 40 × 40\n" in said
    assert main(["data", "show", str(root / "images"), *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["val"]["sizes"]["pictures"]["median"] == [128, 96]
    for i, (width, height) in enumerate([(10, 40), (30, 20), (20, 60)]):
        for name in ("x", "y"):
            (tmp_path / "classes" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (width, height)).save(tmp_path / f"classes/{name}/{i}.jpg")
    assert sizes(Folders(tmp_path / "classes")) == {
        "pictures": {"smallest": [10, 20], "median": [20, 40], "largest": [30, 60]}
    }
