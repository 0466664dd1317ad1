"""Problems of data are reported with their location when it is opened; unusual but valid data is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import InvalidArgument, UnreadableFile, ZooError
from zoo_optical_flow.flo import write_flo

BOXES = "object-detection"
Build = Callable[[Path], object]


def picture(file: Path, size: tuple[int, int] = (40, 30), **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 30, 30)).save(file, **options)
    return file


def text(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def coco(folder: Path, bbox: Any = (5, 10, 20, 10), n: int = 2, **image: Any) -> dict[str, Any]:
    for i in range(n):
        if not (folder / f"{i}.png").exists():
            picture(folder / f"{i}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} | image for i in range(n)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": list(bbox)} for i in range(n)],
    }
    text(folder / "annotations.json", json.dumps(content))
    return content


def yolo(folder: Path, lines: str | bytes = "0 0.5 0.5 0.5 0.2\n") -> None:
    for name in "ab":
        picture(folder / "images" / f"{name}.png")
        text(folder / "labels" / f"{name}.txt", lines)
    text(folder / "classes.txt", "cat\ndog\n")


def voc(folder: Path, box: str = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>", name: str = "cat") -> None:
    for stem in "ab":
        picture(folder / "JPEGImages" / f"{stem}.jpg")
        inside = f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
        text(folder / "Annotations" / f"{stem}.xml", f"<annotation>{inside}</annotation>")


def table(folder: Path, rows: str | bytes = "a.png,cat\nb.png,dog\n", head: str = "path,label\n") -> None:
    for name in ("a.png", "b.png"):
        picture(folder / name)
    content = head.encode() + (rows.encode() if isinstance(rows, str) else rows)
    text(folder / "table.csv", content)


def classes(folder: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(2):
            picture(folder / name / f"{i}.png")


def masks(folder: Path, mode: str = "L", value: int = 1, size: tuple[int, int] = (40, 30)) -> None:
    for name in "ab":
        picture(folder / "images" / f"{name}.jpg")
        (folder / "masks").mkdir(exist_ok=True)
        made = Image.new(mode, size, value)
        if mode == "P":
            made.putpalette(range(48))
        made.save(folder / "masks" / f"{name}.png")


def flow(folder: Path) -> None:
    for name in "abc":
        for end in "12":
            picture(folder / "images" / f"{name}_{end}.png")
        (folder / "flow").mkdir(exist_ok=True)
        write_flo(torch.zeros(2, 30, 40), folder / "flow" / f"{name}.flo")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


def also(*steps: Build) -> Build:
    def build(folder: Path) -> None:
        for step in steps:
            step(folder)

    return build


OBJECT_HEAD = "path,label,xmin,ymin,xmax,ymax\n"
WRONG: dict[str, tuple[str, Build, str]] = {
    # COCO
    "coco: broken json": (BOXES, lambda p: text(p / "annotations.json", '{"images": ['), "not JSON: .*line 1"),
    "coco: outside": (BOXES, lambda p: coco(p, (50, 5, 10, 10)), r"\[50, 5, 10, 10\] of 'cat' in '0.png' is outside"),
    "coco: sizes differ": (BOXES, lambda p: coco(p, height=31, width=40), "0.png' has 40 × 30 pixels, but 40 × 31"),
    "coco: turned": (
        BOXES,
        lambda p: (coco(p, height=30, width=40), exif(p / "0.png")),
        r"0.png' has 30 × 40 pixels \(rotated by its EXIF orientation\), but 40 × 30",
    ),
    "coco: no picture": (BOXES, lambda p: (coco(p), (p / "1.png").unlink()), r"1 annotated images .*\n.*'1.png'"),
    "coco: a broken picture": (BOXES, lambda p: (coco(p), text(p / "1.png", b"no")), "1.png"),
    "coco: twice the image": (
        BOXES,
        lambda p: text(p / "annotations.json", json.dumps({**(c := coco(p)), "images": c["images"] * 2})),
        "2 images have the id 0",
    ),
    # YOLO
    "yolo: class": (BOXES, lambda p: yolo(p, "0 0.5 0.5 0.1 0.1\n5 0.5 0.5 0.1 0.1\n"), "a.txt', line 2: class 5"),
    "yolo: pixels": (BOXES, lambda p: yolo(p, "0 20 15 10 10\n"), "a.txt', line 1: .*fractions from 0 to 1, not"),
    "yolo: not a number": (BOXES, lambda p: yolo(p, "0 0.5 nan 0.1 0.1\n"), "a.txt', line 1"),
    "yolo: bytes": (BOXES, lambda p: yolo(p, b"0 0.5 0.5 0.1 0.1 \xff\n"), "a.txt'.*codec can't decode"),
    "yolo: two pictures": (BOXES, also(yolo, lambda p: picture(p / "images/a.jpg")), "a.jpg' have the same name"),
    "yolo: no picture": (BOXES, also(yolo, lambda p: text(p / "labels/c.txt", "0 .5 .5 .1 .1")), "no picture 'c'"),
    # VOC
    "voc: no name": (BOXES, lambda p: voc(p, name=" "), "a.xml': object 1 has name ''"),
    "voc: outside": (
        BOXES,
        lambda p: voc(p, "<xmin>99</xmin><ymin>1</ymin><xmax>120</xmax><ymax>9</ymax>"),
        r"of 'cat' in 'a.jpg' is outside its 40 × 30 pixels",
    ),
    "voc: two pictures": (BOXES, also(voc, lambda p: picture(p / "JPEGImages/a.png")), "have the same name"),
    # tables
    "csv: latin-1": ("image-classification", lambda p: table(p, b"a.png,caf\xe9\nb.png,b\n"), "line 2: .*not UTF-8"),
    "csv: columns": ("image-classification", lambda p: table(p, head="file,class\n"), "line 1 has the columns file"),
    "csv: missing": ("image-classification", lambda p: table(p, "a.png,cat\nc.png,dog\n"), "line 3: the file .* does"),
    "csv: twice": ("image-classification", lambda p: table(p, "a.png,cat\na.png,dog\n"), "line 3: 'a.png' is already"),
    "csv: cells": ("image-classification", lambda p: table(p, "a.png,cat,x\nb.png,dog\n"), "line 2: expected 2 cells"),
    "csv: empty": ("image-classification", lambda p: table(p, ""), "it has no rows"),
    "boxes: outside": (BOXES, lambda p: table(p, "a.png,cat,50,0,60,9\n", OBJECT_HEAD), "in 'a.png' is outside"),
    "boxes: turned round": (BOXES, lambda p: table(p, "a.png,cat,9,0,5,9\n", OBJECT_HEAD), "line 2: label 'cat'"),
    # folders
    "folders: empty": ("image-classification", also(classes, lambda p: (p / "owl").mkdir()), "'owl' has no file"),
    "folders: broken": ("image-classification", also(classes, lambda p: text(p / "cat/9.png", b"")), "9.png"),
    "folders: cut short": (
        "image-classification",
        also(classes, lambda p: cut(picture(p / "cat/9.png", (90, 90)))),
        "9.png' cannot be read as a picture",
    ),
    "folders: a jpeg cut short": (
        "image-classification",
        also(classes, lambda p: cut(picture(p / "cat/9.jpg", (300, 300)))),
        "9.jpg' cannot be read as a picture: .*truncated",
    ),
    "coco: cut short": (BOXES, lambda p: (coco(p), cut(picture(p / "1.png"))), "1.png"),
    "flow: cut short": ("optical-flow", lambda p: (flow(p), cut(p / "flow/a.flo")), "a.flo' is damaged or truncated"),
    "flow: no flow": ("optical-flow", lambda p: (flow(p), text(p / "flow/a.flo", b"x")), "a.flo' is not a .flo file"),
    "flow: sizes": (
        "optical-flow",
        lambda p: (flow(p), picture(p / "images/b_2.png", (9, 9))),
        "b.flo' has 30 × 40 pixels, but its frames have 30 × 40 and 9 × 9",
    ),
    "folders: none": ("image-classification", lambda p: (p / "x").mkdir(), "has no folders of"),
    # class maps
    "masks: colours": ("semantic-segmentation", lambda p: masks(p, "RGB"), r"a.png' has pixels of mode RGB.*mapping="),
    "masks: sizes": ("semantic-segmentation", lambda p: masks(p, size=(3, 3)), "a.png' has 3 × 3 pixels"),
    "masks: classes": (
        "semantic-segmentation",
        also(lambda p: masks(p, value=7), lambda p: text(p / "classes.txt", "a\nb\n")),
        r"a.png' has classes \[7\]; expected fewer than 2",
    ),
    "masks: two pictures": (
        "semantic-segmentation",
        also(masks, lambda p: picture(p / "images/a.png")),
        "a.png' and .*a.jpg' have the same name",
    ),
    "masks: colour table": (
        "semantic-segmentation",
        also(masks, lambda p: text(p / "label_colors.txt", "0 0 0 void\n300 0 0 road\n")),
        "label_colors.txt', line 2: the colour",
    ),
}  # fmt: skip


def exif(file: Path, orientation: int = 6) -> None:
    data = Image.Exif()
    data[0x0112] = orientation
    picture(file, exif=data)


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named_with_its_place(kind: str, tmp_path: Path) -> None:
    task, build, said = WRONG[kind]
    build(tmp_path)
    path = tmp_path / "table.csv" if (tmp_path / "table.csv").exists() else tmp_path
    with pytest.raises((InvalidArgument, UnreadableFile), match=said) as told:
        zoo.open_data(path, task, val=0.5)
    assert isinstance(told.value, ZooError)


# ── unusual, but valid ───────────────────────────────────────────────────────────────────────────────────────────


def test_tables_of_windows_and_of_spreadsheets(tmp_path: Path) -> None:
    rows = b"\xef\xbb\xbfpath;label\r\nin\\a.png;caf\xc3\xa9\r\nin\\b.png;x\r\n"
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png")
    train, val = zoo.open_data(text(tmp_path / "t.csv", rows), "image-classification", val=0.5)
    assert sorted([*train.names, *val.names]) == ["in/a.png", "in/b.png"]
    assert train.categories == ["café", "x"]
    assert train[0][0].shape == (3, 30, 40)


def test_the_yaml_file_of_yolo_stands_for_its_folder(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        yolo(tmp_path / part)
        (tmp_path / part / "classes.txt").unlink()
    file = text(tmp_path / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: ['cat', 'dog']\n")
    train, val = zoo.open_data(file, BOXES)
    assert (len(train), len(val)) == (2, 2)
    assert train.categories[1:] == ["cat", "dog"]


def test_text_files_of_windows(tmp_path: Path) -> None:
    yolo(tmp_path, b"\xef\xbb\xbf0 0.5 0.5 0.5 0.2\r\n\r\n")
    text(tmp_path / "classes.txt", b"\xef\xbb\xbfk\xc3\xb6ter\r\n")
    train, _ = zoo.open_data(tmp_path, BOXES, val=0.5)
    assert train.categories == ["__background__", "köter"]
    assert train.target(0)["boxes"].tolist() == [[10, 12, 30, 18]]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_hidden_files_links_and_capitals(tmp_path: Path) -> None:
    classes(tmp_path / "data")
    for name in (".DS_Store", "cat/.DS_Store", "cat/._0.png", ".hidden/x.png", "Thumbs.db"):
        text(tmp_path / "data" / name, b"\0")
    picture(tmp_path / "data/cat/BIG.JPG")
    picture(tmp_path / "elsewhere/9.png")
    (tmp_path / "data/owl").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/dog/link.png").symlink_to(tmp_path / "elsewhere/9.png")
    train, val = zoo.open_data(tmp_path / "data", "image-classification", val=0.4)
    names = {*train.names, *val.names}
    assert names == {f"{n}/{i}.png" for n in ("cat", "dog") for i in (0, 1)} | {
        "cat/BIG.JPG", "owl/9.png", "dog/link.png"
    }  # fmt: skip


def test_boxes_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    coco(tmp_path, (2, 30, 20, 9), height=40, width=30)
    for i in range(2):
        exif(tmp_path / f"{i}.png")
    train, _ = zoo.open_data(tmp_path, BOXES, val=0.5)
    image, target = train[0]
    assert image.shape == (3, 40, 30)
    assert target["boxes"].tolist() == [[2, 30, 22, 39]]


def test_boxes_that_reach_beyond_or_are_there_twice_are_noted(tmp_path: Path) -> None:
    yolo(tmp_path, "0 0.9 0.5 0.4 0.2\n0 0.9 0.5 0.4 0.2\n")
    train, _ = zoo.open_data(tmp_path, BOXES, val=0.5)
    assert any(note.startswith("4 boxes reach beyond their picture") for note in train.notes)
    assert any(note.startswith("2 boxes occur twice") for note in train.notes)


@pytest.mark.parametrize(("mode", "value"), [("I;16", 3), ("P", 3), ("L", 3), ("1", 1)])
def test_class_maps_of_every_depth(mode: str, value: int, tmp_path: Path) -> None:
    masks(tmp_path, mode, value)
    train, _ = zoo.open_data(tmp_path, "semantic-segmentation", val=0.5)
    assert train[0][1]["mask"].unique().tolist() == [value]


COLOURS = np.array([[[0, 0, 0], [255, 0, 0]], [[255, 0, 0], [0, 0, 255]]], np.uint8)


@pytest.mark.parametrize(
    "mapping",
    [
        {(0, 0, 0): 255, (255, 0, 0): 0, (0, 0, 255): 1},
        {"#000000": 255, "#FF0000": 0, "#0000ff": 1},
        {"0,0,0": 255, "255, 0, 0": 0, "0,0,255": 1},
    ],
)
def test_colours_stand_for_classes(mapping: Any, tmp_path: Path) -> None:
    masks(tmp_path)
    for i, name in enumerate("ab"):
        picture(tmp_path / f"images/{name}.jpg", (2, 2))
        made = Image.fromarray(COLOURS)
        (made.quantize(8) if i else made).save(tmp_path / f"masks/{name}.png")  # one of them with a palette
    train, val = zoo.open_data(tmp_path, "semantic-segmentation", val=0.5, mapping=mapping)
    for part in (train, val):
        assert part[0][1]["mask"].tolist() == [[255, 0], [0, 1]]
    with pytest.raises(InvalidArgument, match="has the values #0000ff, which are not in mapping"):
        zoo.open_data(tmp_path, "semantic-segmentation", mapping={"#000000": 0, "#ff0000": 1})


@pytest.mark.parametrize("mapping", [{}, {1: 0, (1, 2, 3): 1}, {"red": 0}, {(1, 2): 0}, {0: "a"}, {(0, 0, 300): 1}])
def test_mappings_that_are_none(mapping: Any, tmp_path: Path) -> None:
    masks(tmp_path)
    with pytest.raises(InvalidArgument, match="mapping is"):
        zoo.open_data(tmp_path, "semantic-segmentation", mapping=mapping)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("class_dict.csv", "name,r,g,b\nvoid,0,0,0\nroad,255,0,0\nsky,0,0,255\n"),
        ("label_colors.txt", "0 0 0\tvoid\n255 0 0  road\n0 0 255 sky\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nvoid:0,0,0::\nroad:255,0,0::\nsky:0,0,255::\n"),
    ],
)
def test_tables_of_colours_are_found(name: str, content: str, tmp_path: Path) -> None:
    masks(tmp_path)
    for stem in "ab":
        picture(tmp_path / f"images/{stem}.jpg", (2, 2))
        Image.fromarray(COLOURS).save(tmp_path / f"masks/{stem}.png")
    text(tmp_path / name, content)
    train, _ = zoo.open_data(tmp_path, "semantic-segmentation", val=0.5)
    assert train.categories == ["void", "road", "sky"]
    assert train[0][1]["mask"].tolist() == [[0, 1], [1, 2]]


# ── COCO's files are found ───────────────────────────────────────────────────────────────────────────────────────


def coco_tree(root: Path, images: str, annotations: str, kinds: tuple[str, ...] = ("instances",)) -> None:
    for part, n in (("train", 3), ("val", 2)):
        folder = root / images.format(part)
        content = coco(folder, n=n)
        (folder / "annotations.json").unlink()
        for kind in kinds:
            if kind == "person_keypoints":
                content["annotations"] = [{**row, "keypoints": [5, 12, 2]} for row in content["annotations"]]
            text(root / annotations.format(part=part, kind=kind), json.dumps(content))


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        ("{}2017", "annotations/{kind}_{part}2017.json"),
        ("images/{}2014", "annotations/{kind}_{part}2014.json"),
        ("{}", "{part}/_annotations.coco.json"),
        ("{}", "annotations/{part}.json"),
        ("{}/images", "{part}/annotations.json"),
        ("{}/images", "{part}/annotations/{kind}_default.json"),
    ],
)
def test_the_layouts_of_coco(images: str, annotations: str, tmp_path: Path) -> None:
    coco_tree(tmp_path, images, annotations)
    train, val = zoo.open_data(tmp_path, BOXES)
    assert (len(train), len(val)) == (3, 2)
    assert train.target(0)["boxes"].tolist() == [[5, 10, 25, 20]]


def test_keypoints_are_in_a_file_of_their_own(tmp_path: Path) -> None:
    coco_tree(tmp_path, "{}2017", "annotations/{kind}_{part}2017.json", ("instances", "person_keypoints"))
    for given in (None, tmp_path / "annotations"):
        train, _ = zoo.open_data(tmp_path, "keypoint-detection", annotations=given)
        assert train.target(0)["keypoints"].shape == (1, 1, 3)
        train, _ = zoo.open_data(tmp_path, BOXES, annotations=given)
        assert "keypoints" not in train.target(0)


def test_one_part_of_coco_is_opened_by_its_folder(tmp_path: Path) -> None:
    coco_tree(tmp_path, "{}2017", "annotations/{kind}_{part}2017.json")
    whole, _ = zoo.open_data(tmp_path, BOXES, split="train2017", val=0.34)
    assert len(whole) == 2


# ── damaged YAML, CSV and class lists ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("names: [cat, dog", r"data\.yaml', line 1: it is not valid YAML"),
        ("nc: 2\nnames: [cat,\n  dog\ntrain: x\n", r"line 2: it is not valid YAML"),
        ("names: {0: cat, 1: dog", r"line 1: it is not valid YAML"),
        ("names: ['cat, dog]", r"line 1: it is not valid YAML"),
        ("names: [cat, dog]]", r"line 1: it is not valid YAML"),
        ("names:\n- cat\n  - dog\n", r"line 2: the name 'cat - dog' spans several lines"),
        ("names:\n- cat\n\t- dog\n", r"it is not valid YAML"),
        ("names:\n  - cat\n - dog\n", r"it is not valid YAML"),
        ("names: [cat, [dog]]", r"line 1: a name is empty, or not text"),
        ("names:\n- cat\n-\n", r"line 3: a name is empty"),
        ("names: [cat, '']", r"line 1: a name is empty"),
        ("names: {0: cat, 2: dog}", r"line 1: names are numbered 2 where 1 is expected"),
        ("names: [cat, dog]\nnc: 3\n", r"line 2: nc is 3, but there are 2 names"),
        ("names: [cat, dog]\nnames: [dog, cat]\n", r"line 2: names occurs twice"),
        ("names: cat\n", r"has no names"),
        ("- names\n", r"has no names"),
        ("", r"has no names"),
        (b"names: [caf\xe9, dog]", r"line 1: it is not UTF-8"),
    ],
)
def test_a_yaml_file_that_is_damaged(content: str | bytes, why: str, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "classes.txt").unlink(missing_ok=True)
    text(tmp_path / "data.yaml", content)
    with pytest.raises((InvalidArgument, UnreadableFile), match=why):
        zoo.open_data(tmp_path, BOXES)


def test_names_of_yaml_are_texts(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "classes.txt").unlink(missing_ok=True)
    text(tmp_path / "data.yaml", "path: x  # of all\nnames: [no, 1, 'it''s', \"a, b\"]\nnc: 4\n")
    assert zoo.open_data(tmp_path, BOXES, val=0.5)[0].categories[1:] == ["no", "1", "it's", "a, b"]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ('in/a.png,"cat\nin/b.png,dog\n', r"t\.csv', line 2: it cannot be read as CSV.*left open"),
        ('in/a.png,cat\nin/b.png,"do"g\n', r"line 3: it cannot be read as CSV"),
        ("in/a.png\n", "line 2: expected 2 cells"),
    ],
)
def test_a_table_that_is_damaged(rows: str, why: str, tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png")
    text(tmp_path / "t.csv", "path,label\n" + rows)
    with pytest.raises((InvalidArgument, UnreadableFile), match=why):
        zoo.open_data(tmp_path / "t.csv", "image-classification")


def test_a_table_with_a_column_twice(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "t.csv", "path,label,label\na.png,cat,dog\n")
    with pytest.raises(InvalidArgument, match=r"line 1 has the columns label twice"):
        zoo.open_data(tmp_path / "t.csv", "image-classification")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("cat\n\ndog\n", r"classes\.txt', line 2: it is empty"),
        ("cat\ndog\ncat\n", r"line 3: 'cat' is also in line 1"),
        (b"caf\xe9\n", r"line 1: it is not UTF-8"),
    ],
)
def test_a_list_of_classes_that_is_damaged(content: str | bytes, why: str, tmp_path: Path) -> None:
    yolo(tmp_path)
    text(tmp_path / "classes.txt", content)
    with pytest.raises((InvalidArgument, UnreadableFile), match=why):
        zoo.open_data(tmp_path, BOXES)
