"""Mean IoU and pixel accuracy from pictures and indexed PNGs: compared with hand-counted values, in batches of any
size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoo
from zoo.cli import main
from zoo.errors import InvalidArgument, UnreadableFile
from zoo_segmentation.evaluation import ClassMaps, read_class_map
from zoo_segmentation.metrics import ConfusionMatrix
from zoo_segmentation.task import Segmentation

EXAMPLES = Path(__file__).parents[2] / "examples"
WEIGHTS = zoo.Weights(url="file:///nowhere.pth", categories=("ground", "sky", "sea"))
MODEL, SHAPES = "lraspp_mobilenet_v3_large", "SHAPES_V1"


def classes(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)


def seen(rows: list[list[int]]) -> Segmentation:
    return Segmentation(classes(rows), WEIGHTS.categories, Image.new("L", (len(rows[0]), len(rows))))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two pictures of 2 × 3 pixels, ``a.jpg`` and ``more/b.png``, with their class maps."""
    images, annotations = tmp_path / "images", tmp_path / "annotations"
    for name, rows in (("a.jpg", [[0, 0, 1], [0, 0, 255]]), ("more/b.png", [[1, 1, 1], [0, 1, 1]])):
        for folder in (images, annotations):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(images / name)
        indexed = Image.fromarray(classes(rows).numpy())
        indexed.putpalette([17 * i % 256 for i in range(768)])
        indexed.save((annotations / name).with_suffix(".png"))
    return images, annotations


def test_pixels_are_counted(folders: tuple[Path, Path]) -> None:
    """One pixel is ignored; 9 of the 11 others are right. IoU of ground: 4 of 6; of sky: 5 of 7; sea does not occur."""
    evaluator = ClassMaps(*folders, WEIGHTS)
    assert list(evaluator.sources) == ["a", "more/b"]
    assert evaluator.sources["a"] == folders[0] / "a.jpg"
    records = [
        evaluator.measure("a", seen([[0, 0, 1], [0, 1, 1]])),
        evaluator.measure("more/b", seen([[1, 1, 1], [0, 0, 1]])),
    ]
    assert records[0] == {"classes": 3, "counts": [[0, 0, 3], [0, 1, 1], [1, 1, 1]], "ignored": 1}
    metrics = evaluator.summarize(json.loads(json.dumps(records)))
    assert math.isnan(metrics.pop("iou/sea"))
    ground, sky = 100 * 4 / 6, 100 * 5 / 7
    expected = {"miou": (ground + sky) / 2, "pixel_acc": 100 * 9 / 11, "iou/ground": ground, "iou/sky": sky}
    assert metrics == pytest.approx(expected)
    assert evaluator.notes == [
        "8.33 % of the annotated pixels are 255, which is ignored (ignore_index).",
        "1 of 3 classes never occur in the annotations: sea.",
    ]


def test_masks_of_0_and_255_are_told(folders: tuple[Path, Path]) -> None:
    """The usual form of a mask of two classes: without the note, everything but the background would be ignored
    silently."""
    for name in ("a.png", "more/b.png"):
        Image.fromarray(classes([[0, 255, 255], [255, 255, 255]]).numpy()).save(folders[1] / name)
    evaluator = ClassMaps(*folders, WEIGHTS)
    record = evaluator.measure("a", seen([[0, 0, 0], [0, 0, 0]]))
    assert evaluator.summarize([record])["pixel_acc"] == 100
    assert "83.3 % of the annotated pixels are 255" in evaluator.notes[0]
    assert evaluator.notes[1] == "2 of 3 classes never occur in the annotations: sky, sea."
    Image.fromarray(classes([[0, 9, 9], [0, 0, 0]]).numpy()).save(folders[1] / "a.png")
    with pytest.raises(
        InvalidArgument, match=r"classes from 0 to 9; expected 0 to 2.*33\.3 % of its pixels have no valid class"
    ):
        evaluator.measure("a", seen([[0, 0, 0], [0, 0, 0]]))


def test_another_class_can_be_ignored(folders: tuple[Path, Path]) -> None:
    evaluator = ClassMaps(*folders, WEIGHTS, ignore_index=0)
    record = evaluator.measure("more/b", seen([[1, 1, 1], [1, 1, 0]]))
    assert evaluator.summarize([record])["pixel_acc"] == pytest.approx(80)
    with pytest.raises(InvalidArgument, match="classes from 0 to 255; expected 0 to 2"):
        ClassMaps(*folders, WEIGHTS, ignore_index=1).measure("a", seen([[0, 0, 1], [0, 1, 1]]))
    with pytest.raises(InvalidArgument, match="ignore_index is 'none'"):
        ClassMaps(*folders, WEIGHTS, ignore_index="none")  # type: ignore[arg-type]


