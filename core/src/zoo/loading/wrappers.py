"""Wrappers of parallel training, ``torch.compile`` and averaging, and how they change a model's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from zoo.errors import InvalidArgument

_WRAPPERS = ("DataParallel", "DistributedDataParallel", "AveragedModel")
_FLAT = "FullyShardedDataParallel"  # FSDP1, whose parameters are flattened
_COMPILED = "_orig_mod"


def layers(model: nn.Module) -> list[nn.Module]:
    """The wrappers of a model, from the outermost to the model that a builder made."""
    found = [model]
    while True:
        inner = found[-1]._modules.get(_COMPILED)
        if inner is None and type(found[-1]).__name__ in _WRAPPERS:
            inner = found[-1]._modules.get("module")
        if inner is None:
            return found
        found.append(inner)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside."""
    return layers(model)[-1]


def check_parameters(model: nn.Module) -> None:
    """Raise an error if the parameters are no longer those of the model.

    Raises:
        InvalidArgument: ``FullyShardedDataParallel`` has flattened them.
    """
    if any(type(module).__name__ == _FLAT for module in model.modules()):
        raise InvalidArgument(
            "The parameters were flattened by FullyShardedDataParallel. Shard with "
            "torch.distributed.fsdp.fully_shard, which keeps them; or get "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
            "options=StateDictOptions(full_state_dict=True)), load it into a model of the same builder, "
            "and save that model."
        )


def own_name(key: str) -> str:
    """The name of a tensor before parts of the model were compiled."""
    return key.replace(f"{_COMPILED}.", "")


def whole_state(model: nn.Module) -> tuple[dict[str, Any], bool]:
    """The state dict of a model, with the names before parts of it were compiled; and whether this process writes: the
    first of the processes that have the model or its shards.

    Sharded tensors are gathered one by one by all processes, and kept by the one that writes.
    """
    inner = unwrapped(model)
    state = {own_name(key): value for key, value in inner.state_dict().items()}
    sharded = {key: value for key, value in state.items() if hasattr(value, "full_tensor")}
    writes = _is_first(model, sharded)
    for key, value in sharded.items():
        whole = value.full_tensor()
        state[key] = whole.cpu() if writes else value
    return state, writes


def _is_first(model: nn.Module, sharded: Mapping[str, Any]) -> bool:
    from torch import distributed

    for value in sharded.values():
        return bool(distributed.get_rank() == int(value.device_mesh.mesh.flatten()[0]))
    for layer in layers(model):
        if type(layer).__name__ == "DistributedDataParallel":
            return distributed.get_rank(layer.process_group) == 0  # type: ignore[arg-type]
    return True
