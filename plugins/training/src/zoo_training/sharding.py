"""Parameters spread over processes by FSDP2, and whole again for files, in the process that writes them."""

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
    """Spread the parameters of ``model`` over the processes, in place: its blocks one by one, then what is left.

    Where there is a ``backbone``, only its blocks: a head may have nothing to do in one process, and what is spread on
    its own must run in all of them.

    Raises:
        InvalidArgument: a torch without FSDP2.
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
    """A state with its spread tensors whole, on the CPU; every process must ask at the same time. Others stay as they
    are. They are gathered one by one; who does not ``keep`` them holds one at a time."""
    if isinstance(state, Mapping):
        return {key: gathered(value, keep) for key, value in state.items()}
    if DTensor is None or not isinstance(state, DTensor):
        return state
    whole = state.full_tensor()
    return whole.cpu() if keep else None


def spread(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A whole state, which every process has, spread as ``like`` is: each takes its part, and no more is read of what
    is mapped."""
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
    """Calls of a spread model, each of which all processes must make together, where some have fewer inputs.

    Args:
        active: whether there is anything to be kept in step.
        device: of the model.
        spare: a call for a process that has none of its own.
    """

    def __init__(self, active: bool, device: torch.device, spare: Callable[[], Any]) -> None:
        self.active, self.device, self.last = active, device, spare

    def __call__(self, forward: Callable[[], Any]) -> Any:
        """What ``forward`` gives, which calls the model as often as it does for other inputs."""
        self._busy(True)
        self.last = forward
        return forward()

    def finish(self) -> None:
        """Take part in the others' calls until none has any left."""
        while self._busy(False):
            self.last()

    def _busy(self, own: bool) -> bool:
        if not self.active:
            return False
        number = torch.tensor(int(own), device=self.device)
        dist.all_reduce(number)
        return bool(number)


def load_optimizer_state(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """A whole state into the optimizer, spread as its parameters are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def as_its_parameter(i: int, value: Any) -> Any:
        return spread({"": value}, {"": parameters[i]})[""] if isinstance(value, Tensor) and value.ndim else value

    state = {i: {key: as_its_parameter(i, value) for key, value in kept.items()} for i, kept in saved["state"].items()}
    optimizer.load_state_dict({**saved, "state": state})
