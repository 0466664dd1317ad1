"""Pictures in, class maps out: ``zoo.pipeline`` and ``zoo predict``, with the weights that the package brings."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument
from zoo.io import decode_mask
from zoo_segmentation.metrics import ConfusionMatrix
from zoo_segmentation.task import Segmentation, SegmentationTask, class_map

pytestmark = pytest.mark.usefixtures("offline")

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "examples/images/shapes.png"
MODEL = "lraspp_mobilenet_v3_large"


@pytest.fixture(scope="module")
def shapes(examples: Path) -> Any:
    """``examples/shapes.py``: what made the pictures that the weights were trained on."""
    return importlib.import_module("shapes")


@pytest.fixture(scope="module")
def predict() -> Any:
    return zoo.pipeline(MODEL, weights="SHAPES_V1", device="cpu")


# ── the weights in the package ───────────────────────────────────────────────────────────────────────────────────


def test_example_picture_is_held_out_and_its_class_map_is_found(shapes: Any, predict: Any) -> None:
    made = shapes.make_picture(shapes.EXAMPLE, (160, 160))
    assert np.array_equal(np.asarray(Image.open(PICTURE)), made.image), "examples/shapes.py makes it"
    result = predict(PICTURE)
    assert result.class_map.shape == made.class_map.shape
    matrix = ConfusionMatrix(len(shapes.CLASSES))
    matrix.update(torch.from_numpy(made.class_map), result.class_map)
    scores = matrix.compute()
    assert scores.miou > 85
    assert scores.pixel_acc > 95
    assert set(result.areas) == {shapes.CLASSES[i] for i in np.unique(made.class_map)}


def test_pictures_never_seen_are_segmented_as_the_entry_says(shapes: Any, predict: Any) -> None:
    made = [shapes.make_picture(shapes.EXAMPLE + 1 + i, (160, 160)) for i in range(24)]
    matrix = ConfusionMatrix(len(shapes.CLASSES))
    for picture, result in zip(made, predict([Image.fromarray(p.image) for p in made]), strict=True):
        matrix.update(torch.from_numpy(picture.class_map), result.class_map)
    said = zoo.get_model_weights(MODEL).SHAPES_V1.value.metrics["Shapes"]
    assert matrix.compute().miou == pytest.approx(said["miou"], abs=4)
    assert matrix.compute().pixel_acc == pytest.approx(said["pixel_acc"], abs=2)


def test_shapes_entry_is_no_default_and_describes_its_file(shapes: Any) -> None:
    enum = zoo.get_model_weights(MODEL)
    assert enum.DEFAULT is enum.COCO_WITH_VOC_LABELS_V1
    entry = enum.SHAPES_V1.value
    model = zoo.get_model(MODEL, weights="SHAPES_V1")
    file = ROOT / "plugins/segmentation/src" / entry.url.removeprefix("pkg://")
    assert sum(p.numel() for p in model.parameters()) == entry.num_params
    assert file.stat().st_size / 2**20 == pytest.approx(entry.file_size, abs=5e-4)
    assert file.stat().st_size < 8 * 2**20
    assert entry.read_categories() == list(shapes.CLASSES)
    assert {t.dtype for t in model.parameters()} == {torch.float32}


def test_pictures_follow_from_their_seed_and_agree_with_themselves(shapes: Any) -> None:
    for seed in range(20):
        picture = shapes.make_picture(seed, (60, 90))
        assert np.array_equal(picture.image, shapes.make_picture(seed, (60, 90)).image)
        assert picture.image.shape == (60, 90, 3)
        assert len(picture.labels) == len(picture.boxes) == len(picture.masks) >= 1
        composed = np.zeros((60, 90), np.uint8)
        for label, mask, box in zip(picture.labels, picture.masks, picture.boxes, strict=True):
            composed[mask] = label
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.array_equal(composed, picture.class_map)
        assert picture.masks.sum(0).max() == 1, "every pixel shows one shape"


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────


def one_result() -> Segmentation:
    classes = torch.zeros(10, 8, dtype=torch.uint8)
    classes[:5, :4] = 2
    classes[9, 7] = 1
    return Segmentation(classes, ["nothing", "dot", "block"], Image.new("RGB", (8, 10), (0, 0, 200)))


def test_areas_are_shares_of_the_picture() -> None:
    result = one_result()
    assert list(result.areas.items()) == [("nothing", pytest.approx(59 / 80)), ("block", 0.25), ("dot", 1 / 80)]
    assert result.lines(2) == [" 73.75%  nothing", " 25.00%  block"]
    said = result.to_dict(1)
    (area,) = said.pop("areas")
    assert said == {"height": 10, "width": 8}
    assert torch.equal(decode_mask(area.pop("mask")), result.class_map == 0)
    assert area == {"label": "nothing", "id": 0, "share": pytest.approx(59 / 80)}


def test_masks_in_json_are_those_that_pycocotools_reads() -> None:
    mask = pytest.importorskip("pycocotools.mask")
    result = one_result()
    for area in json.loads(json.dumps(result.to_dict()))["areas"]:
        assert np.array_equal(mask.decode(area["mask"]) == 1, result.class_map == area["id"])
        assert mask.area(area["mask"]) == round(80 * area["share"])


def test_saved_classes_are_indices_under_the_voc_palette(tmp_path: Path) -> None:
    result = one_result()
    overlay, classes = result.save(tmp_path, "a")
    assert [overlay.name, classes.name] == ["a.png", "a_classes.png"]
    with Image.open(classes) as png:
        assert png.mode == "P"
        assert np.array_equal(np.asarray(png), result.class_map)
        assert png.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
        assert png.convert("RGB").getpixel((0, 0)) == (0, 128, 0)
    with Image.open(overlay) as png:
        assert png.size == result.draw().size
    many = dataclasses.replace(result, categories=[str(i) for i in range(257)])
    with pytest.raises(InvalidArgument, match="256 classes"):
        many.save(tmp_path, "b")


def test_class_map_is_the_argmax_of_the_enlarged_logits() -> None:
    logits = torch.randn(300, 5, 6, generator=torch.Generator().manual_seed(0))
    enlarged = torch.nn.functional.interpolate(logits[None], size=(20, 31), mode="bilinear", align_corners=False)[0]
    assert torch.equal(class_map(logits, (20, 31)), enlarged.argmax(0))
    assert class_map(logits, (20, 31)).dtype == torch.int64
    assert class_map(logits[:256], (3, 2)).dtype == torch.uint8
    ties = class_map(torch.zeros(3, 2, 2), (4, 4))
    assert torch.equal(ties, torch.zeros(4, 4, dtype=torch.uint8)), "the first of equals, as argmax"


def test_classes_without_names_are_numbered() -> None:
    (result,) = SegmentationTask().decode(
        {"out": torch.randn(1, 4, 2, 2)}, [torch.rand(3, 5, 7)], zoo.Weights(url="file:///x")
    )
    assert result.categories == ["class 0", "class 1", "class 2", "class 3"]
    assert result.class_map.shape == (5, 7)


# ── pipeline and command line ────────────────────────────────────────────────────────────────────────────────────


def test_pictures_of_different_sizes_in_one_batch_are_as_alone(predict: Any) -> None:
    whole = Image.open(PICTURE)
    pictures = [whole, whole.crop((0, 0, 100, 40)), whole.convert("L"), whole.crop((30, 20, 31, 21))]
    together = predict(pictures, batch_size=4)
    for picture, result in zip(pictures, together, strict=True):
        assert result.class_map.shape == (picture.height, picture.width)
        assert torch.equal(result.class_map, predict(picture).class_map)
        assert result.draw().mode == "RGB"


def test_predict_writes_overlay_and_indexed_png(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(PICTURE), "--model", MODEL, "--weights", "SHAPES_V1", "--device", "cpu"]
    assert main([*arguments, "--output", str(tmp_path / "out"), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert said["areas"][0]["label"] == "background"
    assert [Path(p).name for p in said["output"]] == ["shapes.png", "shapes_classes.png", "shapes.json"]
    beside = json.loads(Path(said["output"][2]).read_text())
    assert beside["areas"][0] == said["areas"][0]
    with Image.open(said["output"][1]) as png:
        assert (png.mode, png.size) == ("P", Image.open(PICTURE).size)

    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    assert "already. --resume skips those" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before, "nothing is written over"
    (tmp_path / "out/predictions.jsonl").unlink()  # so that the pictures are somebody's
    assert main([*arguments, "--output", str(tmp_path / "out"), "--top", "1"]) == 0
    printed = capsys.readouterr().out
    assert "%  background" in printed
    assert "shapes-2_classes.png" in printed, "nothing is written over"
    arguments += ["--output", str(tmp_path / "out"), "--overwrite", "--format", "jpg"]
    assert main(arguments) == 0
    assert "shapes-2.jpg" in capsys.readouterr().out
