"""Detections are scaled to the pictures in a graph in which their number is unknown."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_detection.transform import resize_boxes, to_image


class Scaled(nn.Module):
    def forward(self, boxes: Tensor) -> Tensor:
        found = {"boxes": boxes[(boxes[:, 2] > 5).nonzero()[:, 0]]}
        return to_image(found, (10, 10), (20, 40), paste=False)["boxes"]


def test_a_number_of_boxes_that_the_graph_does_not_know() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 2, 6, 8], [3, 3, 9, 9]])
    graph = torch.export.export(Scaled(), (boxes,)).module()
    for given in (boxes, boxes / 9, boxes + 9):
        expected = given[given[:, 2] > 5] * torch.tensor([4.0, 2, 4, 2])
        assert torch.equal(graph(given), expected)


def test_no_boxes_of_any_shape_stay_none() -> None:
    assert resize_boxes(torch.empty(0, 4), (10, 10), (20, 40)).shape == (0, 4)
    assert resize_boxes(torch.empty(0), (10, 10), (20, 40)).shape == (0,)
