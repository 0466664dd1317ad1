"""Boxes of eight numbers in pictures."""

from __future__ import annotations

import pytest
import torch

import zoo.draw
import zoo.utils
from zoo.errors import InvalidArgument
from zoo.ops import box_convert

PAPER = torch.full((3, 120, 160), 200, dtype=torch.uint8)
TURNED = box_convert(torch.tensor([[60.0, 60, 60, 30, 30], [115, 60, 30, 30, 0]]), "cxcywhr", "xyxyxyxy")


def inside(x: torch.Tensor, y: torch.Tensor, margin: float) -> torch.Tensor:
    """Whether points are in the first box, grown by a margin."""
    angle = torch.tensor(30.0).deg2rad()
    across = (x - 60) * angle.cos() - (y - 60) * angle.sin()
    down = (x - 60) * angle.sin() + (y - 60) * angle.cos()
    return (across.abs() <= 30 + margin) & (down.abs() <= 15 + margin)


@pytest.mark.parametrize("draw", [zoo.utils.draw_bounding_boxes, zoo.draw.bounding_boxes])
def test_outlines_follow_the_corners(draw: object) -> None:
    changed = (draw(PAPER, TURNED[:1], colors="red", width=2) != PAPER).any(0)
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(160.0), indexing="ij")
    assert not changed[~inside(x, y, 5)].any()
    assert not changed[inside(x, y, -5)].any()
    for corner in TURNED[0].view(4, 2).round().int().tolist():
        assert changed[corner[1] - 2 : corner[1] + 3, corner[0] - 2 : corner[0] + 3].any()
    sides = TURNED[0].view(4, 2)
    for a, b in zip(sides, sides.roll(-1, 0), strict=True):
        u, v = ((a + b) / 2).round().int().tolist()
        assert changed[v - 2 : v + 3, u - 2 : u + 3].any()


def test_filled_and_labelled() -> None:
    filled = zoo.utils.draw_bounding_boxes(PAPER, TURNED, colors=["red", "blue"], fill=True)
    assert filled[:, 60, 60].tolist() == [222, 122, 122]  # red, 100 parts in 255 (as Pillow rounds it)
    assert filled[:, 60, 115].tolist() == [122, 122, 222]
    labelled = zoo.utils.draw_bounding_boxes(PAPER, TURNED, labels=["a", "b"], colors="red")
    assert (labelled != zoo.utils.draw_bounding_boxes(PAPER, TURNED, colors="red")).any()
    named = zoo.draw.bounding_boxes(PAPER, TURNED, ["a", "b"], [0.9, 0.8], font_size=12)
    above = named[:, int(TURNED[1, 1]) - 15 : int(TURNED[1, 1]) - 3, 100:112]
    assert (above != 200).any()


def test_upright_corners_are_the_box() -> None:
    corners = torch.tensor([[20, 30, 70, 30, 70, 90, 20, 90]])
    for options in ({}, {"width": 3}, {"fill": True}):
        boxes = [
            zoo.utils.draw_bounding_boxes(PAPER, b, colors="red", **options)
            for b in (corners, corners[:, [0, 1, 4, 5]])
        ]
        assert torch.equal(*boxes)


def test_what_is_no_box() -> None:
    for draw in (zoo.utils.draw_bounding_boxes, zoo.draw.bounding_boxes):
        with pytest.raises(InvalidArgument, match=r"\[2, 5\]; expected \[N, 4\], xyxy in pixels, or \[N, 8\]"):
            draw(PAPER, torch.rand(2, 5))
        with pytest.raises(InvalidArgument, match="not finite"):
            draw(PAPER, TURNED / 0)
    assert torch.equal(zoo.draw.bounding_boxes(PAPER, torch.zeros(0, 8)), PAPER)
