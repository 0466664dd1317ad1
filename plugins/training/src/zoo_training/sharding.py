"""Parameters spread over processes by FSDP2, and whole again for files and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from zoo_training.parameters import blocks_of

try:
    from torch.distributed.tensor import DTensor, distribute_tensor
except ImportError:  # torch without distributed
    DTensor = None  # type: ignore[assignment, misc]


def shard(model: nn.Module) -> None:
    """Spread the parameters of ``model`` over the processes, in place: its blocks one by one, then what is left."""
    from torch.distributed.fsdp import fully_shard

    for block in blocks_of(model):
        fully_shard(block)
    fully_shard(model)


def gathered(state: Any) -> Any:
    """A state with its spread tensors whole; every process must ask at the same time. Others stay as they are."""
    if isinstance(state, Mapping):
        return {key: gathered(value) for key, value in state.items()}
    return state.full_tensor() if DTensor is not None and isinstance(state, DTensor) else state


def spread(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A whole state spread as ``like`` is."""
    new = {}
    for name, value in state.items():
        other = like[name]
        if DTensor is not None and isinstance(other, DTensor):
            value = distribute_tensor(value.to(other.device), other.device_mesh, other.placements)
        new[name] = value
    return new


def load_optimizer_state(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """A whole state into the optimizer, spread as its parameters are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def as_its_parameter(i: int, value: Any) -> Any:
        return spread({"": value}, {"": parameters[i]})[""] if isinstance(value, Tensor) and value.ndim else value

    state = {i: {key: as_its_parameter(i, value) for key, value in kept.items()} for i, kept in saved["state"].items()}
    optimizer.load_state_dict({**saved, "state": state})
