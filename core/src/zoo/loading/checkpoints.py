"""From a file to a state dict.

Pickles are read with ``weights_only=True`` without exception. What can be memory-mapped is: its tensors are views of
the file, read when they are first used and private to the process when they are written to.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.files import way_out
from zoo.registry import fetch

StateDict = dict[str, Any]


def read_checkpoint(source: str | Path, **options: Any) -> StateDict:
    """The state dict in a file, fetched if need be: name → tensor, on the CPU.

    Args:
        source: a URL or path.
        options: of :func:`zoo.files.fetch`: ``progress``, ``sha256``, ``license``.

    Raises:
        DownloadError: the file cannot be had.
        CheckpointError: it is no checkpoint, is damaged, or is a pickle that would run code.
    """
    return read_file(fetch(str(source), **options))[0]


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
        raise CheckpointError(
            f"{path} cannot be read; it is damaged or cut short ({_first_line(e)}).{way_out(path)}"
        ) from e
    except Exception as e:
        if type(e).__name__ != "SafetensorError":
            raise
        raise CheckpointError(
            f"{path} cannot be read as safetensors; it is damaged or cut short ({e}).{way_out(path)}"
        ) from e
    return _unwrap(content, path), zipped


def _first_line(e: BaseException) -> str:
    return (str(e).strip() or type(e).__name__).splitlines()[0]


def _no_checkpoint(path: Path, start: bytes) -> CheckpointError:
    return CheckpointError(
        f"{path} is no checkpoint: it begins with {start!r}. Expected what torch.save(model.state_dict()) or "
        f"safetensors writes.{way_out(path)}"
    )


def _unwrap(content: Any, path: Path) -> StateDict:
    """Training scripts save ``{"model": state_dict, "optimizer": …, "epoch": …}``: what is wanted is inside."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; expected a state dict, name → tensor.")
    return dict(content)
