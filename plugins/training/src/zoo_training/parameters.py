"""Trainable parameters: groups for an optimizer, frozen parts, a moving average."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument

_BLOCK = re.compile(r"^(.*\b(?:layers|blocks)\.(?:encoder_layer_)?(\d+))\.")


def parameter_groups(
    model: nn.Module, lr: float, weight_decay: float = 0.0, layer_decay: float | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer; no weight decay for norms, biases and other parameters of at most 1 dimension.

    Args:
        model: frozen parameters (``requires_grad=False``) are left out.
        lr: learning rate of the last layers.
        weight_decay: weight decay of the other parameters.
        layer_decay: factor of the rate between a transformer block and the previous one, as in `BEiT
            <https://arxiv.org/abs/2106.08254>`_; blocks are the numbered modules of ``layers`` or ``blocks``.

    Raises:
        InvalidArgument: all parameters are frozen.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise InvalidArgument("All parameters of the model are frozen; there is nothing to train.")
    blocks: dict[str, int] = {}
    for name, _ in model.named_parameters():
        if found := _BLOCK.match(name):
            blocks.setdefault(found[1], len(blocks) + 1)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    seen_block = False
    for name, parameter in named:
        found = _BLOCK.match(name)
        seen_block = seen_block or found is not None
        depth = blocks[found[1]] if found else len(blocks) + 1 if seen_block or not blocks else 0
        factor = 1.0 if layer_decay is None or not blocks else layer_decay ** (len(blocks) + 1 - depth)
        key = (lr * factor, weight_decay if parameter.ndim > 1 else 0.0)
        group = groups.setdefault(key, {"params": [], "lr": key[0], "peak_lr": key[0], "weight_decay": key[1]})
        group["params"].append(parameter)
    return list(groups.values())


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The outermost repeated parts of a model: numbered members of sequences that have submodules."""
    found: list[nn.Module] = []

    def search(module: nn.Module) -> None:
        for child in module.children():
            if isinstance(module, nn.Sequential | nn.ModuleList) and any(True for _ in child.children()):
                found.append(child)
            else:
                search(child)

    search(model)
    return [block for block in found if any(p.requires_grad for p in block.parameters())]


def freeze(model: nn.Module, parts: Sequence[str]) -> list[nn.Module]:
    """Freeze submodules by path, or all but the head by ``"backbone"`` if no module has that name.

    Returns:
        The frozen modules. Keep them in eval mode, so that batch norms do not change.

    Raises:
        InvalidArgument: a module does not exist.
    """
    frozen = []
    for part in parts:
        names = dict(model.named_modules())
        if part in names and part:
            frozen.append(names[part])
        elif part == "backbone" and len(children := list(model.children())) > 1:
            frozen += children[:-1]
        else:
            raise InvalidArgument(f"freeze: {type(model).__name__} has no submodule {part!r}.")
    for module in frozen:
        module.requires_grad_(False)
    return frozen


class EMA:
    """Exponential moving average of a model's parameters; buffers are copied.

    Args:
        model: the model.
        decay: upper limit of the decay; after n steps it is at most ``(1 + n) / (10 + n)``.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise InvalidArgument(f"ema is {decay!r}; expected a decay in [0, 1).")
        self.decay, self.steps = decay, 0
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the average with the model's current parameters."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in model.state_dict().items():
            mean = self.state[name]
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - decay)
            else:
                mean.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "state": self.state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.steps = saved["steps"]
        self.state = {name: value.to(self.state[name].device) for name, value in saved["state"].items()}


def swap(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy the values of ``state`` to ``model``; return its previous values."""
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    return before
