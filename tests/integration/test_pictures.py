"""The same result for a picture from its path and from PIL, in every task on pictures."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import UnreadableFile
from zoo.running.tasks import make_task

ROOT = Path(__file__).parents[2]


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(ROOT / "examples/images/digits/digit_7.png") as picture:
        picture.convert("RGB").rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    return tmp_path / "turned.png"


@pytest.mark.parametrize("task", ["image-classification", "object-detection", "semantic-segmentation", "optical-flow"])
def test_pictures_are_upright_however_they_come(task: str, turned: Path) -> None:
    load = make_task(zoo.get_task(task), {}).load
    with Image.open(turned) as picture:
        sources = [(turned, turned), (picture, picture)] if task == "optical-flow" else [turned, picture]
        by_path, by_picture = (np.asarray(load(source)) for source in sources)
        stored = np.asarray(picture.convert("RGB"))
    assert np.array_equal(by_path, by_picture)
    assert not np.array_equal(by_path if task != "optical-flow" else by_path[0], stored)


def test_the_pipeline_gives_one_answer(turned: Path) -> None:
    classify = zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", optimize=False)
    with Image.open(turned) as picture:
        assert classify(turned).top(1) == classify(picture).top(1)
    assert classify(turned).top(1)[0][0] == "7"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize(
    "reader",
    [
        "zoo_optical_flow.flo:read_flo",
        "zoo_optical_flow.kitti:read_kitti_flow",
        "zoo_segmentation.evaluation:read_class_map",
    ],
)
def test_readers_refuse_pipes_and_devices(reader: str, tmp_path: Path) -> None:
    module, _, name = reader.partition(":")
    read = getattr(importlib.import_module(module), name)
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(UnreadableFile, match="is not a file"):
            read(path)
