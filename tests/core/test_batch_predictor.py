"""``zoo.BatchPredictor``: a picklable function of columns; in the engines that take one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import InvalidArgument, UnknownModel

DIGITS = Path(__file__).parents[2] / "examples/images/digits"
PATHS = [str(DIGITS / f"digit_{i}.png") for i in range(10)]


@pytest.fixture(scope="module")
def predictor() -> zoo.BatchPredictor:
    return zoo.BatchPredictor("squeezenet1_1", "DIGITS_V1", "cpu", top=3)


def test_columns(predictor: zoo.BatchPredictor) -> None:
    found = predictor({"path": PATHS, "number": range(10)})
    assert list(found) == ["path", "number", "labels", "scores", "error"]
    assert [labels[0] for labels in found["labels"]] == [*"0123456789"]
    assert {len(column) for column in found.values()} == {10}
    assert {len(scores) for scores in found["scores"]} == {3}
    assert found["error"] == [None] * 10
    assert found["path"] == PATHS


def test_kinds_of_inputs(predictor: zoo.BatchPredictor) -> None:
    data = [Path(path).read_bytes() for path in PATHS]
    pictures = [Image.open(path).convert("RGB") for path in PATHS]
    batches: list[dict[str, Any]] = [
        {"bytes": data},
        {"image": pictures},
        {"image": [np.asarray(p) for p in pictures]},
        {"image": np.stack([np.asarray(p.resize((64, 64))) for p in pictures])},
        {"image": [{"bytes": one, "path": None} for one in data]},
        {"image": [{"bytes": None, "path": one} for one in PATHS]},
    ]
    for batch in batches:
        found = predictor(batch)
        assert [labels[0] for labels in found["labels"]] == [*"0123456789"]
        assert not {"bytes", "image"} & found.keys()
    named = zoo.BatchPredictor("squeezenet1_1", "DIGITS_V1", column="file")
    assert named({"file": PATHS[:1]})["labels"][0][0] == "0"


def test_bad_rows(predictor: zoo.BatchPredictor) -> None:
    rows = [PATHS[3], "gone.png", None, b"no picture", np.zeros((2, 2, 7)), PATHS[4], 3.5, Path(PATHS[5]).read_bytes()]
    found = predictor({"path": rows})
    assert [bool(error) for error in found["error"]] == [False, True, True, True, True, False, True, False]
    assert [labels[:1] for labels in found["labels"]] == [["3"], [], [], [], [], ["4"], [], ["5"]]
    fresh = pickle.loads(pickle.dumps(predictor))
    fresh._kinds = None
    nothing = fresh({"path": ["gone.png"]})
    assert nothing["labels"] == nothing["scores"] == [[]]
    assert list(fresh({"path": []})) == ["path", "labels", "scores", "error"]
    with pytest.raises(InvalidArgument, match=r"columns file.*path, bytes, image"):
        predictor({"file": PATHS})


def test_pickled_it_is_its_arguments(predictor: zoo.BatchPredictor) -> None:
    predictor({"path": PATHS[:1]})
    data = pickle.dumps(predictor)
    assert len(data) < 1000
    program = (
        "import pickle, sys; data = sys.stdin.buffer.read(); predictor = pickle.loads(data)\n"
        f"print(predictor({{'path': [{PATHS[7]!r}]}})['labels'][0][0])"
    )
    ran = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=True)
    assert ran.stdout.split() == [b"7"]


def test_a_process_without_the_plugin_is_told_once() -> None:
    predictor = zoo.BatchPredictor("nonesuch_model")
    with pytest.raises(UnknownModel, match="nonesuch_model"):
        predictor({"path": PATHS})
    with pytest.raises(InvalidArgument, match=r"zoo\.save"):
        zoo.BatchPredictor(zoo.get_model("squeezenet1_1", weights=None))  # type: ignore[arg-type]


def test_a_task_that_raises_for_one_row(predictor: zoo.BatchPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = predictor.pipeline.prepare
    bad = Image.open(PATHS[2]).size

    def prepared(picture: Any) -> Any:
        if picture.info.get("bad"):
            raise RuntimeError("the decoder has crashed")
        return prepare(picture)

    monkeypatch.setattr(predictor.pipeline, "prepare", prepared)
    pictures = [Image.open(path).convert("RGB") for path in PATHS]
    pictures[2].info["bad"] = bad
    found = predictor({"image": pictures})
    assert [i for i, error in enumerate(found["error"]) if error] == [2]
    assert "the decoder has crashed" in found["error"][2]
    for picture in pictures:
        picture.info["bad"] = bad
    with pytest.raises(ExceptionGroup, match="No row of 10"):
        predictor({"image": pictures})


def test_detections() -> None:
    shapes = DIGITS.parent / "shapes.png"
    found = zoo.BatchPredictor("ssdlite320_mobilenet_v3_large", "SHAPES_V1")({"path": [str(shapes), "gone.png"]})
    assert {"labels", "scores", "boxes", "ids", "error"} <= found.keys()
    assert len(found["boxes"][0]) == len(found["labels"][0]) > 0
    assert {len(box) for box in found["boxes"][0]} == {4}
    assert found["boxes"][1] == []
    pa = pytest.importorskip("pyarrow")
    table = pa.table(found)
    assert table.schema.field("boxes").type == pa.list_(pa.list_(pa.float64()))


def test_in_datasets() -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"path": [*PATHS, "gone.png"]})
    done = data.map(zoo.BatchPredictor("squeezenet1_1", "DIGITS_V1", "cpu"), batched=True, batch_size=4)
    assert [labels[:1] for labels in done["labels"]] == [*([str(i)] for i in range(10)), []]
    assert [bool(error) for error in done["error"]] == [False] * 10 + [True]
