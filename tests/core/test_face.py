"""What a person sees in Python: reprs in a line, arrays as inputs, options named, a first screen of help."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import InvalidArgument, InvalidKind
from zoo.loading.reports import LoadReport

DIGITS = "SqueezeNet1_1_Weights.DIGITS_V1"
SHAPES = "SSDLite320_MobileNet_V3_Large_Weights.SHAPES_V1"


@pytest.fixture(scope="module")
def digits() -> zoo.Pipeline:
    return zoo.pipeline(DIGITS)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """uint8 [48, 64, 3], of three channels that differ."""
    found: np.ndarray = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return found


def test_a_pipeline_says_what_it_is_in_a_line(digits: zoo.Pipeline) -> None:
    assert re.fullmatch(
        r"<zoo.Pipeline: image-classification by squeezenet1_1, weights \S+, 10 labels, on cpu>", repr(digits)
    )
    found = repr(zoo.pipeline(SHAPES, min_score=0.25))
    assert found.endswith("6 labels, on cpu, min_score=0.25>")
    assert "\n" not in found
    assert "by squeezenet1_1," in repr(zoo.pipeline(digits.model))


def test_results_say_what_they_are_in_a_line(digits: zoo.Pipeline, picture: np.ndarray) -> None:
    found = repr(digits(picture))
    assert re.fullmatch(r"<Classification: (\d+\.\d\d% \d(, )?){3}>", found)
    found = repr(zoo.pipeline(SHAPES)(picture))
    assert found.startswith("<Detection: ")
    assert "\n" not in found
    assert len(found) < 160

    class Broken(zoo.Result):
        def to_dict(self, k: int = 5) -> dict[str, Any]:
            return {}

        def draw(self) -> Image.Image:
            return Image.new("L", (1, 1))

        def lines(self, k: int = 5) -> list[str]:
            raise OSError("gone")

    assert repr(Broken()) == "<Broken: cannot be read: OSError>"

    class Own(Broken):
        def __repr__(self) -> str:
            return "own"

    assert repr(Own()) == "own"


def probabilities(result: Any) -> torch.Tensor:
    found: torch.Tensor = result.probabilities
    return found


def test_arrays_are_inputs(digits: zoo.Pipeline, picture: np.ndarray) -> None:
    expected = probabilities(digits(torch.from_numpy(picture).permute(2, 0, 1)))
    for given, bgr in (
        (picture, False),
        (picture[..., ::-1], True),
        (np.ascontiguousarray(picture[..., ::-1]), True),
        (np.dstack([picture, np.full_like(picture[..., :1], 9)]), False),  # an alpha channel
    ):
        torch.testing.assert_close(probabilities(digits(given, bgr=bgr)), expected)
    torch.testing.assert_close(
        probabilities(digits(picture / 255)), expected, atol=0.02, rtol=0
    )  # not rounded on the way
    assert not torch.equal(probabilities(digits(picture, bgr=True)), expected)
    several = digits(np.stack([picture, picture[::-1]]))
    assert len(several) == 2
    torch.testing.assert_close(probabilities(several[0]), expected)
    assert len(digits([picture, picture[..., 0]])) == 2
    assert len(digits(picture[None])) == 1
    assert isinstance(digits(picture[None]), list)


def test_arrays_of_pairs_and_of_videos(picture: np.ndarray) -> None:
    from zoo.running.inputs import from_arrays

    first, second = from_arrays((picture, picture[..., ::-1]), 3, True)
    assert (first.shape, second.shape) == ((3, 48, 64), (3, 48, 64))
    torch.testing.assert_close(first, second.flip(0))
    assert from_arrays(picture[None], 4).shape == (1, 3, 48, 64)
    assert from_arrays(picture[None, None], 4).shape == (1, 1, 3, 48, 64)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((3, 48, 64), np.uint8), "channels last"),
        (np.zeros((2, 2, 2, 48, 3), np.uint8), "channels last"),
        (np.zeros((48, 64, 3), np.int64), "array of int64"),
        (np.full((48, 64, 3), 200.0), "values from 200 to 200; expected 0 to 1"),
    ],
)
def test_arrays_that_are_no_pictures(digits: zoo.Pipeline, given: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(said)):
        digits(given)


def test_bgr_is_of_arrays(digits: zoo.Pipeline) -> None:
    with pytest.raises(InvalidArgument, match="bgr=True is for numpy arrays"):
        digits("dog.png", bgr=True)


@pytest.mark.parametrize("name", [DIGITS, SHAPES])
def test_floats_up_to_255_are_refused(name: str) -> None:
    pipe = zoo.pipeline(name)
    with pytest.raises(InvalidArgument, match="expected 0 to 1"):
        pipe(torch.full((3, 64, 64), 255.0))
    with pytest.raises(InvalidArgument, match="expected 0 to 1"):
        pipe([torch.full((3, 64, 64), 0.5), torch.full((3, 64, 64), -1.0)])
    pipe(torch.full((3, 64, 64), 1.0005))  # as resizing leaves it


def test_the_option_meant_is_named(digits: zoo.Pipeline) -> None:
    detector = zoo.get_model(SHAPES)
    for model in (detector, SHAPES):
        with pytest.raises(InvalidKind, match=r"Did you mean min_score=0\.2, the option of object-detection\?"):
            zoo.pipeline(model, threshold=0.2)
    with pytest.raises(InvalidKind, match=r"Options of object-detection: min_score\. Did you mean 'min_score'"):
        zoo.pipeline(detector, min_scor=0.2)
    with pytest.raises(InvalidKind, match="Options of image-classification: none"):
        zoo.pipeline(digits.model, threshold=0.2)


@pytest.mark.usefixtures("local_names")
def test_a_built_model_knows_its_task() -> None:
    assert zoo.pipeline(zoo.get_model(DIGITS)).task.name == "image-classification"
    assert zoo.pipeline(zoo.get_model(SHAPES)).task.name == "object-detection"

    @zoo.register_model(task="semantic-segmentation")
    def face_net() -> torch.nn.Module:
        return torch.nn.Conv2d(3, 2, 1)

    from zoo.loading import task_of

    assert task_of(zoo.get_model("face_net")).name == "semantic-segmentation"
    with pytest.raises(InvalidArgument, match="Give the task of the model"):
        task_of(torch.nn.Linear(1, 1))


def test_help_of_zoo_opens_with_a_screen() -> None:
    text = inspect.getdoc(zoo) or ""
    assert 10 < len(text.splitlines()) <= 40
    for name in re.findall(r"\bzoo\.(\w+)", text):
        assert hasattr(zoo, name) or name in ("quantize", "benchmark", "train", "evaluate", "export"), name
    assert max(map(len, text.splitlines())) <= 76  # and pydoc's four
    for code in re.findall(r"^ +>>> (.*)$", text, re.MULTILINE):
        compile(code, "help", "exec")


def test_a_report_tells_first_what_matters_first() -> None:
    report = LoadReport("a.pth", ("x", "y"), converted=("y",), reinitialised=("fc.weight",), ignored=("old", "older"))
    assert str(report).splitlines() == [
        "1 tensor reinitialised, to be trained: fc.weight",
        "2 tensors of the file ignored: old, older",
        "2 tensors loaded from a.pth (read completely)",
        "1 of them converted: y",
    ]
    assert repr(report) == "<LoadReport: 1 reinitialised, 2 ignored, 2 loaded from a.pth>"
