"""Published int8 files as plain tensors: :func:`convert`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import zoo
from zoo import registry
from zoo.errors import CheckpointError, InvalidArgument, UnknownModel
from zoo.files import redacted
from zoo.loading import read_checkpoint
from zoo_quantized import states


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` wrote.

    Attributes:
        path: of the file.
        source: of what; a URL without its secrets.
        form: of the source: ``"packed"`` (torch's quantized tensors) or ``"observed"`` (of training for int8).
        layers: that have weights in int8.
        tensors: in the file.
    """

    path: Path
    source: str
    form: str
    layers: int
    tensors: int


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    model: str | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Write an int8 file in torch's quantized tensors, which torch will drop, as plain tensors in safetensors.

    For a layer at ``P`` there are ``P.weight`` int8, ``P.weight_scale``, ``P.weight_zero_point``, ``P.bias``, and for
    whatever has a quantized output ``P.scale`` and ``P.zero_point``. Builders load such a file with ``quantize=True``
    and ``"reference"``, and give the numbers that the source gives.

    Args:
        source: a path or URL; or an entry's name (``"ResNet18_QuantizedWeights.DEFAULT"``), or a model's
            (``"quantized_resnet18"``), whose int8 weights are fetched.
        output: the file, which ends in ``.safetensors``.
        model: the model's name, needed for files of training for int8; then the file is loaded into it first.
        overwrite: a file that is there may be replaced.

    Raises:
        InvalidArgument: another ending, a float or plain file, or a model that is needed and not named.
        CheckpointError: the file is damaged, or is of another model.
        FileExistsError: there is such a file.

    >>> zoo_quantized.convert("quantized_resnet18", "resnet18_int8.safetensors")
    >>> zoo.get_model("quantized_resnet18", weights="resnet18_int8.safetensors", quantize=True)
    """
    path = Path(output)
    if path.suffix != ".safetensors":
        raise InvalidArgument(f"{path.name}: the file is one of safetensors; end it so.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; it is not written over unless overwrite=True, or --force.")
    if not path.parent.is_dir():
        raise InvalidArgument(f"There is no folder {path.parent} to write {path.name} to.")
    url, named = _find(os.fspath(source))
    model = model or named
    state = read_checkpoint(url)
    form = states.form(state)
    if form in ("float", "plain"):
        what = (
            "holds a float model; zoo quantize makes one of int8" if form == "float" else "is of plain tensors already"
        )
        raise InvalidArgument(f"{redacted(url)} {what}.")
    if model is not None:
        # A reference model holds plain tensors, and that it can be loaded is told on the way.
        built = zoo.get_model(model, weights=url, quantize="reference", **_arguments(url, model))
        plain = dict(built.state_dict())
    elif form == "observed":
        raise InvalidArgument(
            f"{redacted(url)} is of a model in training for int8, whose batch norms are to be folded: name the model, "
            "as in model='quantized_mobilenet_v3_large' (--model)."
        )
    else:
        plain = states.unpack(state)
    tensors = {name: t.detach().contiguous().clone() for name, t in plain.items() if isinstance(t, Tensor)}
    layers = sum(t.dtype == torch.int8 for t in tensors.values())
    if not layers:
        raise CheckpointError(f"{redacted(url)} holds no layer in int8.")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, part, {"format": "pt", "source": redacted(url)})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Conversion(path, redacted(url), form, layers, len(tensors))


def _find(source: str) -> tuple[str, str | None]:
    """The file's URL or path, and the model that it is of, where that is known."""
    if "/" in source or Path(source).exists():
        return source, None
    if "." in source:
        entry = zoo.get_weight(source)
        found = [name for name in zoo.list_models(plugin="quantized") if type(entry) is zoo.get_model_weights(name)]
        return entry.value.url, found[0] if found else None
    try:
        info = registry.model_info(source)
    except UnknownModel as e:
        raise InvalidArgument(f"{source!r} is no file, no model and no entry of weights. {e}") from e
    default = info.weights.get("DEFAULT")
    if default is None or "quantize" not in default.config:
        raise InvalidArgument(f"{source} has no int8 weights; expected one of zoo.list_models(plugin='quantized').")
    return default.url, info.name


def _arguments(url: str, model: str) -> dict[str, Any]:
    """What the builder must be given for a published file."""
    for entry in zoo.get_model_weights(model):
        if entry.value.url == url:
            return {key: value for key, value in entry.value.config.items() if key != "quantize"}
    return {}
