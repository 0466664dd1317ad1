"""Drawing under torchvision's names: its pixels, read off once, and errors that say what is wrong."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoo
from zoo.draw import class_color
from zoo.errors import InvalidArgument, ZooWarning
from zoo.transforms.functional import pil_to_tensor
from zoo.utils import (
    draw_bounding_boxes,
    draw_keypoints,
    draw_segmentation_masks,
    flow_to_image,
    make_grid,
    save_image,
)

BLANK = torch.zeros(3, 12, 14, dtype=torch.uint8)


def rows(picture: torch.Tensor) -> list[str]:
    """The picture as text: ``#`` where it is not black."""
    return ["".join(".#"[int(bool(pixel))] for pixel in line) for line in picture.any(0)]


def test_signatures_are_torchvisions() -> None:
    defaults = {
        draw_bounding_boxes: "labels=None colors=None fill=False width=1 font=None font_size=None label_colors=None "
        "label_background_colors=None fill_labels=False",
        draw_segmentation_masks: "alpha=0.8 colors=None",
        draw_keypoints: "connectivity=None colors=None radius=2 width=3 visibility=None",
        make_grid: "nrow=8 padding=2 normalize=False value_range=None scale_each=False pad_value=0.0",
    }
    for function, expected in defaults.items():
        parameters = inspect.signature(function).parameters.values()
        given = [f"{p.name}={p.default}" for p in parameters if p.default is not p.empty]
        assert given == expected.split()
    assert flow_to_image is zoo.draw.flow_to_image


# ── boxes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("box", "width", "expected"),
    [
        ([2.7, 1.2, 9.6, 4.5], 1, ["..########....", "..#......#....", "..#......#...."]),
        ([2, 1, 12, 9], 3, ["..###########."] * 3 + ["..###.....###."] * 3 + ["..###########."] * 3),
        ([-2.5, -3, 5, 5], 2, ["....##........"] * 4 + ["######........"] * 2),
    ],
)
def test_rectangles_are_torchvisions(box: list[float], width: int, expected: list[str]) -> None:
    drawn = rows(draw_bounding_boxes(BLANK, torch.tensor([box]), colors=(1, 0, 0), width=width))
    top = 0 if box[1] < 0 else 1
    assert drawn[top : top + len(expected)] == expected
    assert not any("#" in line for line in drawn[int(box[3]) + 1 :])


def test_filled_boxes_are_tinted_one_after_another() -> None:
    image = torch.full((3, 12, 14), 100, dtype=torch.uint8)
    boxes = torch.tensor([[2, 1, 8, 6], [5, 4, 11, 9]])
    drawn = draw_bounding_boxes(image, boxes, colors=[(255, 0, 0), "lime"], fill=True)
    assert drawn[:, 3, 3].tolist() == [161, 61, 61]
    assert drawn[:, 5, 6].tolist() == [98, 137, 37]
    assert drawn[:, 8, 9].tolist() == [61, 161, 61]
    assert drawn[:, 1, 5].tolist() == [255, 0, 0]
    assert drawn[:, 0, 0].tolist() == [100, 100, 100]


def test_boxes_without_colours_can_be_told_apart() -> None:
    boxes = torch.tensor([[0, 0, 3, 3], [5, 0, 8, 3], [0, 5, 3, 9]])
    plain = draw_bounding_boxes(BLANK, boxes)
    assert [tuple(plain[:, y, x].tolist()) for y, x in ((0, 0), (0, 5), (9, 0))] == [class_color(i) for i in range(3)]
    same = draw_bounding_boxes(BLANK, boxes, labels=["cat", "dog", "cat"])
    assert torch.equal(same[:, 9, 0], same[:, 0, 0])
    assert not torch.equal(same[:, 0, 5], same[:, 0, 0])


def lettering(size: tuple[int, int] = (120, 160), box: tuple[int, ...] = (20, 30, 100, 90), **options: Any) -> Any:
    """What labels add to a picture: bool [H, W]."""
    image, boxes = torch.zeros(3, *size, dtype=torch.uint8), torch.tensor([box])
    with_label = draw_bounding_boxes(image, boxes, **{"labels": ["doggy"], "colors": "red", **options})
    return (with_label != draw_bounding_boxes(image, boxes, colors="red")).any(0)


