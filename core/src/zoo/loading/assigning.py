"""Loads a state dict into a model: converts keys, checks shapes, assigns tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.loading.checkpoints import StateDict
from zoo.loading.reports import LoadReport, listed

Convert = Callable[[StateDict, nn.Module], StateDict]
# Parallel training, torch.compile and Lightning add these prefixes to every name.
_PREFIX = re.compile(r"(?:(?:module|_orig_mod|model)\.)+")
_INTEGERS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64}


class HeadMismatch(CheckpointError):
    """A file that fits a model except for its head. ``heads``: argument → a tensor's name and its shape in the file."""

    heads: Mapping[str, tuple[str, tuple[int, ...]]] = {}


def adapt_stem(weight: Tensor, in_channels: int) -> Tensor:
    """Weights of a first convolution for RGB, adapted to another number of input channels.

    The rule: one channel gets the sum over RGB, so that a grey picture gives the same outputs as its RGB copy. More
    channels repeat R, G, B, R, … and are scaled by 3 / ``in_channels``, so that activations keep their size.

    Args:
        weight: [out, 3, …].

    Returns:
        [out, in_channels, …].
    """
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    channels = [c % weight.shape[1] for c in range(in_channels)]
    return weight[:, channels] * (weight.shape[1] / in_channels)


def without_prefix(state: StateDict, own: Collection[str] = ()) -> tuple[StateDict, str]:
    """A state dict without the prefix of a wrapper, and the prefix. Keys without the prefix are left out.

    Args:
        own: the model's names. The prefix with which most of them are in ``state`` is used; without names, or if none
            fits, one that most keys of ``state`` have.
    """
    longest = {m[0] for key in state if (m := _PREFIX.match(key))}
    prefixes = sorted({prefix[: m.end()] for prefix in longest for m in re.finditer(r"\.", prefix)}, key=len)
    if not prefixes:
        return state, ""
    found = {prefix: sum(prefix + name in state for name in own) for prefix in ["", *prefixes]}
    best = max(found, key=lambda prefix: found[prefix])
    if not found[best]:
        common = [prefix for prefix in prefixes if sum(key.startswith(prefix) for key in state) > len(state) / 2]
        best = common[-1] if common else ""
    return {key.removeprefix(best): value for key, value in state.items() if key.startswith(best)}, best


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
    taken: str = "",
    keep_dtype: bool = False,
) -> LoadReport:
    """Assign the tensors of ``state`` to ``model``, which may be on the meta device.

    Tensors that share storage in the file get separate memory, except those that the model itself ties.

    Args:
        head: paths of the modules that depend on ``num_classes``; or path → the argument that it depends on.
        new_head: keep the head's tensors if the file's do not fit; or the arguments for whose heads to do so.
        stem: path of the first convolution, adapted by :func:`adapt_stem` if only its input channels differ.
        convert: converts old key layouts to the current one.
        ignore: prefixes of keys that the file may have although the model does not.
        memory_mapped: for the report, as is ``taken``.
        keep_dtype: floating point tensors keep the file's dtype instead of the model's.

    Raises:
        CheckpointError: keys are missing or unexpected, or have another shape or type; all are named, and the model is
            unchanged.
    """
    own = model.state_dict()
    given, prefix = without_prefix(state, own)
    ignored = [key for key in state if prefix and not key.startswith(prefix)]
    state = given
    if convert is not None:
        try:
            state = convert(dict(state), model)
        except CheckpointError:
            raise
        except Exception as e:
            why = f"{type(e).__name__}: {e}"
            raise CheckpointError(f"{source} does not fit the model: its keys could not be converted ({why}).") from e
        own = model.state_dict()  # an old layout may have changed the model too
    converted = {key for key, value in state.items() if value is not given.get(key)}
    ignored += sorted(
        k for k in set(state) - set(own) if k.startswith(tuple(ignore)) or k.endswith("num_batches_tracked")
    )

    stem_key = f"{stem}.weight"
    old, new = _shape(state.get(stem_key)), _shape(own.get(stem_key))
    fits = old and new and len(old) == len(new) > 1 and (old[0], old[2:]) == (new[0], new[2:])
    if old and new and fits and old[1] == 3 != new[1] and not _fault(state[stem_key], own[stem_key]):
        state = {**state, stem_key: adapt_stem(state[stem_key], new[1])}
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
    ties = _ties(model)
    for k in own.keys() & ties.keys() - state.keys():  # a file may have only one of several tied tensors
        if twin := next((other for other in ties[k] if other in state), None):
            state[k] = state[twin]
    _check(state, own, set(reinitialised), arguments, source, model)
    shared = _overlapping(state)
    for key, value in state.items():
        if isinstance(value, Tensor):
            kept = keep_dtype and value.dtype.is_floating_point
            fitted = value.detach().to(value.dtype if kept else own[key].dtype)  # a Parameter would replace a buffer
            if value.dtype != fitted.dtype:
                converted.add(key)
            elif key in shared or _repeats(value):
                fitted = fitted.clone()
            state[key] = fitted
    for names in ties.values():
        _tie([name for name in names if name in state], state, model, source)
    model.load_state_dict(state, strict=False, assign=True)
    left_off = f"names without {prefix!r}" if prefix else ""
    return LoadReport(
        source=source,
        loaded=tuple(k for k in own if k in state),
        converted=tuple(k for k in own if k in converted),
        reinitialised=tuple(reinitialised),
        ignored=tuple(dict.fromkeys(ignored)),
        memory_mapped=memory_mapped,
        taken="; ".join(filter(None, [taken, left_off])),
    )


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) and not value.is_nested else None


