"""The header of a safetensors file: eight bytes that give its length, JSON, then the tensors' bytes."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO

MAX_HEADER = 100_000_000  # bytes; the format allows no more


def is_safetensors(start: bytes) -> bool:
    return start[4:9] == b"\0\0\0\0{"  # a header is shorter than 4 GB


def read_header(f: BinaryIO) -> tuple[dict[str, Any], dict[str, str], int, int]:
    """The tensors' descriptions, the file's metadata, the offset of the tensors, and the size of the file.

    Raises:
        ValueError: the header is damaged.
    """
    size = os.fstat(f.fileno()).st_size
    f.seek(0)
    length = int.from_bytes(f.read(8), "little")
    if length > size - 8:
        raise ValueError(f"its header of {length} bytes is longer than the file")
    if length > MAX_HEADER:
        raise ValueError(f"its header of {length} bytes is longer than the format allows")
    try:
        header = json.loads(f.read(length))
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not strings")
    return header, metadata, 8 + length, size
