"""Reads the state dict in a file.

Pickles are always read with ``weights_only=True``. A file that zoo itself replaces by rename is memory-mapped: its
tensors are views of the file, read on first use and copied when they are written to. Any other file is read completely,
because its owner may change it while the model exists.
"""

from __future__ import annotations

import contextlib
import json
import mmap as _mmap
import os
import pickle
import pickletools
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from zoo.errors import CheckpointError, silenced
from zoo.files import way_out
from zoo.files.names import scheme_of
from zoo.files.safetensors import is_safetensors, read_header
from zoo.loading.packing import unpack
from zoo.loading.safetensors import read_safetensors
from zoo.quantized_tensors import DEPRECATED
from zoo.registry import fetch

StateDict = dict[str, Any]
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "model_ema",
)  # keys of the state dict in trainers' files, in this order
UNPACKED = 4  # a zip may unpack to this many times its size: torch does not compress
# Plain data that trainers save beside the tensors; nothing is imported from these modules.
_DATA = re.compile(
    r"(argparse|numpy|pathlib|datetime|decimal|fractions|uuid|omegaconf|lightning|pytorch_lightning)\."
    r"|(collections\.defaultdict|types\.SimpleNamespace|builtins\.(list|tuple|dict|int|float|str|bool|bytes))$"
)
# torch's warnings for quantized tensors: they are deprecated, and it uses TypedStorage for them itself.
_INT8 = (DEPRECATED, "TypedStorage is deprecated")
_allowing = threading.Lock()  # torch's list of allowed classes is global


class Contents(NamedTuple):
    """The state dict of a file.

    Attributes:
        state: the state dict.
        memory_mapped: whether its tensors are views of the file.
        taken: the key of the state dict in the file, and the keys beside it; empty if the file is the state dict.
    """

    state: StateDict
    memory_mapped: bool
    taken: str = ""


def read_checkpoint(source: str | os.PathLike[str], *, mmap: bool | None = None, **options: Any) -> StateDict:
    """The state dict in a file, downloaded if necessary: name → tensor, on the CPU.

    Args:
        source: a path or a URL.
        mmap: map the file, which takes no time and memory until a tensor is used; the file must then not be changed or
            truncated while a tensor exists. False reads it completely. By default, files of zoo's cache, of the hub's
            cache and inside packages are mapped, since updates replace them by new files.
        options: of :func:`zoo.files.fetch`: ``progress``, ``sha256``, ``license``.

    Raises:
        DownloadError: the file cannot be downloaded or found.
        CheckpointError: it is not a checkpoint, is damaged, or is a pickle that would run code.
    """
    url = os.fspath(source)
    path = fetch(url, **options)
    return read_contents(path, mmap=may_be_mapped(url, path) if mmap is None else mmap).state


def may_be_mapped(url: str, path: Path) -> bool:
    """Whether the file of ``url`` is only replaced by rename, so that a mapping keeps its contents."""
    scheme = scheme_of(url)
    linked = scheme in ("http", "https") and path.is_symlink()  # to a user's file
    return scheme in ("http", "https", "hf", "pkg") and not linked


def read_file(path: Path, *, mmap: bool = True) -> tuple[StateDict, bool]:
    """The state dict in a local file, and whether it is memory-mapped."""
    return read_contents(path, mmap=mmap)[:2]


def read_contents(path: Path, *, mmap: bool) -> Contents:
    """The contents of a local file. The contents decide the format, not the name.

    Args:
        mmap: map the file if its format allows it; else it is opened once and read from beginning to end.
    """
    with path.open("rb") as f:
        try:
            start = f.read(512)
            if is_safetensors(start):
                tensors = read_safetensors(f, mapped=mmap)
                packed = read_header(f)[1].get("zoo.packed")
                return Contents(unpack(tensors, json.loads(packed)) if packed else tensors, mmap)
            if not start.startswith((b"\x80", b"PK\x03\x04")):
                raise CheckpointError(f"{path} is not a checkpoint: {_what(start)}{way_out(path)}")
            content, mapped = _read_pickle(f, path, mmap)
        except CheckpointError:
            raise
        except Exception as e:  # a damaged pickle may raise any exception
            what = "it is damaged or truncated"
            if isinstance(e, pickle.UnpicklingError):
                what += ", or not a pickle of protocol 2"
            elif isinstance(e, MemoryError) or "allocate" in str(e):
                what += ", or there is too little memory"
            raise CheckpointError(f"{path} cannot be read; {what} ({_cause(e)}).{way_out(path)}") from e
    found = _unwrap(content)
    if found is None:
        keys = f" with the keys {', '.join(map(repr, list(content)[:8]))}" if isinstance(content, Mapping) else ""
        what = f"contains a {type(content).__name__}{keys}"
        raise CheckpointError(f"{path} {what}; expected a state dict, name → tensor.")
    state, taken = found
    if unnamed := [key for key in state if not isinstance(key, str)]:
        raise CheckpointError(f"{path} has keys that are not names, such as {unnamed[0]!r}; expected name → tensor.")
    return Contents(state, mapped, taken)


def _what(start: bytes) -> str:
    if not start:
        return "it is empty. Get it again."
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git-LFS pointer to the file. Run `git lfs pull` in its repository."
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "it is a web page, perhaps a login page or an error. Open its address in a browser."
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        return "it is a compressed archive. Unpack it first."
    return f"it begins with {start[:16]!r}. Expected a file of torch.save(model.state_dict()) or of safetensors."


