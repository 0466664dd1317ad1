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
    """The result of :func:`convert`.

    Attributes:
        path: path of the written file.
        source: the source; a URL without its secrets.
        form: form of the source: ``"packed"`` (torch's quantized tensors) or ``"observed"`` (quantization-aware
            training).
        layers: number of layers with int8 weights.
        tensors: number of tensors in the file.
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
    """Convert an int8 file with torch's quantized tensors, which torch will remove, to plain tensors in safetensors.

    A layer at ``P`` has ``P.weight`` int8, ``P.weight_scale``, ``P.weight_zero_point`` and ``P.bias``; modules with a
    quantized output have ``P.scale`` and ``P.zero_point``. Builders load such a file with ``quantize=True`` and
    ``"reference"``, and the results equal the source's.

    Args:
        source: a path or URL; or an entry's name (``"ResNet18_QuantizedWeights.DEFAULT"``), or a model's
            (``"quantized_resnet18"``), whose int8 weights are downloaded.
        output: path of the file, with the suffix ``.safetensors``.
        model: the model's name, needed for files of quantization-aware training, which are loaded into it first.
        overwrite: whether to replace an existing file.

    Raises:
        InvalidArgument: the suffix is another, the file is float or already plain, or ``model`` is needed but missing.
        CheckpointError: the file is damaged, or belongs to another model.
        FileExistsError: the file exists and ``overwrite`` is False.

    >>> zoo_quantized.convert("quantized_resnet18", "resnet18_int8.safetensors")
    >>> zoo.get_model("quantized_resnet18", weights="resnet18_int8.safetensors", quantize=True)
    """
    path = Path(output)
    if path.suffix != ".safetensors":
        raise InvalidArgument(f"{path.name}: expected a file name that ends in .safetensors.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} already exists; pass overwrite=True (--force) to replace it.")
    if not path.parent.is_dir():
        raise InvalidArgument(f"The folder {path.parent} for {path.name} does not exist.")
    url, named = _find(os.fspath(source))
    model = model or named
    state = read_checkpoint(url)
    form = states.form(state)
    if form in ("float", "plain"):
        what = (
            "contains a float model; zoo quantize converts it to int8"
            if form == "float"
            else "already has plain tensors"
        )
        raise InvalidArgument(f"{redacted(url)} {what}.")
    if model is not None:
        # A reference model contains plain tensors; loading also checks the file.
        built = zoo.get_model(model, weights=url, quantize="reference", **_arguments(url, model))
        plain = dict(built.state_dict())
    elif form == "observed":
        raise InvalidArgument(
            f"{redacted(url)} is from quantization-aware training, and its batch norms must be folded: name the model, "
            "as in model='quantized_mobilenet_v3_large' (--model)."
        )
    else:
        plain = states.unpack(state)
    tensors = {name: t.detach().contiguous().clone() for name, t in plain.items() if isinstance(t, Tensor)}
    layers = sum(t.dtype == torch.int8 for t in tensors.values())
    if not layers:
        raise CheckpointError(f"{redacted(url)} contains no int8 layer.")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, part, {"format": "pt", "source": redacted(url)})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Conversion(path, redacted(url), form, layers, len(tensors))


def _find(source: str) -> tuple[str, str | None]:
    """The file's URL or path, and its model, if known."""
    if "/" in source or Path(source).exists():
        return source, None
    if "." in source:
        entry = zoo.get_weight(source)
        found = [name for name in zoo.list_models(plugin="quantized") if type(entry) is zoo.get_model_weights(name)]
        return entry.value.url, found[0] if found else None
    try:
        info = registry.model_info(source)
    except UnknownModel as e:
        raise InvalidArgument(f"{source!r} is not a file, a model or an entry of weights. {e}") from e
    default = info.weights.get("DEFAULT")
    if default is None or "quantize" not in default.config:
        raise InvalidArgument(f"{source} has no int8 weights; expected one of zoo.list_models(plugin='quantized').")
    return default.url, info.name


def _arguments(url: str, model: str) -> dict[str, Any]:
    """The builder arguments for a published file."""
    for entry in zoo.get_model_weights(model):
        if entry.value.url == url:
            return {key: value for key, value in entry.value.config.items() if key != "quantize"}
    return {}
