"""Models of transformers in commands: list, show, predict, evaluate, export."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo

pytest.importorskip("transformers")
tiny = pytest.importorskip("tiny_transformers")
tools = pytest.importorskip("zoo_tools")

COFFEE = Path(__file__).parents[2] / "examples/images/photos/coffee.jpg"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    for family in ("vit", "rt_detr", "segformer", "glpn", "dpt", "dinov2", "mask2former"):
        tiny.save(family, root / family)
    return root


def test_lists_are_free() -> None:
    code = (
        "import sys, zoo; names = zoo.list_models(plugin='transformers'); info = zoo.model_info('yolos-tiny');"
        "print(len(names), zoo.list_models(task='depth-estimation', license='apache-2.0').__len__() > 5,"
        "info.weights['main'].metrics, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split(" ", 1)[1].strip() == "True {'COCO-val2017': {'box_map': 28.7}} False False"
    assert int(out.split()[0]) > 100


def test_every_row_of_the_table_can_be() -> None:
    report = zoo.testing.verify("transformers", tier="contract")
    assert report.ok, str(report)
    for name in zoo.list_models(plugin="transformers", has_weights=True):
        entry = zoo.model_info(name).weights["main"]
        assert entry.url.startswith("hf://")
        assert entry.url.endswith("/model.safetensors@main")
        assert bool(entry.metrics) == ("metrics" not in entry.unknown)
        assert (entry.num_params is None) == ("num_params" in entry.unknown)


def test_names_of_ours_stay_ours() -> None:
    assert zoo.get_task("object-detection").implementation.startswith("zoo_detection")
    assert zoo.get_task("object-detection", plugin="transformers").implementation.startswith("zoo_transformers")
    assert not any(name.startswith("transformers/") for name in zoo.list_models(plugin="detection"))


def test_depth_is_drawn_with_a_scale_and_kept_as_numbers(saved: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    done = run("predict", COFFEE, "--model", saved / "glpn", "--task", "depth-estimation", "--output", tmp_path / "out")
    assert (done.status, done.err) == (0, "")
    assert "nearest" in done.out
    values = np.load(tmp_path / "out" / "coffee.npy")
    picture = Image.open(tmp_path / "out" / "coffee.png")
    photo = Image.open(COFFEE)
    assert values.shape == (photo.height, photo.width)
    assert picture.width > photo.width + 60  # the scale next to it
    result = zoo.pipeline(saved / "glpn", device="cpu")(COFFEE)
    assert result.unit == "metres"
    assert result.nearest == values.min() < values.max() == result.farthest
    colours = np.asarray(result.colours()).astype(int).sum(-1)
    assert (
        colours[np.unravel_index(values.argmin(), values.shape)]
        > colours[np.unravel_index(values.argmax(), values.shape)]
    )
    told = json.loads(run("predict", COFFEE, "--model", saved / "dpt", "--json").out)[0]
    assert told["unit"] == "relative"
    assert told["nearest"] > told["farthest"]


def test_a_vector_is_the_result_of_an_encoder(saved: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "vectors.jsonl"
    command = ["predict", COFFEE, "--model", saved / "dinov2", "--normalize"]
    assert run(*command, "--jsonl", file).status == 0
    vector = json.loads(file.read_text())["vector"]
    assert len(vector) == 16
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    encode = zoo.pipeline(saved / "dinov2", device="cpu")
    one, other = encode([COFFEE, COFFEE.with_name("camera.jpg")])
    assert one.similarity(one) == pytest.approx(1)
    assert one.similarity(other) < 0.9999


def test_a_panoptic_result_names_its_segments(saved: Path) -> None:
    result = zoo.pipeline(saved / "mask2former", device="cpu", min_score=0.3)(COFFEE)
    assert len(result) > 0
    assert sum(result.areas) <= 1
    assert result.to_dict()["segments"][0]["label"] in tiny.LABELS
    assert result.mask(0).sum() == pytest.approx(result.areas[0] * result.segment_map.numel())
    assert result.draw().width > 0


def test_classifiers_are_evaluated(saved: Path, tmp_path: Path) -> None:
    classify = zoo.pipeline(saved / "vit", device="cpu")
    pictures = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue", "white", "black")]
    for i, picture in enumerate(pictures):
        folder = tmp_path / "data" / classify(picture).label
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{i}.png")
    found = zoo.evaluate(str(saved / "vit"), tmp_path / "data", device="cpu")
    assert found.metrics["acc@1"] == 100


def test_detectors_are_evaluated(saved: Path, tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval")
    Image.open(COFFEE).save(tmp_path / "coffee.png")
    detect = zoo.pipeline(saved / "rt_detr", device="cpu")
    result = detect(tmp_path / "coffee.png")
    height, width = result._size
    truth = [
        {"id": i, "image_id": 1, "category_id": row["category_id"] + 1, "bbox": row["bbox"], "area": 400, "iscrowd": 0}
        for i, row in enumerate(result.to_coco(1), 1)
    ]
    (tmp_path / "truth.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "coffee.png", "height": height, "width": width}],
                "categories": [{"id": i, "name": name} for i, name in enumerate(tiny.LABELS, 1)],
                "annotations": truth,
            }
        )
    )
    found = zoo.evaluate(str(saved / "rt_detr"), tmp_path, tmp_path / "truth.json", device="cpu")
    assert found.metrics["box_map"] > 95


def test_segmenters_are_evaluated(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.open(COFFEE).resize((90, 60)).save(tmp_path / "images" / "a.png")
    result = zoo.pipeline(saved / "segformer", device="cpu")(tmp_path / "images" / "a.png")
    Image.fromarray(result.class_map.numpy()).save(tmp_path / "masks" / "a.png")
    found = zoo.evaluate(str(saved / "segformer"), tmp_path / "images", tmp_path / "masks", device="cpu")
    assert found.metrics["pixel_acc"] == 100


@pytest.mark.parametrize(("family", "output"), [("vit", "logits"), ("segformer", "logits"), ("dpt", "predicted_depth")])
def test_models_are_exported(family: str, output: str, saved: Path, tmp_path: Path) -> None:
    report = zoo.export(str(saved / family), tmp_path / "net.pt2")
    program = torch.export.load(report.path).module()
    model = zoo.get_model(saved / family).eval()
    size = [int(n) for n in report.inputs["pixel_values"].split("[")[1].rstrip("]").split(", ")]
    pixels = torch.rand(size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(program(pixels)[output], model(pixels)[output], atol=1e-4, rtol=1e-4)
