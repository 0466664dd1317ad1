"""Saved models: ``zoo.save`` writes tensors with a description of their model, ``zoo.load`` builds the model again."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract import Preset, Weights, load_object
from zoo.errors import InvalidArgument
from zoo.files import redacted, replacing
from zoo.loading.builders import CLASSES, builder_of
from zoo.loading.built_with import BuiltWith, is_plain
from zoo.loading.fitting import fitted
from zoo.loading.packing import pack
from zoo.loading.reports import built_by, loaded_weights
from zoo.loading.safetensors import name_of
from zoo.loading.without_memory import filled_by_file, initialise_rest, meta_is_asked_for, rebuilding
from zoo.loading.wrappers import check_parameters, own_name, unwrapped, whole_state
from zoo.registry import get_model
from zoo.registry.names import Entry, registry
from zoo.registry.saved import FORMAT, KEY, SUFFIX, facts_of, names_a_file, parse


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    categories: Sequence[str] | None = None,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    license: str | None = None,  # noqa: A002  the field's name
    transforms: Preset | None = None,
    trained_from: str | os.PathLike[str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model to a safetensors file with a description, so that :func:`load` and every command can build it.

    Beside the tensors the file has the model's full name, the arguments of its builder, task, preprocessing,
    categories, and the versions of zoo and the plugin. It is written beside ``path`` and renamed, so it may replace the
    file that the model was loaded from, and an interrupted save keeps the old file.

    A replaced head is saved with its number of classes, a replaced first convolution with its number of input channels.
    Other attributes that were changed, such as thresholds, are not saved: they get the values of the arguments.

    In distributed training, the first process writes. With ``DistributedDataParallel`` the others may call this or not;
    with sharded parameters (``fully_shard``) all must, since the parameters are gathered.

    Args:
        model: one that a builder made, also inside ``DistributedDataParallel``, ``DataParallel``, ``AveragedModel`` or
            ``torch.compile``, or sharded by ``fully_shard``.
        path: of the file, which ends in ``.safetensors``; an existing file is replaced.
        categories: class names in label order, as many as the head has; by default those of the loaded weights, if
            their number fits.
        metrics: data set → metric → value, of this model.
        license: of the weights; by default that of the loaded weights.
        transforms: the preprocessing, zoo's own or one of an installed plugin's; by default that of the loaded weights,
            else of the model's ``DEFAULT`` weights.
        trained_from: the initial weights of the training; by default the URL of the loaded weights.
        extra: further facts, as JSON values.

    Returns:
        The path.

    Raises:
        InvalidArgument: no builder made the model, or a value cannot be saved; it is named, and nothing is written.
        CheckpointError: the model differs from its builder's, so that the file could not be loaded.
    """
    if not isinstance(model, nn.Module):
        raise InvalidArgument(f"save takes a model that a builder made, not a {type(model).__name__}.")
    target = Path(path).expanduser()
    if target.suffix != SUFFIX:
        raise InvalidArgument(f"{target} is not saved: expected a name that ends in {SUFFIX}.")
    if target.is_dir():
        raise InvalidArgument(f"{target} is a folder; expected the name of a file.")
    if not target.absolute().parent.is_dir():
        raise InvalidArgument(f"{target} cannot be written: there is no folder {target.parent}.")
    check_parameters(model)
    outer, model = model, unwrapped(model)
    entry, made = entry_of(model), _built_with(model)
    arguments, unkept = made.plain()
    if unkept:
        raise InvalidArgument(
            f"{entry.full_name} was built with {', '.join(unkept)}, which cannot be saved. Build it without, or "
            "save its state_dict()."
        )
    state, writes = whole_state(outer)
    arguments |= fitted(model, state, arguments, made)
    loaded = loaded_weights(model)
    known = loaded or replace(
        entry.spec.default_weights or Weights(url=""), metrics={}, license="unknown", docs="", extra={}
    )
    facts: dict[str, Any] = {
        "format": FORMAT,
        "model": entry.full_name,
        "task": entry.spec.tasks[0],
        "arguments": arguments,
        "filled": made.filled,
        "dtype": _one_dtype(state),
        "preprocessing": _preset_facts(transforms or known.transforms),
        "categories": _categories(categories, known, arguments, model),
        "weights": facts_of(
            replace(
                known,
                num_params=sum(p.numel() for p in model.parameters()) or known.num_params,
                metrics={data: _numbers(values) for data, values in (metrics or {}).items()},
                license=license or known.license,
                recipe=None,
                docs="",
                extra={**known.extra, **(extra or {})},
            )
        ),
        "versions": _versions(entry),
        "trained_from": str(trained_from) if trained_from else (redacted(loaded.url) if loaded else None),
    }
    facts = {key: value for key, value in facts.items() if value is not None}
    told = {**facts, **facts["weights"]}
    if wrong := [key for key, value in told.items() if key != "weights" and not is_plain(value)]:
        named = ", ".join(wrong)
        raise InvalidArgument(f"{named}: JSON cannot represent this, so nothing is saved. Give numbers, text, lists.")
    facts = json.loads(json.dumps(facts))
    for text in arguments.values():
        if isinstance(text, str) and names_a_file(text):
            raise InvalidArgument(f"{entry.full_name} was built from {text!r}, which must not be in a file.")
    parse(facts, str(target))  # the checks of load
    if not writes:
        return target
    tensors, packed = pack(_once(model, state))
    _write(target, tensors, {KEY: json.dumps(facts), **({f"{KEY}.packed": json.dumps(packed)} if packed else {})})
    return target


