"""``zoo merge`` of sharded detections: equals the COCO data set of a single run; missing or duplicated inputs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

SHAPES = Path(__file__).parents[2] / "examples/images/shapes.png"
MODEL = ("--model", "ssdlite320_mobilenet_v3_large", "--weights", "SHAPES_V1", "--format", "none")
Run = Callable[..., SimpleNamespace]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pictures, one of them invalid, and one without objects."""
    folder = tmp_path_factory.mktemp("pictures")
    with Image.open(SHAPES) as image:
        for i in range(5):
            image.rotate(90 * (i % 4)).convert("RGB").save(folder / f"{i:03}.png")
    Image.new("RGB", (50, 40)).save(folder / "005.png")
    (folder / "006.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def parts(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from zoo.cli import main

    out = tmp_path_factory.mktemp("runs") / "parts"
    for i in (2, 3, 1):
        arguments = ["predict", pictures, *MODEL, "--output", out, "--shard", f"{i}/3"]
        main([*map(str, arguments), "--coco", str(out.parent / f"{i}.json")])
    return out


def of(path: Path) -> tuple[list[str], set[str], list[tuple[str, str, list[int], int]]]:
    """The names of pictures and categories, and picture, name, box and score of each object."""
    data = json.loads(path.read_text())
    names = {one["id"]: one["name"] for one in data["categories"]}
    files = {one["id"]: one["file_name"] for one in data["images"]}
    assert len({one["id"] for one in data["annotations"]}) == len(data["annotations"])
    found = [
        (files[one["image_id"]], names[one["category_id"]], [round(x) for x in one["bbox"]], round(one["score"], 3))
        for one in data["annotations"]
    ]
    return [one["file_name"] for one in data["images"]], set(names.values()), found


def test_shards_make_the_data_set_of_one_run(run: Run, pictures: Path, parts: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.json"
    assert run("predict", pictures, *MODEL, "--output", tmp_path / "one", "--coco", one).status == 1
    got = run("merge", parts, "--coco", tmp_path / "all.json", "--output", tmp_path / "all.jsonl")
    assert got.status == 1  # one of the inputs failed
    assert "006.png" in got.err
    assert "7 inputs, 1 of which failed" in got.out
    files, names, found = of(tmp_path / "all.json")
    assert (files, names, found) == of(one)
    assert files == [f"{i:03}.png" for i in range(6)]
    assert {"ring", "circle", "square"} <= names
    assert len(found) >= 15
    assert {name for file, name, _, score in found if file == "000.png" and score > 0.9} == {"ring", "circle", "square"}
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [Path(row["input"]).name for row in rows if "error" in row] == ["006.png"]
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO

    data = COCO(tmp_path / "all.json")
    assert len(data.getAnnIds()) == len(found)


def test_nothing_is_overwritten(run: Run, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text("mine")
    got = run("merge", parts, "--coco", tmp_path / "all.json")
    assert (got.status, "--overwrite" in got.err) == (1, True)
    assert (tmp_path / "all.json").read_text() == "mine"
    run("merge", parts, "--coco", tmp_path / "all.json", "--overwrite")
    assert len(of(tmp_path / "all.json")[0]) == 6


def test_what_is_missing_or_twice_is_told_and_nothing_written(run: Run, parts: Path, tmp_path: Path) -> None:
    out, target = tmp_path / "out", tmp_path / "all.json"
    shutil.copytree(parts, out)
    second = out / "predictions-00002-of-00003.jsonl"
    lines = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(b"".join(lines[:-1]))
    got = run("merge", out, "--coco", target)
    assert (got.status, "lacks 1 of 2 inputs: run it again with --shard 2/3 --resume" in got.err) == (1, True)
    first = (out / "predictions-00001-of-00003.jsonl").read_bytes().splitlines(keepends=True)
    second.write_bytes(b"".join([*lines[:-1], first[-1]]))
    assert "is in predictions-00002-of-00003.jsonl and in an earlier file" in run("merge", out, "--coco", target).err
    second.unlink()
    assert "--shard 2/3" in run("merge", out, "--coco", target).err
    assert not target.exists()


def test_shards_that_were_made_without_it(run: Run, pictures: Path, parts: Path, tmp_path: Path) -> None:
    out, target = tmp_path / "out", tmp_path / "all.json"
    for i in (1, 2):
        run("predict", pictures, *MODEL, "--output", out, "--shard", f"{i}/2")
    got = run("merge", out, "--coco", target, "--output", tmp_path / "all.jsonl")
    assert (got.status, "made without --coco" in got.err) == (1, True)
    assert list(tmp_path.glob("all*")) == []
    shutil.copytree(parts, tmp_path / "mixed")
    got = run("predict", pictures, *MODEL, "--output", tmp_path / "mixed", "--shard", "1/3", "--overwrite")
    assert (got.status, "with or without --coco" in got.err) == (1, True)
    assert "Give --output FILE" in run("merge", parts).err
