"""Models built without memory: parameters on the meta device, to be filled from a file.

    builder(num_classes=5, weights=…)        what each parameter is, in the order in which modules register them

    1  filled_by_file                        conv1.weight   bn1.weight   …   fc.weight   fc.bias
       a mode that sees registrations        meta           meta             meta        meta
    2  the file's tensors are assigned       file           file             meta        meta      another shape in it
    3  initialise_rest                       0: meta        1: meta          60: real    61: real
       builds again, all on meta except      ·              ·                └───────────┴─ these are taken over
       the numbers left over

The mode is thread-local, and skips initialisers of meta tensors: they have no effect, take more time than everything
else, and some of them import `torch._dynamo`. The third step relies on deterministic construction: the n-th registered
parameter is the same both times, so a new head has exactly the initialisation of its model, and the rest takes no time.
Buffers stay real, since computed buffers are in no file. This is not needed if the caller uses the meta device:
`meta_is_asked_for`.
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

# Set while an outer builder builds a model to fill from a file: builders inside it then load and initialise nothing.
filled_from_outside: ContextVar[bool] = ContextVar("filled_from_outside", default=False)
# The value of this for builders while a saved model is rebuilt: the one when it was first built.
_told_filled: ContextVar[bool | None] = ContextVar("told_filled", default=None)

# Modules read this attribute of each parameter when they register it: only leaves are allowed.
_REGISTERED = Tensor.grad_fn.__get__  # type: ignore[union-attr]
# The initialisers, and the tensor methods that they call.
_INITIALISERS = {getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and name[0] != "_"} | {
    getattr(Tensor, name)
    for name in (
        "add_ bernoulli_ cauchy_ clamp_ copy_ div_ erfinv_ exponential_ fill_ geometric_ log_normal_ mul_ normal_ "
        "random_ sub_ uniform_ zero_"
    ).split()
}


class Placed:
    """The device of the first parameter, and the order in which parameters were registered."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.known = False
        self.order: dict[int, int] = {}
        self.keep: list[Tensor] = []  # so that their ids stay unique


class _Placing(TorchFunctionMode):
    """Moves each registered parameter to the meta device, and skips initialisation there."""

    def __init__(self, placed: Placed, keep_real: frozenset[int]) -> None:
        super().__init__()
        self.placed, self.keep_real, self.turn = placed, keep_real, itertools.count()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _INITIALISERS:
            filled = args[0] if args else kwargs["tensor"]  # torch.nn.init passes its arguments by name
            if filled.is_meta:
                return filled
        if func == _REGISTERED and type(args[0]) is nn.Parameter and id(args[0]) not in self.placed.order:
            self.place(args[0])
        return func(*args, **(kwargs or {}))

    def place(self, parameter: nn.Parameter) -> None:
        n = next(self.turn)
        if not (self.placed.known or parameter.is_meta):  # such as those that a constructor inspects and discards
            self.placed.device, self.placed.known = parameter.device, True
        self.placed.order[id(parameter)] = n
        self.placed.keep.append(parameter)
        if n not in self.keep_real:
            meta = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
            with contextlib.suppress(RuntimeError):  # a parameter with other references is not moved
                swap_tensors(parameter, meta)  # type: ignore[no-untyped-call]


def meta_is_asked_for() -> bool:
    """Whether new tensors are created on the meta device, under ``torch.device("meta")``."""
    return torch.empty(0).is_meta


@contextlib.contextmanager
def filled_by_file(*, on_meta: bool = True, keep_real: frozenset[int] = frozenset()) -> Iterator[Placed]:
    """A context for building a model that a file will fill: builders inside it load nothing, parameters take no memory.

    Every parameter that this thread registers is moved to the meta device, where initialisation takes no time, except
    those whose index is in ``keep_real``.
    """
    placed = Placed()
    with inside_a_filled_model(), _Placing(placed, keep_real) if on_meta else contextlib.nullcontext():
        yield placed


def built_for_file(build: Callable[[], nn.Module], *, on_meta: bool) -> tuple[nn.Module, Placed]:
    """The model of ``build`` for a file to fill: without memory, or with memory if its constructor needs the values."""
    try:
        with filled_by_file(on_meta=on_meta) as placed:
            return build(), placed
    except NotImplementedError as e:
        if not on_meta or "meta" not in str(e):
            raise
    with filled_by_file(on_meta=False) as placed:
        return build(), placed


@contextlib.contextmanager
def inside_a_filled_model() -> Iterator[None]:
    token = filled_from_outside.set(True)
    try:
        yield
    finally:
        filled_from_outside.reset(token)


def is_filled_from_outside() -> bool:
    """Whether the model being built is part of a model that a file will fill, so that its own weights are not loaded.

    For a builder whose model depends on this, such as a detector that freezes layers of a pretrained backbone.
    """
    told = _told_filled.get()
    return filled_from_outside.get() if told is None else told


@contextlib.contextmanager
def rebuilding(filled: bool | None) -> Iterator[None]:
    """A context that sets the value of this for builders to the one when the model was first built.

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
    """Give the parameters that the file did not fill (a new head) the initialisation of ``build``.

    Args:
        only: prefixes of the names of the parameters to initialise.

    Raises:
        CheckpointError: ``build`` does not initialise one of them either; the message calls the model ``name``.
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
    """Compute buffers that are still on the meta device: a constructor may create them on the device of its parameters,
    and they are in no file. The model is built with memory for this.

    Raises:
        CheckpointError: the model does not compute one of them either; the message calls the model ``name``.
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