def load(
    path: str | os.PathLike[str],
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    **config: Any,
) -> nn.Module:
    """The model in a file that :func:`save` wrote, in train mode, as builders return it.

    Args:
        path: of the file, or its URL; or a folder or repository (``hf://org/name@revision``) that contains one.
        device: device of the model; by default the CPU.
        dtype: of its floating point tensors; by default as in the file.
        **config: arguments of the builder, instead of the file's: ``num_classes`` gives a new head.

    Raises:
        CheckpointError: the file is not a saved model, or is damaged.
        UnknownModel: no installed plugin has this model; the message says what to install.
        DownloadError: it cannot be downloaded or found.
    """
    return get_model(
        Path(path) if isinstance(path, str) and "://" not in path else path, device=device, dtype=dtype, **config
    )


def reset_head(model: nn.Module, num_classes: int) -> nn.Module:
    """Replace the head of a model by one of ``num_classes`` classes, initialised by its builder; everything else is
    unchanged.

    Args:
        model: one that a builder made; it is changed in place.
        num_classes: as the builder takes it: including background for detection and segmentation.

    Returns:
        The model.

    Raises:
        InvalidArgument: no builder made it, its builder declares no head, or ``num_classes`` is below 1.
    """
    inner = unwrapped(model)
    made, own = _built_with(inner), builder_of(inner)
    if type(num_classes) is not int or num_classes < 1:
        raise InvalidArgument(f"num_classes is {num_classes!r}; expected a whole number from 1.")
    paths = tuple(path for path, argument in own.head.items() if argument == CLASSES)
    if not paths:
        raise InvalidArgument(f"{own.name} has no head that depends on num_classes.")
    arguments = {**made.arguments, CLASSES: num_classes}
    with rebuilding(made.filled):
        with filled_by_file(on_meta=bool(own.on_meta(arguments))) as placed:
            fresh = own.function(**arguments)
        if not meta_is_asked_for():
            heads = tuple(f"{path}." for path in paths)
            initialise_rest(own.name, fresh, placed, lambda: own.function(**arguments), heads)
    for path in paths:
        old = _submodule(inner, path)
        if old is None:
            continue
        parent, _, leaf = path.rpartition(".")
        head = fresh.get_submodule(path)
        like = next(old.parameters(), None)
        if like is not None:
            head.to(device=like.device, dtype=like.dtype if like.is_floating_point() else None)
        inner.get_submodule(parent).add_module(leaf, head.train(old.training))
    for name, module in fresh.named_modules():  # detectors' heads have num_classes too
        mine = _submodule(inner, name)
        if mine is not None and CLASSES in vars(module) and CLASSES in vars(mine):
            mine.num_classes = module.num_classes
    inner._built_with = BuiltWith({**made.arguments, CLASSES: num_classes}, made.filled, own)  # type: ignore[assignment]
    weights = loaded_weights(inner)
    if weights is not None:
        config = {**weights.config, CLASSES: num_classes}
        inner._weights = replace(weights, config=config, categories=None, metrics={})  # type: ignore[assignment]
    return model


def rebuilt_as(model: nn.Module, **arguments: Any) -> nn.Module:
    """Record that a model was changed in place to the one that its builder makes with other arguments; :func:`save`
    writes them. A model that no builder made is not changed.

    Args:
        model: the model.
        **arguments: the changed arguments, such as ``quantize=True``.

    Returns:
        The model.
    """
    made = getattr(model, "_built_with", None)
    if isinstance(made, BuiltWith):
        model._built_with = BuiltWith({**made.arguments, **arguments}, made.filled, made.builder)  # type: ignore[assignment]
    return model


