"""Checks that a builder, called with the arguments to be saved, makes this model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.loading.builders import builder_of
from zoo.loading.built_with import BuiltWith
from zoo.loading.reports import listed
from zoo.loading.without_memory import filled_by_file, rebuilding
from zoo.loading.wrappers import own_name

STEM = "in_channels"


def fitted(model: nn.Module, state: Mapping[str, Any], arguments: dict[str, Any], made: BuiltWith) -> dict[str, Any]:
    """The current arguments of the head and the first convolution, which may have been replaced since they were built.

    Raises:
        CheckpointError: no arguments make the builder build this model.
    """
    own = builder_of(model)

    def build(given: Mapping[str, Any]) -> tuple[nn.Module, dict[str, tuple[int, ...]]]:
        """The builder's model, and the tensors that have another shape in it."""
        with rebuilding(made.filled), filled_by_file(on_meta=bool(own.on_meta(given))):
            built = own.function(**given)
        theirs = built.state_dict()
        return built, {
            key: tuple(value.shape)
            for key, value in theirs.items()
            if isinstance(value, Tensor) and isinstance(state.get(key), Tensor) and value.shape != state[key].shape
        }

    built, shapes = build(arguments)
    changed: dict[str, Any] = {}
    if shapes and built.state_dict().keys() == state.keys():
        depends = {**own.head, **({own.stem: STEM} if own.stem else {})}
        for key in sorted(shapes):
            argument = next((a for path, a in depends.items() if key.startswith(f"{path}.")), None)
            if argument is not None and argument not in changed:
                with rebuilding(made.filled):
                    size = own.size_told(argument, key, tuple(state[key].shape), arguments)
                if size is not None:
                    changed[argument] = size
        if changed:
            built, shapes = build({**arguments, **changed})
    theirs = built.state_dict()
    found = {
        "missing in it": sorted(theirs.keys() - state.keys()),
        "not in the builder's model": sorted(state.keys() - theirs.keys()),
        "of another shape": [f"{key} {list(state[key].shape)}, built {list(shapes[key])}" for key in sorted(shapes)],
    }
    if not any(found.values()):
        found["of another kind"] = _other_kinds(model, built)
    if any(found.values()):
        what = "; ".join(f"{kind}: {listed(names)}" for kind, names in found.items() if names)
        raise CheckpointError(
            f"{own.name} with {arguments} builds another model than this one, so it could not be loaded from the "
            f"file ({what}). Save its state_dict(), or build it with its current arguments."
        )
    return changed


def _other_kinds(model: nn.Module, built: nn.Module) -> list[str]:
    """Modules without tensors, such as activations, that were replaced: the tensors of a file would not show it."""
    ours = {own_name(f"{name}.").rstrip("."): module for name, module in model.named_modules()}
    return [
        f"{name} {type(ours[name]).__name__}, built {type(module).__name__}"
        for name, module in built.named_modules()
        if name in ours
        and not module._parameters
        and not module._buffers
        and not issubclass(type(ours[name]), type(module))
    ]
