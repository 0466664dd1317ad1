"""From a state dict to a model: keys converted, shapes checked, tensors assigned."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.loading.checkpoints import StateDict
from zoo.loading.reports import LoadReport, listed

Convert = Callable[[StateDict, nn.Module], StateDict]


def adapt_stem(weight: Tensor, in_channels: int) -> Tensor:
    """Weights of a first convolution for RGB, made to fit another number of input channels.

    The rule: one channel gets the sum over RGB, so that a grey picture gives what its RGB copy gave. More channels
    repeat R, G, B, R, … and are scaled by 3 / ``in_channels``, so that activations keep their size.

    Args:
        weight: [out, 3, …].

    Returns:
        [out, in_channels, …].
    """
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    channels = [c % weight.shape[1] for c in range(in_channels)]
    return weight[:, channels] * (weight.shape[1] / in_channels)


def load(
    model: nn.Module,
    state: StateDict,
    *,
    source: str = "a state dict",
    head: Iterable[str] | Mapping[str, str] = (),
    new_head: bool | Collection[str] = False,
    stem: str | None = None,
    convert: Convert | None = None,
    ignore: Iterable[str] = (),
    memory_mapped: bool = False,
) -> LoadReport:
    """Assign the tensors of ``state`` to ``model``, which may be on the meta device.

    Args:
        head: paths of the modules that depend on ``num_classes``; or path → the argument that it depends on.
        new_head: leave the head's tensors as they are where the file's do not fit; or of which arguments.
        stem: path of the first convolution, adapted by :func:`adapt_stem` where only its input channels differ.
        convert: turns old key layouts into the present one.
        ignore: beginnings of keys that the file may have and the model not.

    Raises:
        CheckpointError: keys are missing, left over or misshapen; all are named, and the model is as it was.
    """
    given = state
    if convert is not None:
        state = convert(dict(state), model)
    own = model.state_dict()
    converted = {key for key, value in state.items() if value is not given.get(key)}
    ignored = sorted(
        k for k in set(state) - set(own) if k.startswith(tuple(ignore)) or k.endswith("num_batches_tracked")
    )

    stem_key = f"{stem}.weight"
    if stem and stem_key in state and stem_key in own:
        old, new = state[stem_key], own[stem_key]
        if old.shape[1] == 3 != new.shape[1] and old.shape[0] == new.shape[0] and old.shape[2:] == new.shape[2:]:
            state = {**state, stem_key: adapt_stem(old, new.shape[1])}
            converted.add(stem_key)

    arguments = head if isinstance(head, Mapping) else dict.fromkeys(head, "num_classes")
    reinitialised: list[str] = []
    for path, argument in arguments.items():
        if not new_head or (new_head is not True and argument not in new_head):
            continue
        ours = [k for k in own if k.startswith(f"{path}.")]
        if any(k not in state or _shape(state[k]) != _shape(own[k]) for k in ours) or not ours:
            reinitialised += ours
            ignored += [k for k in state if k.startswith(f"{path}.")]

    state = {k: v for k, v in state.items() if k not in set(ignored)}
    _check(state, own, set(reinitialised), arguments, source, model)
    for key, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != own[key].dtype:
            state[key] = value.to(own[key].dtype)
            converted.add(key)
    model.load_state_dict(state, strict=False, assign=True)
    return LoadReport(
        source=source,
        loaded=tuple(k for k in own if k in state),
        converted=tuple(k for k in own if k in converted),
        reinitialised=tuple(reinitialised),
        ignored=tuple(dict.fromkeys(ignored)),
        memory_mapped=memory_mapped,
    )


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _check(
    state: StateDict, own: StateDict, allowed: set[str], head: Mapping[str, str], source: str, model: nn.Module
) -> None:
    # num_batches_tracked is younger than the oldest files; it then keeps its default.
    missing = [k for k in own if k not in state and k not in allowed and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in own]
    misshapen = [k for k in own if k in state and _shape(state[k]) != _shape(own[k])]
    if not (missing or extra or misshapen):
        return
    lines = [f"{source} does not fit the model:"]
    if missing:
        lines.append(f"  {len(missing)} keys missing from the file: {listed(missing)}")
    if extra:
        lines.append(f"  {len(extra)} keys in the file that the model does not have: {listed(extra)}")
    if misshapen:
        shapes = [f"{k} {list(state[k].shape)}, model {list(own[k].shape)}" for k in misshapen]
        lines.append(f"  {len(misshapen)} keys of another shape in the file: {listed(shapes)}")
    in_head = {k: argument for k in misshapen for path, argument in head.items() if k.startswith(f"{path}.")}
    if in_head and len(in_head) == len(misshapen) and not (missing or extra):
        sizes = {
            argument: _told_size(state[k], own[k], getattr(model, argument, None)) for k, argument in in_head.items()
        }
        told = " and ".join(f"{argument}={size}" for argument, size in sizes.items())
        lines.append(f"Pass {told} to keep the file's head, or the number that you want for a new one.")
    elif len(missing) + len(extra) > len(own) // 2:
        lines.append("These look like another model's weights.")
    raise CheckpointError("\n".join(lines))


def _told_size(theirs: Tensor, ours: Tensor, built: Any) -> int:
    """The number that a head of a file was made for: the first size in which it differs from a model's head.

    That is a multiple of the number, where there is a score for every anchor. ``built`` is the number that the model
    has, if it says so.
    """
    differing = [(a, b) for a, b in zip(theirs.shape, ours.shape, strict=False) if a != b]
    size, own = differing[0] if differing else (theirs.shape[0], ours.shape[0])
    return size * built // own if isinstance(built, int) and built and own % built == 0 else size
