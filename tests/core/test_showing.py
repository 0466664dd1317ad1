"""Results on a screen, in notebooks and in the tables of other libraries: shown, or told what is missing."""

from __future__ import annotations

import base64
import io
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageShow

import zoo
from zoo.cli import main
from zoo.contract import Result, check_screen, flattened, show_picture
from zoo.errors import InvalidArgument, MissingPlugin

DIGIT = Path(__file__).parents[2] / "examples/images/digits/digit_7.png"


class Answer(Result):
    """A result with a picture of any size."""

    def __init__(self, size: tuple[int, int] = (300, 200)) -> None:
        self.size = size

    def lines(self, k: int = 5) -> list[str]:
        return ['7 < 8 & "so"', "second"][:k]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        return {"top": [{"label": str(i), "box": [0, 1, 2, 3]} for i in range(8)][:k], "size": [3, 4]}

    def draw(self) -> Image.Image:
        return Image.new("RGB", self.size, "red")


class Words(Answer):
    def draw(self) -> Image.Image:
        raise NotImplementedError


class Alike:
    """Written like a result, and derived from nothing."""

    lines, to_dict, draw, save = Answer.lines, Answer.to_dict, Answer.draw, Answer.save


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The picture that a third-party viewer got."""
    seen: list[tuple[Any, ...]] = []

    class Viewer(ImageShow.Viewer):
        def show(self, image: Image.Image, **options: Any) -> int:
            seen.append((image.size, options.get("title")))
            return 1

    monkeypatch.setattr(ImageShow, "_viewers", [Viewer()])
    return seen


def test_a_result_is_shown_by_the_viewer(shown: list[Any]) -> None:
    Answer().show()
    show_picture(Image.new("L", (9, 8)), "nine")
    assert shown == [((300, 200), "Answer"), ((9, 8), "nine")]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_nothing_is_shown_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ImageShow, "_viewers", [ImageShow.XDGViewer()])
    with pytest.raises(InvalidArgument, match=r"no display here.*result\.save"):
        Answer().show()
    monkeypatch.setenv("DISPLAY", ":0")
    check_screen()
    monkeypatch.setattr(ImageShow, "_viewers", [])
    with pytest.raises(InvalidArgument, match="No program that shows pictures"):
        check_screen()


def test_a_notebook_shows_it_beneath_the_cell(monkeypatch: pytest.MonkeyPatch, shown: list[Any]) -> None:
    cell: list[Any] = []
    shell = types.SimpleNamespace(kernel=object())
    display = types.SimpleNamespace(display=cell.append)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell, display=display))
    Answer((3000, 1500)).show()
    assert [picture.size for picture in cell] == [(960, 480)]
    assert shown == []


def test_notebooks_get_a_picture_and_words() -> None:
    assert Image.open(io.BytesIO(Answer((2000, 1000))._repr_png_() or b"")).size == (960, 480)
    page = Answer()._repr_html_()
    found = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert found
    assert Image.open(io.BytesIO(base64.b64decode(found[1]))).size == (300, 200)
    assert "7 &lt; 8 &amp;" in page
    assert 'alt="7 &lt; 8 &amp; &quot;so&quot;; second"' in page
    assert Words()._repr_png_() is None
    assert "<img" not in Words()._repr_html_()
    assert "second" in Words()._repr_html_()


def test_what_is_written_alike_stays_a_result() -> None:
    assert isinstance(Alike(), Result)
    assert isinstance(Answer(), Result)
    assert not isinstance(Image.new("L", (1, 1)), Result)
    assert not isinstance(object(), Answer)


def test_predict_shows(shown: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", str(DIGIT), "--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--device", "cpu", "--show"]
    assert main(command) == 0
    assert [title for _, title in shown] == [str(DIGIT)]
    assert "7" in capsys.readouterr().out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_predict_says_before_it_begins_that_nothing_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ImageShow, "_viewers", [])
    assert main(["predict", str(DIGIT), "--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--show"]) == 1
    said = capsys.readouterr()
    assert "no display" in said.err
    assert said.out == ""


def test_tables_have_a_row_for_each_thing() -> None:
    rows = flattened(Answer().to_dict(2))
    assert rows == [{"size_0": 3, "size_1": 4, "label": str(i), "x1": 0, "y1": 1, "x2": 2, "y2": 3} for i in range(2)]


def test_pandas_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPlugin, match="pip install pandas"):
        Answer().to_pandas()
    monkeypatch.undo()
    pytest.importorskip("pandas")
    assert len(Answer().to_pandas()) == 8
    frame = zoo.pipeline("squeezenet1_1", weights="DIGITS_V1", device="cpu")(DIGIT).to_pandas()
    assert list(frame.columns) == ["label", "probability"]
    assert len(frame) == 10
    assert frame.label[0] == "7"
