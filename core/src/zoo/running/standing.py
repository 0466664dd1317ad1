"""A module that stands for another one, as what others know of it: its task, weights, sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.errors import InvalidArgument
from zoo.running.precision import widen


class StandIn(nn.Module):
    """Has the attributes of ``source``, which it computes in another way; for inference.

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
            raise InvalidArgument(
                "A model that zoo.optimize made is for inference; train the one that it was made from."
            )
        return super().train(mode)


class Autocast(StandIn):
    """Computes under autocast; what comes out is widened."""

    def __init__(self, source: nn.Module, dtype: torch.dtype, device_type: str) -> None:
        super().__init__(source)
        self.autocast_dtype, self.device_type = dtype, device_type

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(self.device_type, self.autocast_dtype):
            return widen(self.source(*args, **kwargs))
