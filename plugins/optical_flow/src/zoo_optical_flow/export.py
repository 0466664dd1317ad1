"""RAFT as a file: two frames of a fixed size in, the last flow out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo import Exportable
from zoo.contract import check_count
from zoo.errors import InvalidArgument


class LastFlow(nn.Module):
    """Two frames [1, 3, H, W], values in [-1, 1] → ``flow`` [1, 2, H, W], after so many updates."""

    def __init__(self, model: nn.Module, updates: int) -> None:
        super().__init__()
        self.model = model
        self.updates = updates

    def forward(self, image1: Tensor, image2: Tensor) -> dict[str, Tensor]:
        return {"flow": self.model(image1, image2, num_flow_updates=self.updates)[-1]}


def export(model: nn.Module, image_size: tuple[int, int] | None, num_flow_updates: int = 12) -> Exportable:
    """RAFT as :func:`zoo.export` takes it; see :class:`LastFlow`. The updates are written out one by one.

    Args:
        model: RAFT.
        image_size: (H, W), multiples of 8 from 128 on.
        num_flow_updates: how many there are.

    Raises:
        InvalidArgument: no image size, or one that RAFT does not take.
    """
    if image_size is None:
        raise InvalidArgument("RAFT takes frames of any size, and a file of one: give image_size=(height, width).")
    module = LastFlow(model, check_count("num_flow_updates", num_flow_updates, 1))
    return Exportable(module, (torch.rand(1, 3, *image_size), torch.rand(1, 3, *image_size)), ("image1", "image2"))
