"""Real files of every format: reading, errors, splits, contact sheets, evaluation."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from typer.testing import CliRunner

import zoo
from zoo.errors import InvalidArgument, UnreadableFile
from zoo_classification.data import READERS
from zoo_optical_flow.flo import write_flo
from zoo_training.data import sheet, split_indices


def picture(file: Path, size: tuple[int, int] = (40, 30), color: Any = (200, 30, 30), **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(file, **options)
    return file


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        for i in range(10):
            picture(tmp_path / name / f"clip{i // 2}_{i}.png")
    return tmp_path


def coco(folder: Path, n: int = 6, **change: Any) -> Path:
    for i in range(n):
        picture(folder / f"{i}.png")
    images = [{"id": 10 + i, "file_name": f"{i}.png", "height": 30, "width": 40} for i in range(n)]
    rows = [
        {"id": 1 + i, "image_id": 10 + i, "category_id": 7 - 4 * (i % 2), "bbox": [5, 10, 20, 10],
         "segmentation": [[5, 10, 25, 10, 25, 20, 5, 20]], "iscrowd": 0, "area": 200} | change
        for i in range(n)
    ]  # fmt: skip
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return file


# ── classification and video ─────────────────────────────────────────────────────────────────────────────────────


def test_class_folders_are_split_by_class_with_a_seed(classes: Path) -> None:
    train, val = zoo.open_data(classes, "image-classification", val=0.2)
    assert (train.counts(), val.counts()) == ({"cat": 8, "dog": 8}, {"cat": 2, "dog": 2})
    assert not set(train.names) & set(val.names)
    again, _ = zoo.open_data(classes, "image-classification", val=0.2)
    other, _ = zoo.open_data(classes, "image-classification", val=0.2, seed=1)
    assert list(again.names) == list(train.names) != list(other.names)
    image, target = train[0]
    assert image.shape == (3, 30, 40)
    assert image.dtype == torch.uint8
    assert target == {"label": 0}
    assert isinstance(train, zoo.Examples)


def test_frames_of_one_clip_stay_together(classes: Path) -> None:
    train, val = zoo.open_data(classes, "image-classification", val=0.4, group=r"clip\d+")
    clips = [{name.split("/")[1].split("_")[0] for name in part.names} for part in (train, val)]
    assert not clips[0] & clips[1]
    assert len(clips[0] | clips[1]) == 5
    with pytest.raises(InvalidArgument, match="does not match any of the names"):
        zoo.open_data(classes, "image-classification", group="frame")
    with pytest.raises(InvalidArgument, match="is not a regular expression"):
        zoo.open_data(classes, "image-classification", group="(")


def test_folders_that_are_split_keep_the_categories_of_the_first(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "val/b"):
        picture(tmp_path / name / "1.png")
    train, val = zoo.open_data(tmp_path, "image-classification")
    assert list(train.categories) == list(val.categories) == ["a", "b"]
    assert val.target(0) == {"label": 1}
    picture(tmp_path / "val" / "c" / "1.png")
    with pytest.raises(InvalidArgument, match=r"names are not among the 2 categories:\n.*val/c'"):
        zoo.open_data(tmp_path, "image-classification")


def test_everything_that_is_wrong_with_folders_is_told_at_once(classes: Path) -> None:
    (classes / "bird").mkdir()
    (classes / "cat" / "broken.png").write_bytes(b"no picture")
    (classes / "dog" / "empty.jpg").touch()
    with pytest.raises(InvalidArgument) as told:
        zoo.open_data(classes, "image-classification")
    assert all(word in str(told.value) for word in ("3 problems", "'bird'", "broken.png", "empty.jpg"))


def test_csv(classes: Path) -> None:
    rows = [f"cat/clip{i // 2}_{i}.png,{i % 3},x" for i in range(6)]
    file = classes / "labels.csv"
    file.write_text("\n".join(["path,label,note", *rows]))
    train, val = zoo.open_data(file, "image-classification", val=0.5)
    assert len(train) + len(val) == 6
    assert list(train.categories) == ["0", "1", "2"]
    file.write_text("path,label\ncat/none.png,1\ncat/clip0_0.png,\ncat/clip0_0.png,2\n")
    with pytest.raises(
        InvalidArgument, match=r"line 3: label is empty(.|\n)*line 2: the file .* does not exist(.|\n)*line 4: .*line 3"
    ):
        zoo.open_data(file, "image-classification")
    file.write_text("file,label\n")
    with pytest.raises(InvalidArgument, match=r"line 1 has the columns file, label; expected also path"):
        zoo.open_data(file, "image-classification")


def test_pictures_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        picture(tmp_path / name / "1.jpg", exif=exif)
        picture(tmp_path / name / "2.jpg", exif=exif)
    assert zoo.open_data(tmp_path, "image-classification")[0][0][0].shape == (3, 40, 30)


def test_videos_in_class_folders(tmp_path: Path) -> None:
    for name, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        for i in range(2):
            frames = [Image.new("RGB", (32, 24), color) for _ in range(4)]
            frames[1].putpixel((0, 0), (9, 9, 9))
            frames[2].putpixel((1, 0), (9, 9, 9))
            (tmp_path / name).mkdir(exist_ok=True)
            frames[0].save(tmp_path / name / f"{i}.gif", save_all=True, append_images=frames[1:], duration=100)
    train, _ = zoo.open_data(tmp_path, "video-classification")
    clip, target = train[0]
    assert clip.shape == (16, 3, 24, 32)
    assert train.categories[target["label"]] == "blue"
    assert clip[5, :, 10, 10].tolist() == [0, 0, 255]
    assert sheet(train).width > 100


# ── detection ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_coco(tmp_path: Path) -> None:
    coco(tmp_path)
    train, val = zoo.open_data(tmp_path, "instance-segmentation", val=0.34)
    assert (len(train), len(val)) == (4, 2)
    assert train.categories == ["__background__", "cat", "dog"]  # in the file's order, independent of the ids
    image, target = train[0]
    assert target["boxes"].tolist() == [[5, 10, 25, 20]]
    assert target["labels"].tolist() == [1]
    assert target["masks"].shape == (1, *image.shape[1:])
    assert target["masks"].sum() == 200
    ys, xs = target["masks"][0].nonzero().T
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == [5, 10, 25, 20]
    assert len(sheet(train).getcolors(1 << 20) or ()) > 10


def test_coco_tells_all_that_is_wrong(tmp_path: Path) -> None:
    coco(tmp_path, bbox=[1, 2, -3, 4])
    with pytest.raises(InvalidArgument, match=r"annotations\[0\] .*\n.*annotations\[1\] (.|\n)*annotations\[5\]"):
        zoo.open_data(tmp_path, "object-detection")
    coco(tmp_path)
    for i in (1, 2):
        (tmp_path / f"{i}.png").unlink()
    with pytest.raises(InvalidArgument, match=r"2 annotated images are not in (.|\n)*'1.png'\n  '2.png'"):
        zoo.open_data(tmp_path, "object-detection")


def test_masks_as_outlines_and_run_lengths_agree() -> None:
    from zoo_detection.coco_files import mask_of
    from zoo_detection.task import run_lengths

    chance = np.random.default_rng(0)
    for _ in range(20):
        outline = (chance.random((5, 2)) * [40, 30]).ravel().tolist()
        mask = mask_of([outline], 30, 40)
        assert torch.equal(mask_of(run_lengths(mask.bool()), 30, 40), mask)
    disc = [
        f(a)
        for a in np.linspace(0, 2 * np.pi, 90)
        for f in (lambda a: 20 + 10 * np.cos(a), lambda a: 15 + 10 * np.sin(a))
    ]
    assert mask_of([disc], 30, 40).sum().item() == pytest.approx(np.pi * 100, rel=0.02)
    assert mask_of([[-50, -50, 90, -50, 90, 90, -50, 90]], 30, 40).all()


def test_voc(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.jpg")
    picture(tmp_path / "JPEGImages" / "b.jpg")
    text = (
        "<annotation><filename>{0}.jpg</filename><object><name>dog</name><difficult>1</difficult><bndbox>"
        "<xmin>{1}</xmin><ymin>1</ymin><xmax>10</xmax><ymax>20</ymax></bndbox></object></annotation>"
    )
    folder = tmp_path / "Annotations"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.xml").write_text(text.format(name, 1))
    train, _ = zoo.open_data(tmp_path, "object-detection", val=0.5)
    target = train.target(0)
    assert target["boxes"].tolist() == [[0, 0, 10, 20]]
    assert target["iscrowd"].tolist() == [1]
    (folder / "a.xml").write_text("<annotation>")
    (folder / "b.xml").write_text(text.format("b", 11))
    (folder / "c.xml").write_text(text.format("c", 1))
    with pytest.raises(InvalidArgument, match=r"a\.xml'.*\n.*b\.xml'.*object 1.*\n.*c\.xml'.*no picture 'c'"):
        zoo.open_data(tmp_path, "object-detection")
    (folder / "a.xml").write_text("<!DOCTYPE x [<!ENTITY a 'b'>]><annotation>&a;</annotation>")
    with pytest.raises(InvalidArgument, match="declares entities"):
        zoo.open_data(tmp_path, "object-detection")


@pytest.mark.parametrize(
    "names", ["names: [cat, 'dog']", "names:\n  0: cat\n  1: dog\nnc: 2", "names:\n- cat  # first\n- dog"]
)
def test_yolo(tmp_path: Path, names: str) -> None:
    for split in ("train", "val"):
        picture(tmp_path / "images" / split / "a.png")
        picture(tmp_path / "images" / split / "none.png")
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / "a.txt").write_text("1 0.5 0.5 0.5 0.2\n0 0.25 0.5 0.1 0.1\n")
    (tmp_path / "data.yaml").write_text(names)
    train, val = zoo.open_data(tmp_path, "object-detection")
    assert train.categories == ["__background__", "cat", "dog"]
    assert len(train) == len(val) == 2
    assert train.target(0)["boxes"][0].tolist() == pytest.approx([10, 12, 30, 18])
    assert train.target(0)["labels"].tolist() == [2, 1]
    assert not len(train.target(1)["boxes"])
    (tmp_path / "labels" / "train" / "a.txt").write_text("1 0.5 0.5\n7 0.5 0.5 0.1 0.1\n0 12 20 30 40\n")
    with pytest.raises(InvalidArgument, match=r"line 1(.|\n)*line 3(.|\n)*line 2: class 7; there are 2 names"):
        zoo.open_data(tmp_path, "object-detection")


def test_objects_in_csv(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    file = tmp_path / "objects.csv"
    file.write_text("path,label,xmin,ymin,xmax,ymax\na.png,dog,1,2,11,12\na.png,cat,0,0,5,5\nb.png,,,,,\n")
    train, val = zoo.open_data(file, "object-detection", val=0.5)
    whole = {name: part.target(i) for part in (train, val) for i, name in enumerate(part.names)}
    assert whole["a.png"]["boxes"].tolist() == [[1, 2, 11, 12], [0, 0, 5, 5]]
    assert not len(whole["b.png"]["boxes"])
    file.write_text("path,label,xmin,ymin,xmax,ymax\na.png,dog,9,2,1,12\nc.png,cat,0,0,5,nan\n")
    with pytest.raises(InvalidArgument, match=r"line 2: label 'dog'(.|\n)*line 3: the file .* does not exist"):
        zoo.open_data(file, "object-detection")


# ── segmentation and flow ────────────────────────────────────────────────────────────────────────────────────────


def test_class_maps_and_masks_of_black_and_white(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "images" / f"{i}.jpg", (4, 2))
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.array([[0, 255, 255, 0]] * 2, np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    with pytest.raises(InvalidArgument, match=r"pass mapping=\{0: 0, 255: 1\}"):
        zoo.open_data(tmp_path, "semantic-segmentation")
    train, _ = zoo.open_data(tmp_path, "semantic-segmentation", mapping={0: 0, 255: 1})
    assert train[0][1]["mask"].tolist() == [[0, 1, 1, 0]] * 2
    assert train.counts() == {"0": 12, "1": 12}
    assert sheet(train).size[0] > 100
    Image.new("L", (3, 3)).save(tmp_path / "masks" / "0.png")
    Image.new("RGB", (4, 2)).save(tmp_path / "masks" / "1.png")
    with pytest.raises(InvalidArgument, match=r"0\.png' has 3 × 3 pixels(.|\n)*1\.png' has pixels of mode RGB"):
        zoo.open_data(tmp_path, "semantic-segmentation", mapping={0: 0, 255: 1})


def test_flow_pairs(tmp_path: Path) -> None:
    (tmp_path / "flow").mkdir()
    for name in "abc":
        for end in "12":
            picture(tmp_path / "images" / f"{name}_{end}.png", (8, 6))
        write_flo(torch.full((2, 6, 8), 1.5), tmp_path / "flow" / f"{name}.flo")
    train, val = zoo.open_data(tmp_path, "optical-flow", val=0.34)
    (first, second), target = train[0]
    assert first.shape == second.shape == (3, 6, 8)
    assert target["flow"].max() == 1.5
    assert target["valid"].all()
    assert (len(train), len(val)) == (2, 1)
    assert sheet(train).size[0] > 100
    (tmp_path / "images" / "b_2.png").unlink()
    with pytest.raises(InvalidArgument, match=r"Flows without frames:\n.*b\.flo'"):
        zoo.open_data(tmp_path, "optical-flow")


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_readers_work_in_other_processes(tmp_path: Path) -> None:
    coco(tmp_path)
    train, _ = zoo.open_data(tmp_path, "object-detection")
    assert pickle.loads(pickle.dumps(train)).names == train.names
    loader: Any = DataLoader(train, batch_size=None, num_workers=2, multiprocessing_context="spawn")  # type: ignore[arg-type]
    assert [target["image_id"] for _, target in loader] == list(range(len(train)))


def test_paths_formats_and_options_that_are_none(classes: Path) -> None:
    for call, complaint in (
        (lambda: zoo.open_data(classes / "none", "image-classification"), "path: .* does not exist"),
        (lambda: zoo.open_data(classes, "image-classification", format="folder"), "Did you mean 'folders'"),
        (lambda: zoo.open_data(classes, "object-detection"), "does not match any of the formats coco, csv, voc, yolo"),
        (lambda: zoo.open_data(classes, "image-classification", mapping={}), "cannot be opened with"),
        (lambda: zoo.open_data(classes, "image-classification", val=1.0), "val is 1.0"),
        (lambda: zoo.open_data(classes, "image-classification", split="train"), "split: the folder .* does not exist"),
    ):
        with pytest.raises(InvalidArgument, match=complaint):
            call()


def test_a_picture_that_vanishes_is_named(classes: Path) -> None:
    train, _ = zoo.open_data(classes, "image-classification")
    Path(train.source(3)).unlink()
    with pytest.raises(UnreadableFile, match="does not exist"):
        train[3]


def test_no_split_of_one_example(classes: Path) -> None:
    train, _ = zoo.open_data(classes, "image-classification")
    with pytest.raises(InvalidArgument, match="a split needs at least two"):
        split_indices(train.select([0]))


def test_an_opened_reader_is_evaluated_as_its_folder(classes: Path) -> None:
    model = zoo.get_model("squeezenet1_1", num_classes=2).eval()
    weights = zoo.get_weight("SqueezeNet1_1_Weights.IMAGENET1K_V1")
    entry = replace(weights.value, url="file:///none.pth", categories=("cat", "dog"))
    folder = zoo.evaluate(model, classes, weights=entry, device="cpu")
    reader = zoo.open_data(classes, "image-classification")[1]
    part = zoo.evaluate(model, reader, weights=entry, device="cpu")
    assert folder.measured == 20
    assert part.measured == 4
    assert part.metrics.keys() == folder.metrics.keys()
    with pytest.raises(InvalidArgument, match="annotations must not be given with a reader"):
        zoo.evaluate(model, reader, classes, weights=entry)


def test_records_of_other_labels_are_not_gone_on_from(classes: Path, tmp_path: Path) -> None:
    """With an opened reader, and with ground truth next to the pictures."""
    model = zoo.get_model("squeezenet1_1", num_classes=2).eval()
    entry = replace(
        zoo.get_weight("SqueezeNet1_1_Weights.IMAGENET1K_V1").value, url="file:///none.pth", categories=("cat", "dog")
    )
    table = classes / "labels.csv"
    rows = [f"{name}/clip0_0.png,{name}" for name in ("cat", "dog")]
    options: dict[str, Any] = {"weights": entry, "device": "cpu", "output": tmp_path / "out"}

    def reader(lines: list[str]) -> Any:
        table.write_text("\n".join(["path,label", *lines]))
        return READERS["csv"](table, categories=["cat", "dog"])

    first = zoo.evaluate(model, reader(rows), **options)
    assert zoo.evaluate(model, reader(rows), **options).metrics == first.metrics
    with pytest.raises(InvalidArgument, match="other data"):
        zoo.evaluate(model, reader([rows[0], rows[1].replace(",dog", ",cat")]), **options)


def test_the_truth_of_every_reader_is_in_its_digest(tmp_path: Path) -> None:
    from zoo_detection.data import CocoObjects
    from zoo_segmentation.data import Masks
    from zoo_tools.records import data_digest

    def of(reader: Any) -> str:
        return data_digest(reader.names, None, tmp_path / "out", reader)

    coco(tmp_path / "coco")
    before = of(CocoObjects(tmp_path / "coco"))
    assert of(CocoObjects(tmp_path / "coco")) == before
    coco(tmp_path / "coco", bbox=[5, 10, 20, 9])
    assert of(CocoObjects(tmp_path / "coco")) != before
    picture(tmp_path / "maps/images/a.jpg")
    (tmp_path / "maps/masks").mkdir()
    truths = []
    for value in (1, 2):
        Image.new("L", (40, 30), value).save(tmp_path / "maps/masks/a.png")
        truths.append(of(Masks(tmp_path / "maps", categories=list("abc"))))
    assert truths[0] != truths[1]

    class Own:
        """A reader with only what the contract requires."""

        categories, names = ("a", "b"), ("x",)

        def __init__(self, label: int) -> None:
            self.label = label

        def __len__(self) -> int:
            return 1

        def target(self, i: int) -> dict[str, Any]:
            return {"boxes": torch.tensor([[0.0, self.label]]), "label": self.label}

    assert of(Own(0)) != of(Own(1))


def test_objects_of_a_reader_are_evaluated_as_those_of_its_file(tmp_path: Path) -> None:
    """With the detector's own boxes, moved in one picture: same as the file, with any ids; and with a subset."""
    pytest.importorskip("faster_coco_eval")
    from zoo_detection.data import CocoObjects, TableObjects
    from zoo_detection.evaluation import CocoEvaluator
    from zoo_detection.task import Detection

    file = coco(tmp_path)
    rows = [f"{i}.png,{('cat', 'dog')[i % 2]},5,10,25,20" for i in range(6)]
    (tmp_path / "objects.csv").write_text("\n".join(["path,label,xmin,ymin,xmax,ymax", *rows]))
    names = ["__background__", "cat", "dog"]
    weights = zoo.Weights(url="file:///none.pth", categories=tuple(names))
    figures = []
    reader = CocoObjects(tmp_path, file)
    for given in ((tmp_path, file), (reader, None), (TableObjects(tmp_path / "objects.csv"), None),
                  (reader.select([4, 5]), None)):  # fmt: skip
        evaluator = CocoEvaluator(*given, weights)
        records = []
        for i, (name, source) in enumerate(evaluator.sources.items()):
            box = torch.tensor([[5.0, 10, 25, 20]]) + (3 if name == "0.png" else 0)
            label = torch.tensor([1 + int(name[0]) % 2])
            found = Detection(box, label, torch.tensor([0.9 - i / 100]), names, Image.open(source))
            records.append(evaluator.measure(name, found))
        figures.append(evaluator.summarize(records)["box_map"])
    assert figures[0] == figures[1] == figures[2] < 99
    assert figures[3] == pytest.approx(100)


def test_the_command_writes_a_sheet_and_replaces_nothing(tmp_path: Path) -> None:
    from zoo.cli import app

    coco(tmp_path / "data")
    run: Callable[..., Any] = CliRunner().invoke
    words = ["data", "show", str(tmp_path / "data"), "--task", "object-detection", "--output", str(tmp_path / "s.png")]
    result = run(app, words)
    assert result.exit_code == 0, result.output
    assert "cat" in result.output
    assert Image.open(tmp_path / "s.png").width > 300
    assert run(app, words).exit_code != 0
    told = json.loads(run(app, [*words[:-2], "--json"]).output)
    assert told["train"]["counts"]["cat"] + told["val"]["counts"]["cat"] == 3