def _ties(model: nn.Module) -> dict[str, list[str]]:
    """Name → all names of the same parameter or buffer, for those that have several."""
    names: dict[int, list[str]] = {}
    for name, t in chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)):
        names.setdefault(id(t), []).append(name)
    return {name: group for group in names.values() if len(group) > 1 for name in group}


def _tie(names: list[str], state: StateDict, model: nn.Module, source: str) -> None:
    """Put one parameter under all of these names."""
    if len(names) < 2 or state[names[0]] is state[names[1]]:
        return
    first = state[names[0]]
    if different := [name for name in names[1:] if not torch.equal(first, state[name])]:
        raise CheckpointError(
            f"{source} does not fit the model, in which {names[0]} and {different[0]} are the same "
            "tensor: they differ in the file."
        )
    parameter = dict(model.named_parameters(remove_duplicate=False)).get(names[0])
    one = first if parameter is None else nn.Parameter(first, requires_grad=parameter.requires_grad)
    state.update(dict.fromkeys(names, one))


def _overlapping(state: StateDict) -> set[str]:
    """Names of tensors whose memory overlaps with that of others."""
    spans = []
    for name, t in state.items():
        if isinstance(t, Tensor) and t.layout == torch.strided and not t.is_meta and t.numel():
            last = sum((size - 1) * stride for size, stride in zip(t.shape, t.stride(), strict=True))
            spans.append((t.data_ptr(), t.data_ptr() + (last + 1) * t.element_size(), name))
    found: set[str] = set()
    end, latest = 0, ""
    for start, stop, name in sorted(spans):
        if start < end:
            found |= {latest, name}
        if stop > end:
            end, latest = stop, name
    return found


def _repeats(t: Tensor) -> bool:
    """Whether several elements share a place in memory."""
    reach = 0
    for stride, size in sorted(zip(t.stride(), t.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += (size - 1) * stride
    return False


def _kind(dtype: torch.dtype) -> str:
    if dtype in _INTEGERS:
        return "integer"
    return "floating" if dtype.is_floating_point else str(dtype)


def _fault(value: Any, own: Any) -> str | None:
    """Why a value of a file cannot replace ``own``, except for its shape."""
    if not isinstance(own, Tensor) or not isinstance(value, Tensor):
        fits = type(value) is type(own) or (isinstance(value, Tensor) and isinstance(own, Tensor))
        return None if fits else f"a {type(value).__name__}, model {type(own).__name__}"
    if value.is_nested or value.layout != own.layout:
        return f"{'nested' if value.is_nested else str(value.layout).removeprefix('torch.')}, model dense"
    if value.is_meta:
        return "without numbers (on the meta device)"
    if _kind(value.dtype) != _kind(own.dtype):
        return f"{str(value.dtype).removeprefix('torch.')}, model {str(own.dtype).removeprefix('torch.')}"
    if (
        value.dtype != own.dtype
        and value.dtype in _INTEGERS
        and not torch.equal(value.to(own.dtype).to(value.dtype), value)
    ):
        return f"{value.dtype} with numbers that {own.dtype} cannot represent"
    return None


def _check(
    state: StateDict, own: StateDict, allowed: set[str], head: Mapping[str, str], source: str, model: nn.Module
) -> None:
    # The oldest files do not have num_batches_tracked, which then keeps its default.
    missing = [k for k in own if k not in state and k not in allowed and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in own]
    faults = {k: fault for k in own if k in state and (fault := _fault(state[k], own[k]))}
    misshapen = [k for k in own if k in state and k not in faults and _shape(state[k]) != _shape(own[k])]
    if not (missing or extra or misshapen or faults):
        return
    lines = [f"{source} does not fit the model:"]
    if missing:
        lines.append(f"  {len(missing)} keys missing from the file: {listed(missing)}")
    if extra:
        lines.append(f"  {len(extra)} keys in the file that the model does not have: {listed(extra)}")
    if misshapen:
        shapes = [f"{k} {list(state[k].shape)}, model {list(own[k].shape)}" for k in misshapen]
        lines.append(f"  {len(misshapen)} keys of another shape in the file: {listed(shapes)}")
    if faults:
        lines.append(f"  {len(faults)} keys of another type: {listed([f'{k} {why}' for k, why in faults.items()])}")
    in_head = {k: argument for k in misshapen for path, argument in head.items() if k.startswith(f"{path}.")}
    if in_head and len(in_head) == len(misshapen) and not (missing or extra or faults):
        sizes = {
            argument: _told_size(state[k], own[k], getattr(model, argument, None)) for k, argument in in_head.items()
        }
        told = " and ".join(f"{argument}={size}" for argument, size in sizes.items())
        lines.append(f"Pass {told} to keep the file's head, or another number for a new one.")
        only_heads = HeadMismatch("\n".join(lines))
        only_heads.heads = {argument: (k, tuple(state[k].shape)) for k, argument in in_head.items()}
        raise only_heads
    if len(missing) + len(extra) > len(own) // 2:
        lines.append("These look like the weights of another model.")
    raise CheckpointError("\n".join(lines))


def _told_size(theirs: Tensor, ours: Tensor, built: Any) -> int:
    """The number of classes of a file's head: the first size in which it differs from a model's head.

    The size is a multiple of the number if there is a score for every anchor. ``built`` is the number of the model, if
    it is known.
    """
    differing = [(a, b) for a, b in zip(theirs.shape, ours.shape, strict=False) if a != b]
    size, own = differing[0] if differing else (theirs.shape[0], ours.shape[0])
    return size * built // own if isinstance(built, int) and built and own % built == 0 else size
