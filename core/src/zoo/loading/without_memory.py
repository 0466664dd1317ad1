"""Models built without memory: parameters on the meta device, to be filled from a file.

    builder(num_classes=5, weights=…)        what each parameter is, in the order in which modules register them

    1  filled_by_file                        conv1.weight   bn1.weight   …   fc.weight   fc.bias
       a hook on the registration            meta           meta             meta        meta
    2  the file's tensors are assigned       file           file             meta        meta      no such shape in it
    3  initialise_rest                       0: meta        1: meta          60: real    61: real
       builds once more, all on meta but     ·              ·                └───────────┴─ these are taken over
       the turns that were left

The hook is PyTorch's for all modules of the process, and leaves other threads' alone. The third step relies on
construction being deterministic: the n-th parameter to be registered is the same both times, so a new head has exactly
the initialisation that its model gives it, and the rest costs nothing. Buffers stay real, since those that are computed
are in no file. Where the caller asked for the meta device itself, none of this is needed: `meta_is_asked_for`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from zoo.errors import CheckpointError

# Set while an outer builder builds what it will fill from a file: builders inside it then load and initialise nothing.
filled_from_outside: ContextVar[bool] = ContextVar("filled_from_outside", default=False)


class Placed:
    """Where the first parameter would have been, and in which order they were registered."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.order: dict[int, int] = {}
        self.keep: list[Tensor] = []  # so that ids stay theirs


def meta_is_asked_for() -> bool:
    """Whether new tensors go to the meta device: under ``torch.device("meta")`` nobody wants the numbers."""
    return torch.empty(0).is_meta


@contextlib.contextmanager
def filled_by_file(*, on_meta: bool = True, keep_real: frozenset[int] = frozenset()) -> Iterator[Placed]:
    """Build a model whose numbers come from a file: builders inside it load nothing, parameters take no memory.

    Every parameter that this thread registers goes to the meta device, where initialising it costs nothing, but those
    whose turn is in ``keep_real``.
    """
    placed, thread, turn = Placed(), threading.get_ident(), itertools.count()

    def to_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if threading.get_ident() != thread or type(parameter) is not nn.Parameter or id(parameter) in placed.order:
            return parameter
        n = next(turn)
        placed.device = placed.device if n else parameter.device
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


def initialise_rest(name: str, model: nn.Module, placed: Placed, build: Callable[[], nn.Module]) -> None:
    """Give the parameters that the file did not fill (a new head) the initialisation that ``build`` gives them.

    Raises:
        CheckpointError: ``build`` has no numbers for one of them either; the message calls the model ``name``.
    """
    left = {key: p for key, p in model.named_parameters() if p.is_meta}
    if not left:
        return
    with filled_by_file(keep_real=frozenset(placed.order[id(p)] for p in left.values() if id(p) in placed.order)):
        again = build()
    for key in left:
        fresh = again.get_parameter(key)
        if fresh.is_meta:
            raise CheckpointError(f"{name}: {key} was neither in the file nor initialised by the model.")
        path, _, leaf = key.rpartition(".")
        setattr(model.get_submodule(path), leaf, fresh)
