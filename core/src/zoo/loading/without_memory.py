"""Models built without memory: parameters on the meta device, to be filled from a file.

    builder(num_classes=5, weights=…)        what each parameter is, in the order in which modules register them

    1  filled_by_file                        conv1.weight   bn1.weight   …   fc.weight   fc.bias
       a mode that sees registrations        meta           meta             meta        meta
    2  the file's tensors are assigned       file           file             meta        meta      no such shape in it
    3  initialise_rest                       0: meta        1: meta          60: real    61: real
       builds once more, all on meta but     ·              ·                └───────────┴─ these are taken over
       the turns that were left

The mode is the thread's own, and skips initialisers of what is on meta: they would give nothing, cost more than all the
rest, and some of them import `torch._dynamo`. The third step relies on construction being deterministic: the n-th
parameter to be registered is the same both times, so a new head has exactly the initialisation that its model gives it,
and the rest costs nothing. Buffers stay real, since those that are computed are in no file. Where the caller asked for
the meta device itself, none of this is needed: `meta_is_asked_for`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import swap_tensors

from zoo.errors import CheckpointError

# Set while an outer builder builds what it will fill from a file: builders inside it then load and initialise nothing.
filled_from_outside: ContextVar[bool] = ContextVar("filled_from_outside", default=False)
# What builders are told of that while a saved model is rebuilt: what held when it was first built.
_told_filled: ContextVar[bool | None] = ContextVar("told_filled", default=None)

# What a module asks of each parameter when it registers it: only leaves can be.
_REGISTERED = Tensor.grad_fn.__get__  # type: ignore[union-attr]
# What initialisers are, and what they are made of.
_INITIALISERS = {getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and name[0] != "_"} | {
    getattr(Tensor, name)
    for name in (
        "add_ bernoulli_ cauchy_ clamp_ copy_ div_ erfinv_ exponential_ fill_ geometric_ log_normal_ mul_ normal_ "
        "random_ sub_ uniform_ zero_"
    ).split()
}


class Placed:
    """Where the first parameter would have been, and in which order they were registered."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.known = False
        self.order: dict[int, int] = {}
        self.keep: list[Tensor] = []  # so that ids stay theirs


class _Placing(TorchFunctionMode):
    """Moves each parameter that is registered to the meta device, and initialises nothing there."""

    def __init__(self, placed: Placed, keep_real: frozenset[int]) -> None:
        super().__init__()
        self.placed, self.keep_real, self.turn = placed, keep_real, itertools.count()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _INITIALISERS:
            filled = args[0] if args else kwargs["tensor"]  # torch.nn.init hands its arguments on by name
            if filled.is_meta:
                return filled
        if func == _REGISTERED and type(args[0]) is nn.Parameter and id(args[0]) not in self.placed.order:
            self.place(args[0])
        return func(*args, **(kwargs or {}))

    def place(self, parameter: nn.Parameter) -> None:
        n = next(self.turn)
        if not (self.placed.known or parameter.is_meta):  # as those are that a constructor looks at and throws away
            self.placed.device, self.placed.known = parameter.device, True
        self.placed.order[id(parameter)] = n
        self.placed.keep.append(parameter)
        if n not in self.keep_real:
            meta = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
            with contextlib.suppress(RuntimeError):  # one that something else refers to stays where it is
                swap_tensors(parameter, meta)  # type: ignore[no-untyped-call]


def meta_is_asked_for() -> bool:
    """Whether new tensors go to the meta device: under ``torch.device("meta")`` nobody wants the numbers."""
    return torch.empty(0).is_meta


@contextlib.contextmanager
def filled_by_file(*, on_meta: bool = True, keep_real: frozenset[int] = frozenset()) -> Iterator[Placed]:
    """Build a model whose numbers come from a file: builders inside it load nothing, parameters take no memory.

    Every parameter that this thread registers goes to the meta device, where initialising it costs nothing, but those
    whose turn is in ``keep_real``.
    """
    placed = Placed()
    with inside_a_filled_model(), _Placing(placed, keep_real) if on_meta else contextlib.nullcontext():
        yield placed


@contextlib.contextmanager
def inside_a_filled_model() -> Iterator[None]:
    token = filled_from_outside.set(True)
    try:
        yield
    finally:
        filled_from_outside.reset(token)


def is_filled_from_outside() -> bool:
    """Whether what is built now is a part of a model that a file will fill, so that weights of its own are not loaded.

    For a builder whose model depends on that, as what a detector freezes of its backbone does.
    """
    told = _told_filled.get()
    return filled_from_outside.get() if told is None else told


@contextlib.contextmanager
def rebuilding(filled: bool | None) -> Iterator[None]:
    """Within, builders are told that their model is filled from a file, or that it is not, as when it was first built.

    None changes nothing.
    """
    token = _told_filled.set(filled)
    try:
        yield
    finally:
        _told_filled.reset(token)


def initialise_rest(
    name: str, model: nn.Module, placed: Placed, build: Callable[[], nn.Module], only: tuple[str, ...] = ("",)
) -> None:
    """Give the parameters that the file did not fill (a new head) the initialisation that ``build`` gives them.

    Args:
        only: beginnings of the names of those that are meant.

    Raises:
        CheckpointError: ``build`` has no numbers for one of them either; the message calls the model ``name``.
    """
    left = {key: p for key, p in model.named_parameters() if p.is_meta and key.startswith(only)}
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


def compute_buffers(name: str, model: nn.Module, build: Callable[[], nn.Module]) -> None:
    """Give buffers that are still on the meta device their numbers: a constructor puts some where its parameters are,
    and they are in no file. The model is built for real for it.

    Raises:
        CheckpointError: it has no numbers for one of them either; the message calls the model ``name``.
    """
    left = [key for key, buffer in model.named_buffers() if buffer.is_meta]
    if not left:
        return
    with inside_a_filled_model():
        real = dict(build().named_buffers())
    for key in left:
        if key not in real or real[key].is_meta:
            raise CheckpointError(f"{name}: {key} was neither in the file nor computed by the model.")
        path, _, leaf = key.rpartition(".")
        setattr(model.get_submodule(path), leaf, real[key])