def placed_at(
    build: Any, device: str | torch.device | None, dtype: torch.dtype | None, config: Mapping[str, Any]
) -> nn.Module:
    """The model of ``build(**config)``, on a device and with a dtype.

    Raises:
        InvalidArgument: there is no such device, or the dtype is not floating point.
    """
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InvalidArgument(f"dtype is {dtype!r}; expected a floating point dtype, such as torch.bfloat16.")
    try:
        where = torch.device(device) if device is not None else None
        if where is not None:
            torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as e:
        raise InvalidArgument(f"device={str(device)!r} cannot be used here ({str(e).splitlines()[0]}).") from e
    with where if where is not None and where.type == "meta" else contextlib.nullcontext():
        model: nn.Module = build(**config)
    return model if where is None and dtype is None else model.to(device=where, dtype=dtype)


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def entry_of(model: nn.Module) -> Entry:
    """The registry entry of a built model.

    Raises:
        InvalidArgument: no builder made it, or the builder is not registered.
    """
    builder = built_by(model)
    if builder is None:
        raise InvalidArgument(
            f"This {type(model).__name__} was not made by a builder of zoo, so a file cannot describe how to build it. "
            "Put @zoo.register_model() and @zoo.builder() over a function that makes it, and build it with that."
        )
    found = next((e for e in registry().entries.values() if e.spec.builder == builder), None)
    if found is None:
        raise InvalidArgument(
            f"No plugin names the builder {builder}, so a file cannot describe what to install. Put "
            "@zoo.register_model() over it, or add it to its plugin's manifest."
        )
    return found


def _built_with(model: nn.Module) -> BuiltWith:
    made = getattr(model, "_built_with", None)
    if not isinstance(made, BuiltWith):
        raise InvalidArgument(f"This {type(model).__name__} was not made by a builder of zoo of this version.")
    return made


def _categories(
    given: Sequence[str] | None, known: Weights, arguments: Mapping[str, Any], model: nn.Module
) -> list[str] | None:
    if given is not None:
        return check_categories(model, given, arguments.get(CLASSES))
    n, labels = _classes(model, arguments.get(CLASSES)), known.read_categories()
    return labels if labels and (n is None or len(labels) == n) else None


def check_categories(model: nn.Module, categories: Sequence[str], num_classes: int | None = None) -> list[str]:
    """Names of a model's classes, as a list, checked against the model's number of classes if it is known.

    Args:
        model: a model that a builder made.
        categories: the names, in label order.
        num_classes: required number of names; by default the number that the model was built with.

    Raises:
        InvalidArgument: they are not names, or their number is another.
    """
    labels = [categories] if isinstance(categories, str) else list(categories)
    if isinstance(categories, str) or not all(isinstance(label, str) for label in labels):
        raise InvalidArgument(f"categories are {categories!r}; expected a list of names.")
    made = getattr(unwrapped(model), "_built_with", None)
    n = _classes(model, made.arguments.get(CLASSES) if num_classes is None and made else num_classes)
    if n is not None and len(labels) != n:
        background = " The first one is the background." if len(labels) == n - 1 else ""
        raise InvalidArgument(f"{len(labels)} categories for a model of {n} classes.{background}")
    return list(map(str, labels))  # numpy's strings are not plain ones


def _classes(model: nn.Module, told: Any) -> int | None:
    n = getattr(model, CLASSES, None) if told is None else told
    return n if isinstance(n, int) else None


def _numbers(values: Any) -> Any:
    """Metrics as plain numbers, if they are numbers of numpy or torch."""
    if not isinstance(values, Mapping):
        return values  # reported by the caller
    return {name: v.item() if getattr(v, "ndim", None) == 0 else v for name, v in values.items()}


def _preset_facts(preset: Preset | None) -> dict[str, Any] | None:
    if preset is not None and not isinstance(preset, Preset):
        raise InvalidArgument(f"transforms is a {type(preset).__name__}; expected a zoo.Preset.")
    return None if preset is None else {"target": preset.target, "arguments": dict(preset.arguments)}


def _versions(entry: Entry) -> dict[str, str]:
    own = {entry.plugin.distribution: entry.plugin.version or ""} if entry.plugin.distribution else {}
    return {"zoo-core": load_object("zoo:__version__"), **own}


def _one_dtype(state: Mapping[str, Any]) -> str | None:
    """The dtype of all floating point tensors, if it is the same for all and not float32."""
    kinds = {t.dtype for t in state.values() if isinstance(t, Tensor) and t.is_floating_point()}
    one = kinds.pop() if len(kinds) == 1 else torch.float32
    return None if one == torch.float32 else str(one).removeprefix("torch.")


def _once(model: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict in which tensors that the model ties are only under their first name."""
    seen: dict[int, str] = {}
    firsts = {
        name
        for name, t in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        if seen.setdefault(id(t), name) == name
    }
    tied = {own_name(name) for name, _ in model.named_parameters(remove_duplicate=False) if name not in firsts}
    return {name: value for name, value in state.items() if name not in tied}


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # so that each is aligned
    offset = 0
    for name in names:
        t = tensors[name]
        end = offset + t.numel() * t.dtype.itemsize
        header[name] = {"dtype": name_of(t.dtype), "shape": list(t.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            t = tensors[name].detach().to("cpu").contiguous()
            if t.numel():
                f.write((ctypes.c_char * (t.numel() * t.dtype.itemsize)).from_address(t.data_ptr()))


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    with contextlib.suppress(AttributeError):
        return model.get_submodule(path)
    return None
