"""The safetensors format: eight bytes that give the length of a JSON header, the header, the tensors' bytes."""

from __future__ import annotations

import ctypes
import math
import mmap
from typing import BinaryIO

import torch
from torch import Tensor

from zoo.errors import InvalidArgument
from zoo.files.safetensors import read_header

_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "C64": "complex64", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_OF_TYPE = {getattr(torch, own): name for name, own in _NAMES.items() if hasattr(torch, own)}


def read_safetensors(f: BinaryIO, *, mapped: bool) -> dict[str, Tensor]:
    """The tensors of an open file: views of it, or read one after the other into separate memory.

    Raises:
        ValueError: the header is damaged, or does not describe the file. KeyError and TypeError mean the same.
    """
    header, _, begin, size = read_header(f)
    end = begin
    whole = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY) if mapped else None
    found: dict[str, Tensor] = {}
    for name, about in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = getattr(torch, _NAMES[about["dtype"]]), about["shape"]
        start, stop = (begin + offset for offset in about["data_offsets"])
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"{name} has the shape {shape}")
        count = math.prod(shape)
        if start != end or stop - start != count * dtype.itemsize or stop > size:
            raise ValueError(f"{name}, {about['dtype']} {shape}, has bytes {about['data_offsets']} of {size - begin}")
        end = stop
        if whole is not None and count and start % dtype.itemsize == 0:
            found[name] = torch.frombuffer(whole, dtype=dtype, count=count, offset=start).reshape(shape)
            continue
        tensor = found[name] = torch.empty(shape, dtype=dtype, device="cpu")
        f.seek(start)
        if count and f.readinto((ctypes.c_char * (stop - start)).from_address(tensor.data_ptr())) != stop - start:  # type: ignore[attr-defined]
            raise ValueError(f"it ends within {name}")
    if end != size:
        raise ValueError(f"{size - end} of its bytes belong to no tensor")
    return {name: found[name] for name in header}


def name_of(dtype: torch.dtype) -> str:
    """The format's name of a dtype.

    Raises:
        InvalidArgument: the format does not support it.
    """
    found = _OF_TYPE.get(dtype)
    if found is None:
        raise InvalidArgument(f"Tensors of {dtype} cannot be saved as safetensors.")
    return found