def test_labels_are_in_the_box_at_the_size_that_was_asked_for() -> None:
    small, large = lettering(), lettering(font_size=30)
    for text, size in ((small, 10), (large, 30)):
        ys, xs = text.nonzero().unbind(1)
        assert 0.7 * size < ys.max() - ys.min() + 1 < 1.3 * size
        assert 20 < xs.min() < 30
        assert 30 < ys.min() < 45
    assert not lettering(labels=[None]).any()
    assert not lettering(labels=[""]).any()


@pytest.mark.parametrize("corner", [(-9, -9), (150, 0), (0, 110), (150, 110)])
def test_labels_stay_inside_the_picture(corner: tuple[int, int]) -> None:
    x, y = corner
    moved = lettering(box=(x, y, x + 9, y + 9), colors="red", label_colors="blue", font_size=20)
    whole = lettering(label_colors="blue", font_size=20)
    frame = 4 * 10  # pixels that a frame may hide at most, or show through
    assert abs(int(moved.sum()) - int(whole.sum())) <= frame


def test_plates_and_colours_of_labels() -> None:
    image, boxes = torch.full((3, 60, 90), 50, dtype=torch.uint8), torch.tensor([[10, 10, 80, 50]])

    def count(colour: tuple[int, int, int], **options: Any) -> int:
        drawn = draw_bounding_boxes(image, boxes, ["dog"], "red", font_size=20, **options)
        return int((drawn == torch.tensor(colour)[:, None, None]).all(0).sum())

    assert count((0, 0, 255), fill_labels=True, label_background_colors="blue") > 300
    assert count((255, 255, 255), fill_labels=True, label_background_colors="blue") > 20, "white on blue"
    assert count((0, 255, 0), fill_labels=True, label_colors=["lime"]) > 20
    assert count((255, 0, 0), fill_labels=True) > count((255, 0, 0)) + 200
    assert count((0, 0, 255), label_background_colors="blue") == 0, "no plates were asked for"


def test_another_font_can_be_used() -> None:
    path = Path(zoo.draw.__file__).parent / "fonts/DejaVuSans.ttf"
    one = {"labels": ["g"], "font_size": 18}
    assert torch.equal(lettering(font=str(path), **one), lettering(**one))
    assert lettering(**one).any()
    with pytest.raises(InvalidArgument, match=r"font='nosuch.ttf' cannot be opened"):
        lettering(font="nosuch.ttf")


