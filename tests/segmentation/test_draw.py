"""Class maps drawn over pictures, read back pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.draw import MARGIN, segmentation_overlay, voc_palette
from zoo.errors import InvalidArgument

PAPER = (255, 255, 255)


def test_palette_is_pascal_vocs() -> None:
    palette = voc_palette()
    assert palette[:5] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert (palette[15], palette[20], palette[255]) == ((192, 128, 128), (0, 64, 128), (224, 224, 192))
    assert len(set(palette)) == 256


def drawn(class_map: torch.Tensor, size: tuple[int, int] = (300, 300), names: int = 3) -> np.ndarray:
    image = Image.new("RGB", size, (10, 20, 200))
    return np.asarray(segmentation_overlay(image, class_map, ["none", "left", "right"][:names], voc_palette(3)))


def test_classes_are_tinted_bordered_and_in_the_legend() -> None:
    classes = torch.zeros(300, 300, dtype=torch.uint8)
    classes[:, :100], classes[:, 200:] = 1, 2
    canvas = drawn(classes)
    picture, legend = canvas[MARGIN : MARGIN + 300, MARGIN : MARGIN + 300], canvas[:, 2 * MARGIN + 300 :]
    assert tuple(picture[50, 150]) == (10, 20, 200), "background is left as it is"
    red, green, blue = (int(v) for v in picture[50, 50])
    assert red > 70
    assert green == blue < 40, "maroon over grey"
    assert tuple(picture[50, 100]) == tuple(picture[50, 200]) == PAPER
    assert (picture[:, 98:103] == 255).all(-1).sum() == 300, "a line one pixel wide"
    colours = {tuple(int(v) for v in colour) for colour in legend.reshape(-1, 3)}
    assert {(128, 0, 0), (0, 128, 0), PAPER} <= colours
    assert (10, 20, 200) not in colours


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (2000, 10), (1300, 1000)])
def test_pictures_of_any_size_are_drawn(size: tuple[int, int]) -> None:
    classes = torch.zeros(size[1], size[0], dtype=torch.int64)
    classes[0, 0] = 2
    canvas = drawn(classes, size)
    assert canvas.shape[2] == 3
    assert max(canvas.shape) < 1000


def test_many_classes_are_summed_up() -> None:
    classes = torch.arange(100).view(10, 10)
    names = [f"class {i}" for i in range(100)]
    canvas = segmentation_overlay(Image.new("L", (10, 10)), classes, names, voc_palette(100))
    assert canvas.height < 600


def test_what_does_not_fit_together_is_refused() -> None:
    image = Image.new("RGB", (4, 3))
    with pytest.raises(InvalidArgument, match=r"\[4, 3\]; expected \[3, 4\]"):
        segmentation_overlay(image, torch.zeros(4, 3, dtype=torch.uint8), ["a"], voc_palette(1))
    with pytest.raises(InvalidArgument, match="from 0 to 2, but there are 2 names and 3 colours"):
        drawn(torch.full((300, 300), 2).triu(), names=2)
    with pytest.raises(InvalidArgument, match="from -1 to -1"):
        drawn(torch.full((300, 300), -1))