def _cause(e: BaseException) -> str:
    lines = [line for line in str(e).splitlines() if line.strip()] or [""]
    line = lines[-2] if isinstance(e, pickle.UnpicklingError) and len(lines) > 2 else lines[0]  # among torch's advice
    return f"{type(e).__name__}: {line}"


# ── pickles ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_pickle(f: BinaryIO, path: Path, mmap: bool) -> tuple[Any, bool]:
    """The contents of an open file, and whether it is mapped."""
    f.seek(0)
    beginning = f.read(1 << 16)
    member, most, stored = _directory(f, path) if beginning.startswith(b"PK") else (None, 0, False)
    # A shared mapping of torch would write to the file.
    shared = getattr(torch.serialization, "get_default_mmap_options", lambda: None)() == getattr(_mmap, "MAP_SHARED", 0)
    mmap = mmap and stored and not shared

    def load() -> Any:
        f.seek(0)
        return torch.load(path if mmap else f, map_location="cpu", mmap=mmap, weights_only=True)

    with silenced(*_INT8) if b"_rebuild_qtensor" in beginning else contextlib.nullcontext():
        try:
            content = load()
        except pickle.UnpicklingError as e:
            if "GLOBAL" not in str(e):
                raise
            names = _classes(f, member)
            try:
                if not names:
                    raise
                with _stand_ins(names):
                    content = load()
            except pickle.UnpicklingError as e:
                if named := re.search(r"GLOBAL (\S+)", str(e)):
                    raise _refused(path, named[1]) from e
                what = f"{path} contains {', '.join(sorted(names))} beside its tensors, and cannot be read without it"
                raise CheckpointError(f"{what} ({_cause(e)}). Save only its state_dict().") from e
    if member is not None and _bytes_held(content) > most:
        raise ValueError("its tensors claim more bytes than it has")
    return content, mmap


def _directory(f: BinaryIO, path: Path) -> tuple[zipfile.ZipInfo, int, bool]:
    """The member of the pickle in a zip archive, the size of all members, and whether they are stored uncompressed."""
    members = zipfile.ZipFile(f).infolist()
    size, unpacked = os.fstat(f.fileno()).st_size, sum(member.file_size for member in members)
    if unpacked > UNPACKED * size:
        raise CheckpointError(
            f"{path} has {size:,} bytes and would unpack to {unpacked:,}; it is refused. torch.save does not compress."
        )
    names = [member.filename for member in members]
    found = next((member for member in members if member.filename.endswith("/data.pkl")), None)
    if found is None or any(name.endswith("/constants.pkl") for name in names):
        what = f"a zip archive of {', '.join(names[:4])}" if found is None else "a TorchScript program"
        raise CheckpointError(f"{path} is {what}; expected a file of torch.save(model.state_dict()).")
    return found, max(size, unpacked), all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _bytes_held(content: Any) -> int:
    """Bytes of the tensors of a state dict; torch enlarges a storage that is too small for its tensor."""
    found = _unwrap(content)
    tensors = [t for t in found[0].values() if isinstance(t, Tensor) and t.layout == torch.strided] if found else []
    storages = [t.untyped_storage() for t in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _refused(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is a pickle with more than tensors, which would run code when loaded; it is refused. It contains "
        f"{name}. Save only its state_dict(), or convert it to safetensors if you trust it."
    )


def _classes(f: BinaryIO, member: zipfile.ZipInfo | None) -> set[str]:
    """The classes of plain data that a pickle names."""
    f.seek(0)
    if member is None:
        names = [arg for _ in range(4) for op, arg, _ in pickletools.genops(f) if op.name == "GLOBAL"]
    else:
        names = [arg for op, arg, _ in pickletools.genops(zipfile.ZipFile(f).read(member)) if op.name == "GLOBAL"]
    full = {str(name).replace(" ", ".").replace("__builtin__", "builtins") for name in names}
    return {name for name in full if _DATA.match(name)}


class _Inert:
    """Replaces a class of a pickle; accepts all arguments and keeps nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


@contextlib.contextmanager
def _stand_ins(names: set[str]) -> Iterator[None]:
    """A context in which pickles may name these classes, and get an inert object instead."""
    serialization: Any = torch.serialization
    if not hasattr(serialization, "safe_globals"):  # torch 2.4
        yield
        return
    with _allowing:
        own = {
            c[1] if isinstance(c, tuple) else f"{c.__module__}.{c.__qualname__}"
            for c in serialization.get_safe_globals()
        }
        with serialization.safe_globals([_stand_in(name) for name in sorted(names - own)]):
            yield


def _stand_in(name: str) -> Any:
    module, _, qualname = name.rpartition(".")
    if qualname == "defaultdict":  # torch only fills dicts

        def stand_in(*args: Any) -> dict[Any, Any]:
            return {}

        stand_in.__module__, stand_in.__name__, stand_in.__qualname__ = module, qualname, qualname
        return stand_in
    return type(qualname, (_Inert,), {"__module__": module, "__qualname__": qualname})


# ── nested files ──────────────────────────────────────────────────────────────────────────────────────────────────


def _unwrap(content: Any, depth: int = 4) -> tuple[StateDict, str] | None:
    """Training scripts save ``{"model": state_dict, "optimizer": …, "epoch": …}``: the model's state dict is inside."""
    if not isinstance(content, Mapping) or not depth:
        return None
    for key in WRAPPERS:
        if found := _unwrap(content.get(key), depth - 1):
            state, inner = found
            beside = ", ".join(str(k) for k in content if k != key)
            return state, f"{key}{f', not {beside}' if beside else ''}{f'; of that {inner}' if inner else ''}"
    return (dict(content), "") if any(isinstance(v, Tensor) for v in content.values()) else None