def test_what_does_not_fit(folders: tuple[Path, Path]) -> None:
    with pytest.raises(InvalidArgument, match=r"a\.png' does not fit the picture or the model: target \[2, 3\]"):
        ClassMaps(*folders, WEIGHTS).measure("a", seen([[0, 0, 1]]))
    Image.new("RGB", (3, 2)).save(folders[1] / "a.png")
    with pytest.raises(UnreadableFile, match="pixels of mode RGB; expected one number per pixel"):
        ClassMaps(*folders, WEIGHTS).measure("a", seen([[0, 0, 1], [0, 1, 1]]))
    (folders[1] / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(UnreadableFile, match="cannot be read as a picture"):
        ClassMaps(*folders, WEIGHTS).measure("a", seen([[0, 0, 1], [0, 1, 1]]))


@pytest.mark.parametrize("mode", ["L", "I;16", "1"])
def test_class_maps_without_a_palette(tmp_path: Path, mode: str) -> None:
    Image.fromarray(classes([[0, 1], [1, 1]]).numpy() * (255 if mode == "1" else 1)).convert(mode).save(
        tmp_path / "a.png"
    )
    assert read_class_map(tmp_path / "a.png").tolist() == [[0, 1], [1, 1]]


def test_pictures_without_annotation_are_told_and_annotations_without_picture_fail(
    folders: tuple[Path, Path],
) -> None:
    Image.new("RGB", (3, 2)).save(folders[0] / "c.png")
    (folders[0] / "a.jpg").unlink()
    evaluator = ClassMaps(*folders, WEIGHTS)
    assert evaluator.notes == ["1 of 2 pictures have no annotation and were skipped."]
    assert list(evaluator.sources) == ["a", "more/b"]
    assert not Path(evaluator.sources["a"]).exists()


def test_other_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for given, what in ((None, "none was given"), (folders[1] / "a.png", "is not a folder")):
        with pytest.raises(InvalidArgument, match=f"expected a folder of PNGs.*{what}"):
            ClassMaps(folders[0], given, WEIGHTS)
    with pytest.raises(InvalidArgument, match=r"No PNG in .* has the name of a picture"):
        ClassMaps(folders[0], folders[1] / "more", WEIGHTS)
    Image.new("RGB", (3, 2)).save(folders[0] / "a.png")
    with pytest.raises(InvalidArgument, match=r"a\.png' and .*a\.jpg' have the same name"):
        ClassMaps(*folders, WEIGHTS)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Seven generated pictures of shapes, of two sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        from shapes import make_picture
    images, annotations = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("annotations")
    for i in range(7):
        picture = make_picture(4_000_000 + i, (160, 160) if i % 3 else (120, 96))
        Image.fromarray(picture.image).save(images / f"{i}.png")
        Image.fromarray(picture.class_map).save(annotations / f"{i}.png")
    return images, annotations


def test_the_published_model_on_generated_pictures(shapes: tuple[Path, Path], tmp_path: Path) -> None:
    """The metrics equal those of a confusion matrix over the pipeline's results, for any batch size, also after an
    interruption."""
    matrix = ConfusionMatrix(6)
    predict = zoo.pipeline(MODEL, SHAPES, "cpu", optimize=False)
    for path, result in predict.stream(predict.expand(shapes[0]), batch_size=7):
        matrix.update(read_class_map(shapes[1] / path.name), result.class_map)
    scores = matrix.compute()
    options: dict[str, Any] = {"weights": SHAPES, "device": "cpu", "optimize": False}
    once = zoo.evaluate(MODEL, *shapes, batch_size=7, **options)
    assert (once.metrics["miou"], once.metrics["pixel_acc"]) == (scores.miou, scores.pixel_acc)
    assert once.metrics["iou/star"] == scores.iou[4]
    assert scores.pixel_acc > 85
    zoo.evaluate(MODEL, *shapes, batch_size=3, limit=4, output=tmp_path, **options)
    twice = zoo.evaluate(MODEL, *shapes, batch_size=3, output=tmp_path, **options)
    assert twice.metrics == pytest.approx(once.metrics, abs=1e-2)  # a pixel on an edge may get either class


@pytest.mark.slow
def test_several_processes_count_the_same(shapes: tuple[Path, Path]) -> None:
    alone, together = (
        zoo.evaluate(MODEL, *shapes, SHAPES, "cpu", batch_size=2, processes=processes) for processes in (1, 2)
    )
    assert alone.to_dict() == together.to_dict()


def test_on_the_command_line(shapes: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", MODEL, "--weights", SHAPES, "--images", str(shapes[0]), "--annotations", str(shapes[1])]
    assert main(["evaluate", *arguments, "--limit", "2", "--ignore-index", "0"]) == 0
    out = capsys.readouterr().out
    assert "Published: Shapes" in out
    assert "miou" in out
    assert "iou/ring" in out
