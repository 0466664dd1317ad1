"""From a file to a state dict to a model, and the report of what was loaded.

Pickles are read with ``weights_only=True`` without exception. What can be memory-mapped is: its tensors are views of
the file, read when they are first used and private to the process when they are written to.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import cache
from zoo.errors import CheckpointError

StateDict = dict[str, Any]
Convert = Callable[[StateDict, nn.Module], StateDict]
MAX_NAMED = 8  # keys that an error message lists before it says how many more there are


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's tensors. Every field holds names of the model's, ``ignored`` of the file's.

    Attributes:
        source: URL or path of the file.
        loaded: tensors that the model took from the file.
        converted: those among them whose name, shape or dtype in the file was another.
        reinitialised: tensors of the head that were initialised anew, because ``num_classes`` differs.
        ignored: tensors of the file that the model has no use for.
        memory_mapped: whether the file is read as its tensors are used.
    """

    source: str
    loaded: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    reinitialised: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    memory_mapped: bool = False

    def __str__(self) -> str:
        how = "memory-mapped" if self.memory_mapped else "read whole"
        lines = [f"{len(self.loaded)} tensors loaded from {self.source} ({how})"]
        for title in ("converted", "reinitialised", "ignored"):
            if names := getattr(self, title):
                lines.append(f"{len(names)} {title}: {_listed(names)}")
        return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def read(source: str | Path, *, progress: bool = True) -> StateDict:
    """The state dict in a file, fetched if need be: name → tensor, on the CPU.

    Raises:
        DownloadError: the file cannot be had.
        CheckpointError: it is no checkpoint, is damaged, or is a pickle that would run code.
    """
    return read_file(cache.fetch(str(source), progress=progress))[0]


def read_file(path: Path) -> tuple[StateDict, bool]:
    """The state dict in a local file, and whether it is memory-mapped. The content decides the format, not the name."""
    with path.open("rb") as f:
        start = f.read(16)
    zipped = start.startswith(b"PK\x03\x04")
    try:
        if start[8:9] == b"{":  # safetensors: eight bytes of length, then a JSON header
            from safetensors.torch import load_file

            return dict(load_file(path)), True
        with warnings.catch_warnings():  # int8 files hold quantized tensors, of which torch says that they will go
            warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor, torch\.quantize_per_channel and")
            warnings.filterwarnings("ignore", message="TypedStorage is deprecated")  # which torch itself uses for them
            content = torch.load(path, map_location="cpu", mmap=zipped, weights_only=True)
    except pickle.UnpicklingError as e:
        if zipped or start.startswith(b"\x80"):
            raise CheckpointError(
                f"{path} is a pickle that holds more than tensors and would run code when loaded; it is refused. Save "
                f"its state_dict() alone, or convert it to safetensors where you trust it. ({_first_line(e)})"
            ) from e
        raise _no_checkpoint(path, start) from e
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as e:
        if not start.startswith((b"\x80", b"PK")):
            raise _no_checkpoint(path, start) from e
        raise CheckpointError(f"{path} cannot be read; it is damaged or cut short ({_first_line(e)}).") from e
    except Exception as e:
        if type(e).__name__ != "SafetensorError":
            raise
        raise CheckpointError(f"{path} cannot be read as safetensors; it is damaged or cut short ({e}).") from e
    return _unwrap(content, path), zipped


def _first_line(e: BaseException) -> str:
    return (str(e).strip() or type(e).__name__).splitlines()[0]


def _no_checkpoint(path: Path, start: bytes) -> CheckpointError:
    return CheckpointError(
        f"{path} is no checkpoint: it begins with {start!r}. Expected what torch.save(model.state_dict()) or "
        "safetensors writes."
    )


def _unwrap(content: Any, path: Path) -> StateDict:
    """Training scripts save ``{"model": state_dict, "optimizer": …, "epoch": …}``: what is wanted is inside."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; expected a state dict, name → tensor.")
    return dict(content)


# ── into a model ─────────────────────────────────────────────────────────────────────────────────────────────────


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
        lines.append(f"  {len(missing)} keys missing from the file: {_listed(missing)}")
    if extra:
        lines.append(f"  {len(extra)} keys in the file that the model does not have: {_listed(extra)}")
    if misshapen:
        shapes = [f"{k} {list(state[k].shape)}, model {list(own[k].shape)}" for k in misshapen]
        lines.append(f"  {len(misshapen)} keys of another shape in the file: {_listed(shapes)}")
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
