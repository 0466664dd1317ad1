"""Repairs a torchvision that does not fit the installed torch: its operators are defined by zoo's.

``import torchvision`` fails with "operator torchvision::nms does not exist" if its compiled part cannot be loaded, and
so do packages that import it: timm, transformers, torchmetrics. :func:`torchvision_operators` fixes this for a process,
``zoo run script.py`` for a program and all processes that it starts. Nothing here imports torchvision.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from zoo.errors import silenced

__all__ = ["misfit", "torchvision_operators", "watch"]

_PACKAGE = "torchvision"
_EXTENSION = "torchvision.extension"  # the module that loads the compiled operators, and knows whether they exist
_lock = threading.RLock()
_registered: dict[str, Any] = {}  # the libraries; operators exist as long as their library


def torchvision_operators(replace: bool = False) -> bool:
    """Define torchvision's operators by those of :mod:`zoo.ops` if its own compiled ones cannot be loaded.

    They are ``torch.ops.torchvision.nms``, ``roi_align``, ``roi_pool``, ``ps_roi_align``, ``ps_roi_pool``,
    ``deform_conv2d``, ``box_iou_rotated``, the quantized ``qnms`` and ``qroi_align``, and their backward forms: for
    CPU, CUDA, MPS and meta tensors, with autograd, ``torch.compile`` and ``torch.export``. ``import torchvision`` then
    succeeds, even if it failed before. Its functions that read and write pictures are not changed.

    Args:
        replace: define them even if the compiled ones can be loaded. On a GPU those are faster; these work on any
            device.

    Returns:
        Whether the operators are now those of zoo.
    """
    import torch

    with _lock:
        if _registered:
            return True
        if _EXTENSION not in sys.modules and not hasattr(torch.ops.torchvision, "nms"):
            for library in _compiled():
                with contextlib.suppress(OSError):
                    torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        if hasattr(torch.ops.torchvision, "nms"):
            if not replace:
                return False
            if not _importing():  # only torchvision's modules give the output sizes of compiled operators
                with contextlib.suppress(ImportError, RuntimeError):
                    importlib.import_module(_PACKAGE)
        from zoo.ops._torchvision import register

        with silenced("Warning only once for all operators"):  # that kernels are replaced, which is intended
            _registered["kernels"] = register()
        if _PACKAGE not in sys.modules:  # modules left by a failed import have to be imported again
            for name in [name for name in sys.modules if name.startswith(f"{_PACKAGE}.")]:
                del sys.modules[name]
        if _EXTENSION in sys.modules:
            _tell(sys.modules[_EXTENSION])
        if not _importing():
            _complete()
        watch()
        return True


def _importing() -> bool:
    spec = getattr(sys.modules.get(_PACKAGE), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))


def watch() -> None:
    """Call :func:`torchvision_operators` as soon as torchvision finds that it has no operators."""
    with _lock:
        if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Watch())


class _Watch:
    """A finder that finds no module: it calls functions when torchvision, or its loader of operators, was imported."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in (_PACKAGE, _EXTENSION):
            return None
        for finder in [f for f in sys.meta_path if f is not self and hasattr(f, "find_spec")]:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                loader: Any = spec.loader
                if hasattr(loader, "exec_module"):
                    loader.exec_module = _then(loader.exec_module, _loaded if name == _EXTENSION else _complete)
                return spec
        return None


def _then(execute: Callable[[ModuleType], None], after: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def exec_module(module: ModuleType) -> None:
        try:
            execute(module)
        finally:
            after(module)

    return exec_module


def _loaded(extension: ModuleType) -> None:
    if not _registered:
        torchvision_operators()
    elif "rest" in _registered:
        _registered.pop("rest")._destroy()  # torchvision registers its own, and fails if they are registered already
    if _registered:
        _tell(extension)


def _complete(package: ModuleType | None = None) -> None:
    """Register what some versions of torchvision do not register themselves."""
    if _registered and "rest" not in _registered:
        from zoo.ops._torchvision import complete

        _registered["rest"] = complete()


# TorchScript compiles these two when torchvision's functions are scripted or traced.


def _has_ops() -> bool:
    return True


def _assert_has_ops() -> None:
    return None


def _tell(extension: ModuleType) -> None:
    """Make ``torchvision.extension`` report that the operators exist, also to modules that imported its functions
    before."""
    for name, answer in {"_has_ops": _has_ops, "_assert_has_ops": _assert_has_ops, "_HAS_OPS": True}.items():
        before = getattr(extension, name, None)
        for module in [m for n, m in list(sys.modules.items()) if n.startswith(_PACKAGE)]:
            if before is not None and vars(module).get(name) is before:
                setattr(module, name, answer)


def _folder() -> Path | None:
    """The folder of torchvision, which is not imported."""
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent
    return None


def _compiled() -> Iterator[Path]:
    folder = _folder()
    if folder is not None:
        yield from sorted(file for file in folder.glob("_C*") if file.suffix in (".so", ".pyd", ".dylib"))


def misfit() -> str | None:
    """Why the installed torchvision does not fit the installed torch; None if it does, or is not installed.

    Determined from the packages' metadata and the names of libraries; neither package is imported.
    """
    try:
        torch = importlib.metadata.version("torch")
        version = importlib.metadata.version(_PACKAGE)
        requires = importlib.metadata.requires(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for requirement in requires:
        exact = re.match(r"torch\s*\(?\s*==\s*([\w.+]+)", requirement)
        if exact and exact[1] != torch.partition("+")[0] and exact[1] != torch:
            return f"torchvision {version} is made for torch {exact[1]}, and {torch} is installed"
    spec = importlib.util.find_spec("torch")
    libraries = Path(spec.origin).parent / "lib" if spec is not None and spec.origin is not None else None
    if libraries is None or not libraries.is_dir():
        return None
    for file in _compiled():
        needed = {name.decode() for name in re.findall(rb"\0(lib(?:torch|c10)\w*\.so)(?=\0)", file.read_bytes())}
        missing = sorted(name for name in needed if not (libraries / name).exists())
        if missing:
            return f"torchvision {version} needs {', '.join(missing)}, which the installed torch {torch} lacks"
    return None
