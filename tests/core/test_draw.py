from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageColor

from zoo.draw import FIRST, MARGIN, OTHERS, PANEL, ROW, SHEET, TRACK, contact_sheet, label_image
from zoo.errors import InvalidArgument

DIGIT = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8))


def longest_run(picture: Image.Image, colour: str) -> int:
    """The most pixels of one colour in any row."""
    return int((np.asarray(picture) == ImageColor.getrgb(colour)).all(-1).sum(1).max())


def test_tiny_pictures_are_enlarged_in_squares() -> None:
    drawn = np.asarray(label_image(DIGIT, [("three", 0.9)]))
    expected = np.kron(np.asarray(DIGIT), np.ones((40, 40), np.uint8))
    for channel in range(3):
        assert np.array_equal(drawn[MARGIN : MARGIN + 320, MARGIN : MARGIN + 320, channel], expected)


def test_bars_are_as_long_as_their_probabilities() -> None:
    drawn = label_image(DIGIT, [("three", 0.75), ("eight", 0.25)])
    assert longest_run(drawn, FIRST) == PANEL * 3 // 4
    assert longest_run(drawn, OTHERS) == PANEL // 4
    full, none = label_image(DIGIT, [("three", 1.0004)]), label_image(DIGIT, [("three", 0.0)])
    assert (longest_run(full, FIRST), longest_run(full, TRACK)) == (PANEL, 0)
    assert (longest_run(none, FIRST), longest_run(none, TRACK)) == (0, PANEL)


def test_labels_are_written_and_long_ones_leave_the_number_alone() -> None:
    short, other, long = (
        np.asarray(label_image(DIGIT, [(label, 0.5)])).astype(int)
        for label in ("cat", "dog", "sulphur-crested\ncockatoo " * 9)
    )
    number = np.s_[:, -MARGIN - 50 :]
    assert (short != other).any()
    assert np.array_equal(short[number], long[number])
    assert np.array_equal(short[number], other[number])
    panel = np.s_[:, 340 + MARGIN :]
    assert (long[panel] < 128).all(-1).sum() > 3 * (short[panel] < 128).all(-1).sum() > 0


def test_labels_are_written_in_other_letters_than_those_of_ascii() -> None:
    drawn = {
        label: label_image(DIGIT, [(label, 0.5)]).tobytes() for label in ("вагон", "фургон", "Öl", "Ol", "日", "本")
    }
    assert len(set(drawn.values())) == 5
    assert drawn["日"] == drawn["本"], "a box for what the font has not"


@pytest.mark.parametrize("size", [(3000, 1500), (40, 9000), (1, 1), (640, 480), (9, 200)])
@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "I;16"])
def test_any_picture_is_drawn_at_a_size_to_look_at(size: tuple[int, int], mode: str) -> None:
    picture = Image.new(mode, size)
    lines = [(f"label {i}", 0.1) for i in range(10)]
    drawn = label_image(picture, lines)
    assert drawn.mode == "RGB"
    assert ROW * len(lines) + 2 * MARGIN <= drawn.height <= 640 + 2 * MARGIN
    assert PANEL < drawn.width <= 640 + PANEL + 3 * MARGIN
    assert (picture.mode, picture.size) == (mode, size)


@pytest.mark.parametrize("lines", [[], [("three", float("nan"))], [("three", 97.3)], [("three", -0.5)]])
def test_what_is_no_probability_is_refused(lines: list[tuple[str, float]]) -> None:
    with pytest.raises(InvalidArgument):
        label_image(DIGIT, lines)


def test_contact_sheet_keeps_the_order() -> None:
    colours = ["red", "lime", "blue", "black", "yellow"]
    sheet = contact_sheet([Image.new("RGB", (20, 20), colour) for colour in colours], columns=2)
    assert sheet.size == (2 * 28 + 8, 3 * 28 + 8)
    centres = [(8 + 28 * column + 10, 8 + 28 * row + 10) for row in range(3) for column in range(2)]
    assert [sheet.getpixel(at) for at in centres] == [ImageColor.getrgb(colour) for colour in [*colours, "white"]]


def test_contact_sheet_centres_and_shrinks() -> None:
    sheet = contact_sheet([Image.new("L", (20, 4), 0), Image.new("RGBA", (4, 20), (255, 0, 0, 255))])
    assert sheet.size == (64, 36)
    assert sheet.getpixel((18, 18)) == (0, 0, 0)
    assert sheet.getpixel((18, 9)) == (255, 255, 255)
    assert sheet.getpixel((46, 9)) == (255, 0, 0)
    many = contact_sheet([Image.new("RGB", (1400, 1000))] * 16)
    assert max(many.size) <= SHEET
    assert math.prod(many.size) > SHEET**2 // 2
    for size in ((9000, 10), (10, 9000)):
        assert max(contact_sheet([Image.new("RGB", size)] * 2).size) <= SHEET


def test_contact_sheet_refuses() -> None:
    with pytest.raises(InvalidArgument, match="images is empty"):
        contact_sheet([])
    with pytest.raises(InvalidArgument, match="columns is 0"):
        contact_sheet([DIGIT], columns=0)
    with pytest.raises(InvalidArgument, match="0 × 4 pixels"):
        contact_sheet([Image.new("L", (0, 4))])
