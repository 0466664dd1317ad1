"""The engine ``compile``: torch.compile. Its modules are imported on use."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import MissingPlugin
from zoo.running.precision import Casting


def build(module: nn.Module, arguments: tuple[Tensor, ...], *, dtype: torch.dtype | None, dynamic: Any) -> Any:
    """A compiled program. On the CPU the weights are frozen; otherwise it would be slower than eager mode.

    Raises:
        MissingPlugin: there is no C++ compiler.
    """
    device = arguments[0].device if arguments else torch.device("cpu")
    check_compiler(device)
    if dtype is not None and dtype is not torch.float32:
        module = copy.deepcopy(module)
        Casting(module, dtype)
    options: Any = {"freezing": True} if device.type == "cpu" else None
    compiled = torch.compile(module, dynamic=any(dynamic), options=options)

    def run(*tensors: Tensor) -> Any:
        # Always in the same grad mode: another one would recompile, and weights are only frozen in this one.
        with torch.inference_mode(False), torch.no_grad():
            return compiled(*(t.clone() if t.is_inference() else t for t in tensors))

    run(*arguments)
    return run


def check_compiler(device: torch.device) -> None:
    """Raise if a requirement of torch.compile for a device is missing.

    Raises:
        MissingPlugin: there is no C++ compiler.
    """
    given = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if device.type == "cpu" and shutil.which(given) is None:
        raise MissingPlugin(
            f"The engine 'compile' needs a C++ compiler, but there is no {given}: install one (apt install g++), or "
            "set the variable CXX."
        )
