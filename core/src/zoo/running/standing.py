"""A module that replaces another one and has its attributes: task, weights, sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.errors import InvalidArgument
from zoo.running.precision import widen


class StandIn(nn.Module):
    """Has the attributes of ``source``, and computes it in another way; for inference.

    Attributes:
        source: the model.
    """

    source: nn.Module

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.source = source.eval()
        self.training = False

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in ("source", "comparable"):  # the latter would run the source
                raise
            return getattr(self.source, name)

    def train(self, mode: bool = True) -> Any:
        if mode:
            raise InvalidArgument("An optimized model is only for inference; train the original one.")
        return super().train(mode)


class Autocast(StandIn):
    """Computes under autocast and converts the outputs back."""

    def __init__(self, source: nn.Module, dtype: torch.dtype, device_type: str) -> None:
        super().__init__(source)
        self.autocast_dtype, self.device_type = dtype, device_type

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(self.device_type, self.autocast_dtype):
            return widen(self.source(*args, **kwargs))
