"""Legibility by numbers: contrasts after WCAG, distances for any two kinds of cones, labels apart, many and large."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from zoo.draw import (
    INK,
    PAPER,
    PERSON_SIDES,
    LegendItem,
    bounding_boxes,
    class_color,
    class_palette,
    contrast,
    keypoints,
    legible,
    segment_map,
    segmentation_masks,
    segmentation_overlay,
    ticks,
    with_caption,
    with_legend,
    with_scale,
)
from zoo.draw.regions import slide
from zoo.errors import InvalidArgument

COLOURS = [class_color(i) for i in range(96)]

# What is left of linear RGB without one kind of cones (Machado, Oliveira and Fernandes 2009, severity 1).
BLINDNESS = {
    "protan": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deutan": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "tritan": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
}


def distances(matrix: object = np.eye(3)) -> np.ndarray:
    """Between all colours in CIELAB, as they are seen."""
    c = np.array(COLOURS) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ np.array(matrix).T
    to_xyz = np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(linear.clip(0, 1) @ to_xyz / [0.9505, 1, 1.089])
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    return np.linalg.norm(lab[:, None] - lab, axis=-1)


# ── colours ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_contrast_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)
    assert contrast((255, 0, 0), "#ff0000") == 1


def test_every_colour_stands_out_against_its_dark_edge_and_one_of_both_against_any_ground() -> None:
    for colour in COLOURS:
        assert contrast(colour, INK) >= 4.5
        assert contrast(colour, "#000000") >= 4.5, "black letters on a plate of it"
        for grey in range(256):
            assert max(contrast(colour, (grey,) * 3), contrast(INK, (grey,) * 3)) >= 2.1
    assert contrast(PAPER, INK) >= 7


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_first_colours_and_neighbours_differ_for_colour_blind_eyes(kind: str) -> None:
    seen = distances(BLINDNESS[kind])
    assert seen[:10, :10][np.triu_indices(10, 1)].min() > 19
    assert min(seen[k, k + step] for step in (1, 2, 3) for k in range(96 - step)) > 11


def test_backgrounds_are_not_tinted() -> None:
    assert class_palette(["__background__", "dog", "Background", "cat"]) == [
        (0, 0, 0),
        class_color(1),
        (0, 0, 0),
        class_color(3),
    ]


# ── outlines and labels ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ground", ["black", "white", "#808080", "#3c96ff", "#c80000"])
@pytest.mark.parametrize("side", [200, 640, 4000])
def test_frames_and_masks_show_on_any_ground(ground: str, side: int) -> None:
    image = Image.new("RGB", (side, side), ground)
    q = side // 4
    mask = torch.zeros(1, side, side, dtype=torch.bool)
    mask[:, q : 3 * q, q : 3 * q] = True
    for picture in (bounding_boxes(image, [[q, q, 3 * q, 3 * q]]), segmentation_masks(image, mask)):
        line = np.asarray(picture)[side // 2, : side // 2]
        steps = [contrast(tuple(a), tuple(b)) for a, b in itertools.pairwise(line.tolist()) if a != b]
        assert max(steps) >= 4.5


def test_dark_edges_grow_with_their_line() -> None:
    dark = ImageColor.getrgb(INK)
    drawn = bounding_boxes(Image.new("RGB", (4000, 3000), "white"), [[1000, 1000, 2000, 2000]])
    row = (np.asarray(drawn)[1500, 900:1100] == dark).all(-1)
    assert row.sum() == 6, "three pixels on either side of twelve"


def plates(picture: Image.Image, colour: str) -> np.ndarray:
    return (np.asarray(picture) == ImageColor.getrgb(colour)).all(-1)


def test_labels_of_a_crowd_do_not_lie_upon_one_another_and_leave_the_picture_free() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), (600, 400), (300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(15, 60, (300, 2))], 1)
    ground = Image.new("RGB", (660, 460), "white")
    bare = bounding_boxes(ground, boxes, colors="lime")
    crowd = bounding_boxes(ground, boxes, ["traffic light"] * 300, [0.9] * 300, colors="lime")
    changed = (np.asarray(crowd) != np.asarray(bare)).any(-1)
    assert 0.1 < changed.mean() < 0.4
    every = bounding_boxes(ground, boxes, ["traffic light"] * 300, [0.9] * 300, colors="lime", font_size=10)
    assert (np.asarray(every) != np.asarray(bare)).any(-1).mean() > 0.6, "all, where a size is given"


def test_one_label_is_always_written() -> None:
    small = Image.new("RGB", (60, 60), "white")
    with_label = bounding_boxes(small, [[5, 20, 55, 55]], ["a cat"], [0.5], colors="lime")
    assert with_label.tobytes() != bounding_boxes(small, [[5, 20, 55, 55]], colors="lime").tobytes()


def test_letters_follow_the_size_of_pictures() -> None:
    heights = []
    for side in (200, 640, 4000):
        box = [[side * 0.3, side * 0.3, side * 0.6, side * 0.6]]
        ground = Image.new("RGB", (side, side), "white")
        words = bounding_boxes(ground, box, ["cat"], colors="lime"), bounding_boxes(ground, box, colors="lime")
        rows = (np.asarray(words[0]) != np.asarray(words[1])).any((1, 2)).nonzero()[0]
        heights.append(rows.max() - rows.min() + 1)
    assert 12 <= heights[0] <= 20
    assert 0.015 * 4000 <= heights[2] <= 0.03 * 4000, "seen when the whole fits on a screen"


@pytest.mark.parametrize("what", ["boxes", "masks", "points"])
def test_300_objects_in_a_large_picture_take_seconds(what: str) -> None:
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (4000, 3000), "#808080")
    corners = rng.uniform((0, 0), (3700, 2700), (300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(80, 280, (300, 2))], 1)
    start = time.process_time()
    if what == "boxes":
        drawn = bounding_boxes(image, boxes, rng.integers(0, 20, 300), rng.uniform(0, 1, 300))
    elif what == "masks":
        owner = torch.full((3000, 4000), -1, dtype=torch.int32)
        for i, (left, top, right, bottom) in reversed([*enumerate(boxes.astype(int).tolist())]):
            owner[top:bottom, left:right] = i
        drawn = segment_map(image, owner, 300)
    else:
        drawn = keypoints(image, rng.uniform(0, 200, (300, 17, 2)) + corners[:, None])
    assert time.process_time() - start < 8
    assert drawn.size == image.size


# ── masks and keypoints ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("radius", [1, 2, 3, 6])
@pytest.mark.parametrize("function", [np.minimum, np.maximum])
def test_what_lies_around_is_found_in_a_few_steps(radius: int, function: np.ufunc) -> None:
    plane = np.random.default_rng(0).integers(0, 99, (13, 17))
    want = [
        [
            function.reduce(plane[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1], axis=None)
            for x in range(17)
        ]
        for y in range(13)
    ]
    assert slide(plane, radius, function).tolist() == want


def test_a_plane_of_owners_is_drawn_as_its_masks() -> None:
    image = Image.radial_gradient("L").convert("RGB").resize((90, 70))
    owner = torch.randint(-1, 5, (7, 9), generator=torch.Generator().manual_seed(0))
    owner = owner.repeat_interleave(10, 0).repeat_interleave(10, 1).int()
    masks = torch.stack([owner == i for i in range(5)])
    assert segment_map(image, owner, 5).tobytes() == segmentation_masks(image, masks).tobytes()
    with pytest.raises(InvalidArgument, match="numbers from -1 to 3"):
        segment_map(image, owner, 4)


def test_the_right_of_a_person_is_hollow() -> None:
    points = torch.full((1, 17, 2), 20.0)
    points[0, 5], points[0, 7], points[0, 6], points[0, 8] = torch.tensor(
        [[150.0, 40], [150, 140], [60, 40], [60, 140]]
    )
    seen = torch.zeros(1, 17)
    seen[0, [5, 7, 6, 8]] = 1
    ground = Image.new("RGB", (200, 200), "#808080")
    drawn = keypoints(ground, points, seen, colors="red", width=6, radius=8)
    assert (drawn.getpixel((150, 90)), drawn.getpixel((60, 90))) == ((255, 0, 0), (255, 255, 255))
    assert (drawn.getpixel((150, 40)), drawn.getpixel((60, 40))) == ((255, 0, 0), (255, 255, 255))
    turned = [{"left": "right", "right": "left"}.get(side, side) for side in PERSON_SIDES]
    other = keypoints(ground, points, seen, colors="red", width=6, radius=8, sides=turned)
    assert (other.getpixel((150, 90)), other.getpixel((60, 90))) == ((255, 255, 255), (255, 0, 0))
    for sides in (["left"], ["up"] * 17):
        with pytest.raises(InvalidArgument, match=r"sides are .* 17 keypoints"):
            keypoints(ground, points, seen, sides=sides)


# ── beside pictures ──────────────────────────────────────────────────────────────────────────────────────────────


def test_overlays_of_large_pictures_keep_their_size_and_their_legend_grows() -> None:
    classes = torch.zeros(1000, 2000, dtype=torch.uint8)
    classes[:, 1000:] = 1
    image = Image.new("RGB", (2000, 1000), "#404040")
    whole, small = (segmentation_overlay(image, classes, ["background", "dog"], largest=n) for n in (None, 640))
    assert whole.size[1] >= 1000
    assert (np.asarray(whole)[:, 2000:] == class_color(1)).all(-1).sum() > 40 * 40
    assert small.width < 1000
    assert legible(image, largest=None).size == image.size


def test_legends_say_how_many_are_left_out() -> None:
    picture = Image.new("RGB", (300, 200), "black")
    few, many = (
        with_legend(picture, [LegendItem(f"thing {i}", class_color(i), "1%") for i in range(n)]) for n in (3, 50)
    )
    assert few.height == 200 + 40 < many.height < 320
    long = with_legend(picture, [LegendItem("a long name " * 20, (1, 2, 3), "99.9%")])
    assert long.width < 300 + 60 + 420


def test_scales_have_their_colours_and_round_numbers() -> None:
    drawn = with_scale(
        Image.new("RGB", (300, 200), "white"), lambda s: (round(255 * s), 0, 0), [(0.5, "5")], ("a", "b")
    )
    column = np.asarray(drawn)[:, 345].tolist()
    reds = [pixel[0] for pixel in column if pixel[1:] == [0, 0]]
    assert reds[0] == 255
    assert reds[-1] == 0
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.93, 3.41) == pytest.approx([1, 1.5, 2, 2.5, 3])
    assert ticks(4, 4) == [4]


def test_captions_are_beneath_and_cut() -> None:
    picture = Image.new("RGB", (120, 50), "black")
    one, two = with_caption(picture, "a"), with_caption(picture, "a", "a very long line " * 9)
    assert one.crop((0, 0, 120, 50)).tobytes() == picture.tobytes()
    assert (one.width, two.width) == (120, 120)
    assert 50 < one.height < two.height
