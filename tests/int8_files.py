"""Files like the published int8 ones: the same names, shapes, dtypes and schemes, with numbers made up."""

from __future__ import annotations

import contextlib
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from helpers import read_reference, reference_layout
from torch import Tensor

import zoo
from zoo_quantized import eager

DTYPES = {"float32": torch.float32, "int64": torch.int64, "int32": torch.int32, "uint8": torch.uint8}
ENTRIES = read_reference("int8_files")


def content(entry: str, seed: int = 0) -> dict[str, Any]:
    """What a published file holds, by :data:`ENTRIES`'s list of it; activations stay within 7 bits, as FBGEMM's do."""
    rows = ENTRIES[entry]["file"]
    layout = {name: shape for name, shape, _ in reference_layout(ENTRIES[entry]["model"])}
    scheme = next((row[3] for row in rows if row[3]), None)
    generator = torch.Generator().manual_seed(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor, torch")
        return OrderedDict((row[0], _value(row, layout, scheme, generator)) for row in rows)


def _value(row: list[Any], layout: dict[str, Any], scheme: str | None, generator: torch.Generator) -> Any:
    name, shape, dtype, own_scheme = row
    path, _, leaf = name.rpartition(".")
    if dtype == "qint8":
        return _weight(shape, own_scheme, generator)
    if dtype == "dtype":
        return torch.qint8
    if dtype == "tuple":
        path = path.removesuffix("._packed_params")
        bias = torch.randn(layout[f"{path}.bias"], generator=generator) * 0.1
        return _weight(layout[f"{path}.weight"], scheme, generator), bias
    if leaf == "zero_point":
        return torch.full(shape, 40, dtype=DTYPES[dtype])
    constants = {"scale": 0.04, "eps": 1e-7, "min_val": -1.5, "max_val": 2.0}
    if leaf in constants:
        return torch.full(shape, constants[leaf])
    if dtype != "float32":
        return torch.ones(shape, dtype=DTYPES[dtype])
    values = torch.randn(shape, generator=generator)
    if leaf == "running_var" or (leaf == "weight" and len(shape) == 1):
        return values.abs() + 0.5
    return values * (values[0].numel() ** -0.5 if len(shape) > 1 else 0.1)


def _weight(shape: Any, scheme: str | None, generator: torch.Generator) -> Tensor:
    integers = torch.randint(-127, 128, tuple(shape), generator=generator, dtype=torch.int8)
    scale = 0.015 * integers[0].numel() ** -0.5
    if scheme == "per_tensor_affine":
        return torch._make_per_tensor_quantized_tensor(integers, scale, 0)
    scales = (torch.rand(shape[0], generator=generator, dtype=torch.float64) + 0.5) * scale
    return torch._make_per_channel_quantized_tensor(integers, scales, torch.zeros(shape[0], dtype=torch.int64), 0)


def write(entry: str, folder: Path) -> Path:
    path = folder / "int8.pth"
    torch.save(content(entry), path)
    return path


@contextlib.contextmanager
def prepared_for_training() -> Iterator[Any]:
    """A MobileNetV3 as torch.ao prepares it for quantization-aware training, which is the state of its file."""
    model = zoo.get_model("quantized_mobilenet_v3_large").train()
    with warnings.catch_warnings(), eager.using("qnnpack"):
        warnings.simplefilter("ignore")
        model.fuse_model()
        model.qconfig = torch.ao.quantization.get_default_qat_qconfig("qnnpack")
        torch.ao.quantization.prepare_qat(model, inplace=True)
        yield model
