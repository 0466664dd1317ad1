"""Changes of a model that can be undone and redone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import nn


class Edits:
    """A group of changes, which are applied as they are made."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.paths = defaultdict(list)  # a module may have several paths
        for path, m in model.named_modules(remove_duplicate=False):
            self.paths[m].append(path)
        self.done: list[tuple[nn.Module, str, Any, Any]] = []

    def __bool__(self) -> bool:
        return bool(self.done)

    def set(self, owner: nn.Module, name: str, new: Any) -> None:
        self.done.append((owner, name, getattr(owner, name), new))
        setattr(owner, name, new)

    def replace(self, module: nn.Module, new: nn.Module | None) -> None:
        for path in filter(None, self.paths[module]):
            parent, _, name = path.rpartition(".")
            self.set(self.model.get_submodule(parent), name, new)

    @torch.no_grad()
    def fold(self, norm: Any, layer: Any) -> None:
        """Fold the batch norm's scale and shift into the layer before it."""
        dtype = torch.promote_types(layer.weight.dtype, torch.float32)
        mean, var = norm.running_mean.to(dtype), norm.running_var.to(dtype)
        scale = (var + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = -mean if layer.bias is None else layer.bias - mean
        bias = shift * scale if norm.bias is None else shift * scale + norm.bias
        per_channel = scale.view(-1, *[1] * (layer.weight.dim() - 1))
        for name, value in (("weight", layer.weight * per_channel), ("bias", bias)):
            self.set(layer, name, nn.Parameter(value.to(layer.weight.dtype), requires_grad=False))
        self.replace(norm, nn.Identity())

    def undo(self) -> None:
        for owner, name, old, _ in reversed(self.done):
            setattr(owner, name, old)

    def redo(self) -> None:
        for owner, name, _, new in self.done:
            setattr(owner, name, new)
