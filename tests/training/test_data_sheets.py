"""What a contact sheet shows, where it can be told by its pixels."""

from __future__ import annotations

import torch
from PIL import Image

from zoo import draw
from zoo_training.data.showing import CAPTION, drawn

GREY = torch.full((3, 160, 320), 60, dtype=torch.uint8)


def has(picture: Image.Image, color: tuple[int, ...], box: tuple[int, int, int, int]) -> bool:
    return color in {found for _, found in picture.crop(box).getcolors(1 << 20) or ()}


def test_classes_that_are_there_have_their_colour_beneath() -> None:
    mask = torch.zeros(160, 320, dtype=torch.int64)
    mask[:50, :50], mask[100:, 100:], mask[0, 0] = 1, 3, 255
    made = drawn(GREY, {"mask": mask}, ["none", "cat", "owl", "dog"], "a")
    legend = (0, 160, 320, 160 + CAPTION)
    palette = [tuple(color) for color in draw.voc_palette(256)]
    assert [has(made, palette[label], legend) for label in (1, 2, 3)] == [True, False, True]
    assert made.size == (320, 160 + 2 * CAPTION)


def test_names_stand_above_keypoints() -> None:
    target = {
        "boxes": torch.tensor([[20.0, 60, 200, 140]]),
        "labels": torch.tensor([1]),
        "iscrowd": torch.tensor([0]),
        "keypoints": torch.tensor([[[30.0 + 4 * i, 100.0 if i == 16 else 52, 2] for i in range(17)]]),
    }
    with_points = drawn(GREY, target, ["__background__", "a wide name for a cat"])
    del target["keypoints"]
    without = drawn(GREY, target, ["__background__", "a wide name for a cat"])
    label = (22, 46, 120, 58)
    assert with_points.crop(label).tobytes() == without.crop(label).tobytes()
    assert with_points.tobytes() != without.tobytes()


def test_long_names_of_classes_keep_their_beginning_and_paths_their_end() -> None:
    name = "dog with a name that is long, very long, and longer than any picture is wide"
    long = drawn(GREY, {"label": 0}, [name], "folder/" * 20 + "end.png")
    short = drawn(GREY, {"label": 0}, [name + " and some more"], "folder/" * 40 + "end.png")
    assert long.size == (320, 160 + 2 * CAPTION)
    assert long.tobytes() == short.tobytes()
