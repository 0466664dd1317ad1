"""What parallel training, ``torch.compile`` and averaging put around a model, and what they make of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from zoo.errors import InvalidArgument

_WRAPPERS = ("DataParallel", "DistributedDataParallel", "AveragedModel")
_FLAT = "FullyShardedDataParallel"  # the first FSDP, whose parameters are flat pieces of many
_COMPILED = "_orig_mod"


def layers(model: nn.Module) -> list[nn.Module]:
    """The model with all that is around it, from the outermost to the one that a builder made."""
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
    """Raise an error if the parameters are no longer the model's own.

    Raises:
        InvalidArgument: ``FullyShardedDataParallel`` has made other parameters of them.
    """
    if any(type(module).__name__ == _FLAT for module in model.modules()):
        raise InvalidArgument(
            "The parameters are those of FullyShardedDataParallel, flat pieces of many. Shard by "
            "torch.distributed.fsdp.fully_shard, which keeps them; or take "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
            "options=StateDictOptions(full_state_dict=True)), load it into a model of the same builder, and save that."
        )


def own_name(key: str) -> str:
    """The name of a tensor as it was before parts of the model were compiled."""
    return key.replace(f"{_COMPILED}.", "")


def whole_state(model: nn.Module) -> tuple[dict[str, Any], bool]:
    """The state dict of a model, under the names that it had before parts of it were compiled; and whether this process
    is the one that writes: of processes that have the same model, or a part of it each, the first.

    Tensors that are sharded are gathered one by one, all processes together, and kept by the one that writes.
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
