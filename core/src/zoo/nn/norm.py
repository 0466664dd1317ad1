"""Normalisation layers that torch does not have: frozen batch norm, layer norm over channels of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics and scale: [N, C, H, W] → [N, C, H, W].

    All four tensors are buffers: nothing is trained or updated, in training neither. A file of ordinary batch norm
    loads: its ``num_batches_tracked`` is dropped.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        # torch.nn.functional's refuses an eps of 0 in some versions, which published detectors have.
        statistics = (self.weight, self.bias, self.running_mean, self.running_var)
        return torch.batch_norm(x, *statistics, False, 0.0, self.eps, torch.backends.cudnn.enabled)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of every pixel: [N, C, H, W] → [N, C, H, W], channels-last in memory."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
