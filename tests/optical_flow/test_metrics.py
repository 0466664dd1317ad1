"""Shares of pixels with an error above a threshold."""

from __future__ import annotations

import pytest
import torch

from zoo.errors import InvalidArgument
from zoo_optical_flow.metrics import error_shares


def test_error_shares_by_hand() -> None:
    target, flow = torch.zeros(2, 2, 1, 4), torch.zeros(2, 2, 1, 4)
    flow[0, 0, 0] = torch.tensor([0.0, 1.0, 1.5, 4.0])
    flow[1, :, 0] = torch.tensor([[3.0, 0.0, 6.0, 0.5], [4.0, 0.0, 0.0, 0.5]])  # 5, 0, 6, 0.7 pixels
    assert error_shares(flow, target).tolist() == [50, 37.5, 12.5]
    valid = torch.tensor([[[1, 1, 1, 1]], [[0, 1, 0, 1]]])
    assert error_shares(flow, target, valid, beyond=(1, 3.9)).tolist() == pytest.approx([200 / 6, 100 / 6])
    assert error_shares(flow, target, torch.zeros(2, 1, 4)).isnan().all()
    with pytest.raises(InvalidArgument, match="valid has shape"):
        error_shares(flow, target, torch.ones(2, 4))