def test_the_image_is_left_alone_and_its_dtype_kept() -> None:
    boxes = torch.tensor([[1.0, 1, 4, 4]])
    for image in (torch.rand(3, 9, 9), torch.rand(1, 9, 9).half(), torch.rand(3, 9, 9).mul(255).byte()):
        before = image.clone()
        for drawn in (
            draw_bounding_boxes(image, boxes, colors=(200, 0, 0)),
            draw_segmentation_masks(image, torch.eye(9).bool(), alpha=1, colors=(200, 0, 0)),
            draw_keypoints(image, torch.tensor([[[1.0, 1]]]), colors=(200, 0, 0)),
        ):
            assert torch.equal(image, before)
            assert (drawn.dtype, drawn.shape) == (image.dtype, (3, 9, 9))
            assert torch.equal(drawn[:, 8, 0], image[:, 8, 0].expand(3))
            red = 200 if image.dtype == torch.uint8 else 200 / 255
            assert drawn[:, 1, 1].tolist() == pytest.approx([red, 0, 0], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": BLANK.numpy()}, "The image is ndarray; expected a tensor"),
        ({"image": Image.new("RGB", (9, 9))}, "zoo.draw takes PIL images"),
        ({"image": BLANK[None]}, "Draw on each image of a batch"),
        ({"image": BLANK[:2]}, r"\[2, 12, 14\]"),
        ({"image": BLANK.int()}, "torch.int32"),
        ({"boxes": torch.tensor([[9, 1, 2, 8]])}, r"boxes\[0\].*x1 <= x2"),
        ({"boxes": torch.tensor([1, 1, 2, 8])}, r"\[4\]; expected \[N, 4\]"),
        ({"labels": ["a", "b"]}, "1 boxes and 2 labels"),
        ({"colors": []}, "0 colours for 1 objects"),
        ({"colors": "nosuch"}, "colors is 'nosuch'"),
        ({"label_colors": ["nosuch"]}, r"label_colors\[0\] is 'nosuch'"),
        ({"label_background_colors": (1, 2)}, r"label_background_colors\[0\] is 1"),
        ({"width": 0}, "width is 0"),
        ({"font_size": 0}, "font_size is 0"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        draw_bounding_boxes(**{"image": BLANK, "boxes": torch.tensor([[1, 1, 5, 5]]), **arguments})


# ── masks and keypoints ──────────────────────────────────────────────────────────────────────────────────────────


def test_masks_are_torchvisions_where_they_do_not_overlap() -> None:
    image = torch.full((3, 6, 8), 100, dtype=torch.uint8)
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[0, 1:4, 1:5] = True
    masks[1, 2:6, 3:8] = True
    drawn = draw_segmentation_masks(image, masks, colors=[(255, 0, 0), (0, 255, 0)])
    assert drawn[:, 1, 1].tolist() == [224, 20, 20]
    assert drawn[:, 5, 7].tolist() == [20, 224, 20]
    assert drawn[:, 3, 4].tolist() == [20, 224, 20], "the later one is on top"
    assert drawn[:, 0, 0].tolist() == [100, 100, 100]
    assert draw_segmentation_masks(image, masks[0], alpha=0.33, colors="orange")[:, 1, 1].tolist() == [151, 121, 67]
    light = draw_segmentation_masks(image / 255, masks[0], alpha=0.33, colors="orange")[:, 1, 1]
    assert light.tolist() == pytest.approx([0.5927, 0.4763, 0.2627], abs=1e-4)
    with pytest.warns(ZooWarning, match="There are no masks, so nothing is drawn"):
        assert torch.equal(draw_segmentation_masks(image, masks[:0]), image)


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        (torch.ones(2, 12, 14), {}, "torch.float32; expected a bool tensor, such as probabilities > 0.5"),
        (torch.ones(1, 2, 12, 14).bool(), {}, r"\[1, 2, 12, 14\]"),
        (torch.ones(12, 13).bool(), {}, r"\[12, 13\]; expected \[N, 12, 14\]"),
        (torch.ones(2, 12, 14).bool(), {"colors": ["red"]}, "1 colours for 2"),
        (torch.ones(2, 12, 14).bool(), {"alpha": 2}, "alpha is 2"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: torch.Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        draw_segmentation_masks(BLANK, masks, **options)


def test_keypoints_are_torchvisions() -> None:
    dots = rows(
        draw_keypoints(
            torch.zeros(3, 16, 20, dtype=torch.uint8), torch.tensor([[[6, 6.4], [14.8, 9.2]]]), colors=(1, 0, 0)
        )
    )
    assert dots[4:12] == [
        ".....###............",
        "....#####...........",
        "....#####...........",
        "....#####....###....",
        ".....###....#####...",
        "............#####...",
        "............#####...",
        ".............###....",
    ]
    points = torch.tensor([[[3, 3], [14.8, 9.2], [4, 12]]])
    seen = torch.tensor([[True, False, True]])
    lines = draw_keypoints(BLANK.new_zeros(3, 16, 20), points, [(0, 1), (0, 2)], "red", 1, 1, seen)
    white = (lines == 255).all(0).nonzero().tolist()
    assert white == [[y, 3] for y in range(3, 8)] + [[y, 4] for y in range(8, 13)]
    assert not lines[:, :, 6:].any(), "no line to what is invisible"
    column = torch.cat([points, seen[..., None].float()], -1)
    assert torch.equal(draw_keypoints(BLANK.new_zeros(3, 16, 20), column, [(0, 1), (0, 2)], "red", 1, 1), lines)
    each = draw_keypoints(BLANK, torch.tensor([[[3, 3]], [[9, 9]]]))
    assert [tuple(each[:, at, at].tolist()) for at in (3, 9)] == [class_color(0), class_color(1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keypoints": torch.zeros(5, 2)}, r"\[5, 2\]; expected \[N, K, 2\]"),
        ({"connectivity": [(0, 9)]}, r"connectivity contains \(0, 9\).*from 0 to 4"),
        ({"visibility": torch.ones(2, 4)}, r"\[2, 4\]; expected \[2, 5\]"),
        ({"colors": (1, 2)}, r"colors\[0\] is 1"),
        ({"radius": 0}, "radius is 0"),
        ({"width": -1}, "width is -1"),
    ],
)
def test_keypoints_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        draw_keypoints(**{"image": BLANK, "keypoints": torch.zeros(2, 5, 2), **arguments})


# ── grids and files ──────────────────────────────────────────────────────────────────────────────────────────────


def test_grids_are_torchvisions() -> None:
    images = torch.arange(5 * 3 * 2 * 2).view(5, 3, 2, 2).float()
    grid = make_grid(images, nrow=2, padding=1, pad_value=0.5)
    assert grid.shape == (3, 10, 7)
    assert grid[0, :3].tolist() == [[0.5] * 7, [0.5, 0, 1, 0.5, 12, 13, 0.5], [0.5, 2, 3, 0.5, 14, 15, 0.5]]
    assert grid[0, 7].tolist() == [0.5, 48, 49, 0.5, 0.5, 0.5, 0.5]
    assert torch.equal(make_grid(list(images), nrow=2, padding=1, pad_value=0.5), grid)
    two = torch.arange(24).view(2, 3, 2, 2).float()
    assert make_grid(two, normalize=True, padding=0)[0, 0].tolist() == pytest.approx([0, 1 / 23, 12 / 23, 13 / 23])
    each = make_grid(two, normalize=True, scale_each=True, padding=0)[0, 0]
    assert each.tolist() == pytest.approx([0, 1 / 11, 0, 1 / 11])
    assert make_grid(two, normalize=True, value_range=(1, 13), padding=0)[0, 0].tolist() == pytest.approx(
        [0, 0, 11 / 12, 1]
    )
    assert not make_grid(torch.ones(2, 3, 2, 2), normalize=True, padding=0).any()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3), (3, 2, 3)),
        ((1, 2, 3), (3, 2, 3)),
        ((3, 4, 5), (3, 4, 5)),
        ((1, 3, 4, 4), (3, 4, 4)),
        ((2, 1, 3, 4), (3, 7, 14)),
        ((2, 4, 2, 2), (4, 6, 10)),
    ],
)
def test_one_image_has_no_border_and_grey_becomes_rgb(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert make_grid(torch.rand(shape)).shape == expected
    assert make_grid(torch.ones(shape, dtype=torch.uint8)).dtype == torch.uint8


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {}, "no tensor"),
        ([torch.rand(3, 2, 2), torch.rand(3, 3, 2)], {}, r"shapes \[3, 2, 2\], \[3, 3, 2\]"),
        (torch.rand(3), {}, r"\[3\]; expected \[N, C, H, W\]"),
        (torch.rand(0, 3, 2, 2), {}, "not empty"),
        (torch.ones(2, 3, 2, 2).byte(), {"normalize": True}, "torch.uint8"),
        (torch.rand(2, 3, 2, 2), {"normalize": True, "value_range": (1, 0)}, r"value_range is \(1, 0\)"),
        (torch.rand(2, 3, 2, 2), {"nrow": 0}, "nrow is 0"),
    ],
)
def test_grids_that_cannot_be_are_refused(images: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make_grid(images, **options)


def test_images_are_saved(tmp_path: Path) -> None:
    image = torch.tensor([0.0, 0.4999, 1.0, 7.0]).view(1, 2, 2).expand(3, -1, -1)
    save_image(image, tmp_path / "one.png")
    assert pil_to_tensor(Image.open(tmp_path / "one.png"))[0].tolist() == [[0, 127], [255, 255]]
    save_image([image, image], str(tmp_path / "two.png"), nrow=1, padding=0)
    assert Image.open(tmp_path / "two.png").size == (2, 4)
    save_image(BLANK + 9, tmp_path / "bytes.png")
    assert torch.equal(pil_to_tensor(Image.open(tmp_path / "bytes.png")), BLANK + 9)
    file = io.BytesIO()
    save_image(image, file, format="png")
    assert file.getvalue() == (tmp_path / "one.png").read_bytes()
    with pytest.raises(InvalidArgument, match="do not name a picture format"):
        save_image(image, tmp_path / "one.nosuch")
    with pytest.raises(InvalidArgument, match="do not name a picture format"):
        save_image(image, tmp_path / "one.png", format="nosuch")


@pytest.mark.parametrize("alpha", [0.1, 0.33, 0.77, 0.9])
def test_outside_masks_pixels_are_rounded_as_torchvision_rounds_them(alpha: float) -> None:
    image = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, 3:6] = True
    drawn = draw_segmentation_masks(image, masks, alpha, colors=[(9, 99, 255)])
    under = torch.where(masks, torch.tensor([9, 99, 255])[:, None, None], image).to(torch.uint8)
    assert torch.equal(drawn, (image * (1 - alpha) + under * alpha).to(torch.uint8))
