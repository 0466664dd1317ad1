"""Boxes, masks and keypoints drawn over pictures: pixels where they must be, and what holds for every picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from zoo.draw import INK, PERSON_SKELETON, bounding_boxes, class_color, font, keypoints, segmentation_masks
from zoo.errors import InvalidArgument
from zoo.transforms.functional import pil_to_tensor

GREY, RED, GREEN, BLACK = (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 0)
EDGE = ImageColor.getrgb(INK)


def grey(width: int = 320, height: int = 240) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def count(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == colour).all(-1).sum())


# ── font and colours ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_bundled_font_writes_latin_greek_cyrillic_and_arrows() -> None:
    letters = font(20)
    box = bytes(letters.getmask("\ue000"))  # for private use, and so in no font
    assert any(box), "a missing letter is detected"
    for text in ("Straßenbahn", "żółw", "Ελλάδα", "вагон №7", "“naïve” – → ← ↑ ↓ … ≥ ≤ × ½ € µ", "Việt Nam"):
        for letter in text.replace(" ", ""):
            assert bytes(letters.getmask(letter)) != box, letter
    assert bytes(letters.getmask("日")) == box


def test_the_font_is_small_and_its_licence_beside_it() -> None:
    folder = files("zoo.draw") / "fonts"
    assert len((folder / "DejaVuSans.ttf").read_bytes()) < 200_000
    assert "Bitstream Vera Fonts Copyright" in (folder / "LICENSE").read_text()


def lab(colours: Any) -> np.ndarray:
    """CIELAB of sRGB colours [N, 3], 0 to 255."""
    c = np.asarray(colours) / 255
    c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = c @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def test_class_colours_can_be_told_apart_and_neighbours_best() -> None:
    places = lab([class_color(i) for i in range(96)])
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    i, j = np.triu_indices(96, 1)
    assert distance[i, j].min() > 15
    assert distance[:20, :20][np.triu_indices(20, 1)].min() > 25
    assert min(distance[k, k + step] for step in (1, 2, 3) for k in range(96 - step)) > 40
    assert class_color(96) == class_color(0)


# ── boxes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_is_half_outside_its_box_and_dark_at_its_edges() -> None:
    drawn = bounding_boxes(grey(), [[50, 60, 150, 160]], colors="red", width=2)
    row = [drawn.getpixel((x, 100)) for x in range(46, 54)]
    assert row == [GREY, GREY, EDGE, RED, RED, EDGE, GREY, GREY]
    column = [drawn.getpixel((100, y)) for y in range(157, 164)]
    assert column == [GREY, EDGE, RED, RED, EDGE, GREY, GREY]
    assert drawn.getpixel((100, 110)) == GREY


def test_frames_at_the_border_are_seen_whole_and_boxes_outside_not_at_all() -> None:
    drawn = bounding_boxes(grey(), [[-50, -50, 320, 240], [321, 10, 400, 90], [-9, -9, 0, 5]], colors="red", width=3)
    assert [drawn.getpixel((x, 100)) for x in (0, 2, 3, 4, 316, 317, 319)] == [RED, RED, EDGE, GREY, EDGE, RED, RED]
    assert count(drawn, RED) == 320 * 240 - 314 * 234
    outside = bounding_boxes(grey(), [[321, 10, 400, 90], [-9, -9, 0, 5]], ["a", "b"])
    assert count(outside, GREY) == 320 * 240


def test_small_objects_are_not_filled_up_by_their_frame() -> None:
    drawn = bounding_boxes(grey(), [[100, 100, 108, 108]], colors="red", width=8)
    assert drawn.getpixel((104, 104)) == GREY


def test_labels_are_written_above_their_box_on_a_plate_of_its_colour() -> None:
    drawn = np.asarray(bounding_boxes(grey(), [[50, 60, 150, 160]], ["cat"], [0.97], colors="lime", width=1))
    plate = (drawn[45:59, 50:150] == GREEN).all(-1)
    assert plate.sum() > 400
    assert (drawn[45:59, 50:150] == BLACK).all(-1).sum() > 8, "black on a light colour"
    assert (drawn[:43] == GREY).all()
    dark = bounding_boxes(grey(), [[50, 60, 150, 160]], ["cat"], [0.97], colors=(60, 0, 90))
    assert count(dark, (255, 255, 255)) > 8, "white on a dark one"
    plain = bounding_boxes(grey(), [[50, 60, 150, 160]], colors="lime", width=1)
    assert count(plain, BLACK) == 0


def ink(boxes: Any, labels: list[str], size: tuple[int, int] = (640, 480), **options: Any) -> int:
    return count(bounding_boxes(grey(*size), boxes, labels, colors="lime", **options), BLACK)


@pytest.mark.parametrize("at", list(itertools.product((-20, 0, 315, 620), (-20, 0, 235, 460))))
def test_labels_stay_inside_the_picture_wherever_the_box_is(at: tuple[int, int]) -> None:
    x, y = at
    assert ink([[x, y, x + 30, y + 30]], ["traffic light"]) == ink([[200, 200, 400, 400]], ["traffic light"]) > 20


def test_labels_of_one_place_make_room_for_one_another() -> None:
    box = [200, 200, 300, 300]
    assert ink([box] * 5, ["person"] * 5) == 5 * ink([box], ["person"])


def test_in_a_crowd_most_labels_can_be_read() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), (860, 560), (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(15, 160, (60, 2))], 1)
    labels = [f"object {i}" for i in range(60)]
    apart = sum(ink([[300, 300, 400, 400]], [label], (900, 600)) for label in labels)
    assert ink(boxes, labels, (900, 600)) > 0.95 * apart


def test_long_labels_are_cut_and_keep_their_score() -> None:
    long = "a label that is far too long for the picture that it is drawn on " * 3
    pictures = [bounding_boxes(grey(640, 480), [[50, 60, 150, 160]], [long], [score]) for score in (0.97, 0.12)]
    changed = (np.asarray(pictures[0]) != GREY).any((0, 2)).nonzero()[0]
    assert 50 - 2 <= changed.min() < changed.max() < 50 + 20 * 14 + 3
    differing = (np.asarray(pictures[0]) != np.asarray(pictures[1])).any((0, 2)).nonzero()[0]
    assert differing.min() > 50 + 0.8 * (changed.max() - 50)


def test_tiny_pictures_have_frames_and_no_labels_unless_a_size_is_given() -> None:
    tiny = grey(48, 40)
    plain = bounding_boxes(tiny, [[5, 5, 30, 30]], colors="lime")
    assert bounding_boxes(tiny, [[5, 5, 30, 30]], ["cat"], colors="lime").tobytes() == plain.tobytes()
    assert ink([[5, 5, 30, 30]], ["cat"], (48, 40), font_size=8) > 1
    assert bounding_boxes(Image.new("L", (1, 1)), [[0, 0, 1, 1]], ["cat"], [0.5]).size == (1, 1)


def test_letters_and_lines_grow_with_the_picture() -> None:
    small, large = (ink([[w // 4, w // 4, w // 2, w // 2]], ["cat"], (w, w), font_size=None) for w in (320, 3200))
    assert large > 3 * small
    frames = [
        count(bounding_boxes(grey(w, w), [[w // 4, w // 4, w // 2, w // 2]], colors="lime"), GREEN) / w
        for w in (320, 3200)
    ]
    assert frames[1] == pytest.approx(10 * frames[0], rel=0.1)


def test_a_class_has_one_colour_in_every_picture() -> None:
    first = bounding_boxes(grey(), [[50, 60, 150, 160]], [7])
    second = bounding_boxes(
        grey(400, 300), [[10, 20, 50, 60], [50, 60, 150, 160]], torch.tensor([3, 7]), names="abcdefgh"
    )
    assert first.getpixel((50, 100)) == second.getpixel((50, 100)) == class_color(7)
    assert second.getpixel((10, 40)) == class_color(3)
    words = [bounding_boxes(grey(), [[50, 60, 150, 160]] * n, ["dog", "cat", "cow"][-n:]) for n in (1, 3)]
    assert words[0].getpixel((51, 130)) != GREY
    alone = bounding_boxes(grey(), [[50, 60, 150, 160]], ["dog"])
    assert alone.getpixel((50, 130)) == words[1].getpixel((50, 130))


# ── any kind of picture ──────────────────────────────────────────────────────────────────────────────────────────

DRAWERS: list[Callable[[Any], Any]] = [
    lambda image: bounding_boxes(image, [[5, 70, 60, 90]], ["cat"], [0.5]),
    lambda image: segmentation_masks(image, torch.ones(100, 80).tril().bool()),
    lambda image: keypoints(image, [[[5, 5], [60, 70]]], skeleton=[(0, 1)]),
]


@pytest.mark.parametrize("draw", DRAWERS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3])
def test_tensors_keep_their_dtype_and_what_is_not_drawn_on(draw: Any, dtype: torch.dtype, channels: int) -> None:
    image = torch.rand(channels, 100, 80, generator=torch.Generator().manual_seed(0))
    image = (image * 255).to(dtype) if dtype == torch.uint8 else image.to(dtype)
    before = image.clone()
    drawn = draw(image)
    assert torch.equal(image, before)
    assert (drawn.shape, drawn.dtype) == ((3, 100, 80), dtype)
    same = (drawn == image).all(0)
    assert 0.3 < same.float().mean() < 0.97
    if dtype.is_floating_point:
        assert 0 <= drawn.min() <= drawn.max() <= 1


@pytest.mark.parametrize("draw", DRAWERS)
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16", "1"])
def test_pil_images_become_rgb_and_equal_their_tensor(draw: Any, mode: str) -> None:
    image = Image.radial_gradient("L").resize((80, 100)).convert("RGB").convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    before = image.tobytes()
    drawn = draw(image)
    assert (drawn.mode, drawn.size, image.tobytes()) == ("RGB", (80, 100), before)
    if mode == "RGB":
        assert torch.equal(pil_to_tensor(drawn), draw(pil_to_tensor(image)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(2, 3, 8, 8), "Draw on each image of a batch"),
        (torch.zeros(4, 8, 8), r"\[4, 8, 8\]"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "torch.int64"),
        (torch.full((3, 8, 8), 200.0), "values from 200 to 200"),
        (torch.full((3, 8, 8), float("nan")), "values from nan to nan"),
        (torch.randn(3, 8, 8) * 2 - 1, "before normalisation"),
        (torch.zeros(3, 0, 8), "8 × 0 pixels"),
        (np.zeros((8, 8, 3), np.uint8), "ndarray is not a picture"),
    ],
)
def test_what_is_no_picture_is_refused(image: Any, message: str) -> None:
    for draw in (
        lambda image: bounding_boxes(image, [[1, 1, 5, 5]]),
        lambda image: segmentation_masks(image, torch.ones(8, 8).bool()),
        lambda image: keypoints(image, [[[1, 1]]]),
    ):
        with pytest.raises(InvalidArgument, match=message):
            draw(image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boxes": [[1, 2, 3]]}, r"\[1, 3\]; expected \[N, 4\]"),
        ({"boxes": [[10, 20, 5, 30]]}, r"boxes\[0\] is \[10.0, 20.0, 5.0, 30.0\].*xywh"),
        ({"boxes": [[0, 0, 9, float("inf")]]}, "inf"),
        ({"boxes": "box"}, "boxes cannot be read"),
        ({"labels": ["a", "b"]}, "1 boxes and 2 labels"),
        ({"labels": [1.5]}, r"labels are \[1.5\]"),
        ({"labels": [3], "names": ["a", "b"]}, "labels are from 3 to 3, but there are 2 names"),
        ({"scores": [0.5, 0.5]}, "1 boxes and 2 scores"),
        ({"colors": "nosuch"}, "colors is 'nosuch'"),
        ({"colors": (0, 0, 300)}, r"colors is \(0, 0, 300\)"),
        ({"colors": []}, "0 colours for 1 objects"),
        ({"colors": [3]}, r"colors\[0\] is 3"),
        ({"colors": 3}, "colors is 3"),
        ({"width": 0}, "width is 0"),
        ({"labels": ["a"], "font_size": 0}, "font_size is 0"),
    ],
)
def test_boxes_that_do_not_fit_together_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        bounding_boxes(grey(), **{"boxes": [[1, 2, 30, 40]], **arguments})


def test_nothing_to_draw_is_a_copy() -> None:
    image = torch.rand(3, 90, 70)
    for drawn in (
        bounding_boxes(image, torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0), names=["a"]),
        segmentation_masks(image, torch.zeros(0, 1, 90, 70)),
        keypoints(image, torch.zeros(0, 17, 3)),
    ):
        assert torch.equal(drawn, image)
        assert drawn.data_ptr() != image.data_ptr()


# ── masks ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_masks_tint_and_are_outlined_the_first_on_top() -> None:
    image = torch.full((3, 60, 80), 100, dtype=torch.uint8)
    masks = torch.zeros(2, 60, 80)
    masks[0, 10:40, 0:40] = 0.9
    masks[1, 20:50, 20:60] = 0.5
    drawn = segmentation_masks(image, masks[:, None], colors=["red", "lime"])
    assert drawn[:, 15, 15].tolist() == [177, 50, 50]
    assert drawn[:, 30, 30].tolist() == [177, 50, 50]
    assert drawn[:, 45, 50].tolist() == [50, 177, 50]
    assert drawn[:, 5, 5].tolist() == [100, 100, 100]
    assert drawn[:, 10, 15].tolist() == drawn[:, 39, 30].tolist() == [255, 0, 0], "edges"
    assert drawn[:, 15, 0].tolist() == [177, 50, 50], "the picture's border is not an edge"
    flat = segmentation_masks(image, masks[0] > 0.5, colors="red", opacity=1, outline=False)
    assert (flat[0] == 255).sum() == 30 * 40
    own = segmentation_masks(image, torch.stack([masks[0], masks[1] * (masks[0] == 0)]), opacity=1)
    assert tuple(own[:, 15, 15].tolist()) == class_color(0)
    assert tuple(own[:, 45, 50].tolist()) == class_color(1)


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        (torch.ones(2, 8, 9), {}, r"\[2, 8, 9\]; expected \[N, 8, 8\]"),
        (torch.ones(2, 2, 8, 8), {}, r"\[2, 2, 8, 8\]"),
        (torch.ones(8, 8, dtype=torch.uint8), {}, "torch.uint8"),
        ([[True]], {}, "list"),
        (torch.ones(2, 8, 8), {"opacity": 1.5}, "opacity is 1.5"),
        (torch.ones(2, 8, 8), {"colors": ["red"]}, "1 colours for 2 objects"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        segmentation_masks(torch.zeros(3, 8, 8), masks, **options)


# ── keypoints ────────────────────────────────────────────────────────────────────────────────────────────────────

# fmt: off
PERSON = torch.tensor([
    (50, 12), (54, 8), (46, 8), (60, 12), (40, 12),  # nose, eyes, ears; left before right
    (66, 32), (34, 32), (80, 52), (20, 50), (84, 76), (14, 72),  # shoulders, elbows, wrists
    (60, 80), (40, 80), (64, 112), (38, 112), (66, 146), (34, 146),  # hips, knees, ankles
]).float()
# fmt: on


def test_keypoints_are_dots_and_limbs_lines_with_dark_edges() -> None:
    drawn = keypoints(
        grey(), [[[100, 100], [200, 100], [150, 200]]], skeleton=[(0, 1)], colors="red", radius=4, width=3
    )
    column = [drawn.getpixel((150, y)) for y in range(96, 105)]
    assert column == [GREY, GREY, EDGE, RED, RED, RED, EDGE, GREY, GREY]
    assert drawn.getpixel((150, 200)) == RED
    row = [drawn.getpixel((150 + x, 200)) for x in range(3, 8)]
    assert row == [RED, (255, 255, 255), EDGE, GREY, GREY]
    assert drawn.getpixel((125, 150)) == GREY


def test_persons_have_skeletons_and_others_not() -> None:
    assert len(PERSON_SKELETON) == 19
    assert {place for limb in PERSON_SKELETON for place in limb} == set(range(17))
    image = grey(200, 200)
    body, dots = keypoints(image, PERSON[None]), keypoints(image, PERSON[None], skeleton=())
    x, y = ((PERSON[5] + PERSON[11]) / 2).int().tolist()  # the trunk's left side
    assert body.getpixel((x, y)) == class_color(0)
    assert dots.getpixel((x, y)) == GREY
    sixteen = keypoints(image, PERSON[None, :16])
    assert sixteen.getpixel((x, y)) == GREY


@pytest.mark.parametrize("how", ["column", "argument", "nowhere"])
def test_what_is_invisible_is_not_drawn(how: str) -> None:
    visible = torch.ones(1, 17)
    visible[0, 9] = 0  # the left wrist
    if how == "column":
        drawn = keypoints(grey(200, 200), torch.cat([PERSON[None], visible[..., None]], -1))
    else:
        points = torch.where(visible[..., None] > 0, PERSON, torch.nan) if how == "nowhere" else PERSON[None]
        drawn = keypoints(grey(200, 200), points, visible)
    arm = np.asarray(drawn)[58:80, 78:90]
    assert (arm == GREY).all()
    assert (np.asarray(drawn) != GREY).any()
    assert keypoints(grey(), PERSON[None], torch.zeros(1, 17)).tobytes() == grey().tobytes()


def test_small_persons_have_small_dots() -> None:
    image = grey(1000, 1000)
    large, small = (keypoints(image, PERSON[None] * scale + 20) for scale in (6, 0.4))
    drawn = (np.asarray(small) != GREY).any(-1)
    assert count(large, class_color(0)) > 2000
    assert drawn.sum() < 0.5 * (84 - 14) * 0.4 * (146 - 8) * 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keypoints": torch.zeros(17, 3)}, r"\[17, 3\]; expected \[N, K, 2\]"),
        ({"keypoints": torch.full((1, 2, 2), torch.nan)}, r"keypoints\[0, 0\] is \[nan, nan\]"),
        ({"visibility": torch.ones(1, 3)}, r"\[1, 3\]; expected \[1, 2\]"),
        ({"skeleton": [(0, 2)]}, r"skeleton contains \(0, 2\).*from 0 to 1"),
        ({"skeleton": [(0, 1, 1)]}, "expected pairs"),
        ({"colors": ()}, "0 colours for 1 objects"),
        ({"radius": 0}, "radius is 0"),
        ({"width": 0}, "width is 0"),
    ],
)
def test_keypoints_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        keypoints(grey(), **{"keypoints": [[[1, 2], [3, 4]]], **arguments})
