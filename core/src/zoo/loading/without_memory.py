"""Models built without memory: parameters on the meta device, to be filled from a file."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

# Set while an outer builder builds what it will fill from a file: builders inside it then load and initialise nothing.
filled_from_outside: ContextVar[bool] = ContextVar("filled_from_outside", default=False)


class Placed:
    """Where the parameters would have been, and in which order they were registered."""

    def __init__(self) -> None:
        self.devices: list[torch.device] = []
        self.order: dict[int, int] = {}
        self.keep: list[Tensor] = []  # so that ids stay theirs


@contextlib.contextmanager
def filled_by_file(*, on_meta: bool = True, keep_real: frozenset[int] = frozenset()) -> Iterator[Placed]:
    """Build a model whose numbers come from a file: builders inside it load nothing, parameters take no memory.

    Every parameter that this thread registers goes to the meta device, where initialising it costs nothing, but those
    whose turn is in ``keep_real``. Buffers stay real, since those that are computed are in no file.
    """
    placed, thread, turn = Placed(), threading.get_ident(), itertools.count()

    def to_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if threading.get_ident() != thread or type(parameter) is not nn.Parameter or id(parameter) in placed.order:
            return parameter
        n = next(turn)
        placed.devices.append(parameter.device)
        if n not in keep_real:
            parameter = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
        placed.order[id(parameter)] = n
        placed.keep.append(parameter)
        return parameter

    token = filled_from_outside.set(True)
    handle = register_module_parameter_registration_hook(to_meta) if on_meta else None  # type: ignore[arg-type]
    try:
        yield placed
    finally:
        if handle is not None:
            handle.remove()
        filled_from_outside.reset(token)
