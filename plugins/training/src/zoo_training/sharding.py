"""Shard parameters over processes with FSDP2, and gather them for files in the process that writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.errors import InvalidArgument
from zoo_training.parameters import blocks_of

try:
    from torch.distributed.tensor import DTensor, distribute_tensor
except ImportError:  # torch without distributed
    DTensor = None  # type: ignore[assignment, misc]


def shard(model: nn.Module) -> None:
    """Shard the parameters of ``model`` over the processes, in place: each block, then the rest.

    If there is a ``backbone``, only its blocks are sharded separately: a head may be skipped in some processes, but
    separately sharded modules must run in all of them.

    Raises:
        InvalidArgument: torch has no FSDP2.
    """
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError as e:
        raise InvalidArgument(f"fsdp needs torch 2.6 or later; this is {torch.__version__}.") from e
    backbone = getattr(model, "backbone", None)
    for block in blocks_of(backbone if isinstance(backbone, nn.Module) else model):
        fully_shard(block)
    fully_shard(model)


def gathered(state: Any, keep: bool = True) -> Any:
    """A state with its sharded tensors gathered on the CPU; all processes must call it at the same time. Other values
    are unchanged. Tensors are gathered one by one; a process without ``keep`` holds one at a time."""
    if isinstance(state, Mapping):
        return {key: gathered(value, keep) for key, value in state.items()}
    if DTensor is None or not isinstance(state, DTensor):
        return state
    whole = state.full_tensor()
    return whole.cpu() if keep else None


def spread(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Shard a complete state, which every process has, like ``like``: each process takes its part, so that only this
    part of memory-mapped tensors is read."""
    new = {}
    for name, value in state.items():
        other = like[name]
        if DTensor is not None and isinstance(other, DTensor):
            own = distribute_tensor(value, other.device_mesh, other.placements, src_data_rank=None)
            local = own.to_local().clone().to(other.device)
            value = DTensor.from_local(
                local, other.device_mesh, other.placements, shape=other.size(), stride=other.stride()
            )
        new[name] = value
    return new


class InStep:
    """Calls of a sharded model, which all processes must make together, although some have fewer inputs.

    Args:
        active: whether processes must be synchronized.
        device: device of the model.
        spare: a call for a process without further inputs.
    """

    def __init__(self, active: bool, device: torch.device, spare: Callable[[], Any]) -> None:
        self.active, self.device, self.last = active, device, spare

    def __call__(self, forward: Callable[[], Any]) -> Any:
        """The result of ``forward``, which calls the model equally often for all inputs."""
        self._busy(True)
        self.last = forward
        return forward()

    def finish(self) -> None:
        """Take part in the calls of other processes until all have finished."""
        while self._busy(False):
            self.last()

    def _busy(self, own: bool) -> bool:
        if not self.active:
            return False
        number = torch.tensor(int(own), device=self.device)
        dist.all_reduce(number)
        return bool(number)


def load_optimizer_state(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Load a complete state into the optimizer, sharded like its parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def as_its_parameter(i: int, value: Any) -> Any:
        return spread({"": value}, {"": parameters[i]})[""] if isinstance(value, Tensor) and value.ndim else value

    state = {i: {key: as_its_parameter(i, value) for key, value in kept.items()} for i, kept in saved["state"].items()}
    optimizer.load_state_dict({**saved, "state": state})
