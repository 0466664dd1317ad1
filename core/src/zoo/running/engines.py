"""Models that an engine computes: any structure of tensors in and out, built again for new shapes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from zoo import registry
from zoo.contract import load_object
from zoo.errors import EngineError, ZooError, told
from zoo.running.standing import StandIn

KEPT = 8  # programs of a model that are kept, for the last used shapes

Sizes = tuple[torch.Size, ...]


def build(module: nn.Module, arguments: tuple[Tensor, ...], **options: Any) -> nn.Module:
    """The engine ``torch``: the module itself."""
    return module


class Outputs(NamedTuple):
    """The structure of a model's outputs."""

    spec: Any
    dtypes: tuple[torch.dtype | None, ...]  # None for other values
    others: tuple[Any, ...]


class Flat(nn.Module):
    """A model that takes and returns only tensors, as engines require."""

    def __init__(self, source: nn.Module, leaves: Sequence[Any], spec: Any) -> None:
        super().__init__()
        self.source = source
        self.others = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        self.spec = spec
        self.eval()

    def whole(self, *tensors: Tensor) -> Any:
        leaves = list(self.others)
        for i, tensor in zip(self.places, tensors, strict=True):
            leaves[i] = tensor
        args, kwargs = tree_unflatten(leaves, self.spec)
        return self.source(*args, **kwargs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t for t in tree_flatten(self.whole(*tensors))[0] if isinstance(t, Tensor))

    def outputs(self, *tensors: Tensor) -> Outputs:
        """The structure of its outputs, found by one run."""
        leaves, spec = tree_flatten(self.whole(*tensors))
        return Outputs(
            spec,
            tuple(leaf.dtype if isinstance(leaf, Tensor) else None for leaf in leaves),
            tuple(None if isinstance(leaf, Tensor) else leaf for leaf in leaves),
        )


class Program(NamedTuple):
    """The program of an engine for inputs of some structure and shapes."""

    kind: Any
    sizes: Sizes
    run: Callable[..., Sequence[Tensor]]
    outputs: Outputs

    def takes(self, kind: Any, sizes: Sizes, tensors: Sequence[Tensor]) -> bool:
        if kind != self.kind:
            return False
        able = getattr(self.run, "takes", None)
        return sizes == self.sizes or (able is not None and bool(able(*tensors)))


class EngineModule(StandIn):
    """A model that an engine computes.

    The first input of each shape is slow: the model is captured and compiled for it, unless the program for another
    shape accepts it. The programs of the last few shapes are kept.

    Args:
        source: the model.
        engine: the engine's name.
        dtype: the dtype to compute in; None for the model's own precision.
    """

    def __init__(self, source: nn.Module, engine: str, dtype: torch.dtype | None = None) -> None:
        super().__init__(source)
        self.engine_name, self.engine_dtype = engine, dtype
        self._forget()

    def _forget(self) -> None:
        self._programs: list[Program] = []
        self._seen: OrderedDict[Any, list[Sizes]] = OrderedDict()
        self._building = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_programs", "_seen", "_building")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._forget()

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = [(p.device, p.dtype) for p in self.source.parameters()]
        found = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before != [(p.device, p.dtype) for p in self.source.parameters()]:
            self._forget()
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        leaves, spec = tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if any(0 in t.shape for t in tensors):
            return self.source(*args, **kwargs)  # an empty input needs no program
        sizes = tuple(t.shape for t in tensors)
        kind = (str(spec), tuple(repr(x) for x in leaves if not isinstance(x, Tensor)), tuple(t.dtype for t in tensors))
        program = self._find(kind, sizes, tensors)
        if program is None:
            with self._building:
                program = self._find(kind, sizes, tensors) or self._build(kind, sizes, leaves, spec)
        made = iter(program.run(*tensors))
        _, dtypes, others = program.outputs
        filled = [other if dtype is None else next(made).to(dtype) for dtype, other in zip(dtypes, others, strict=True)]
        return tree_unflatten(filled, program.outputs.spec)

    def _find(self, kind: Any, sizes: Sizes, tensors: Sequence[Tensor]) -> Program | None:
        return next((p for p in self._programs if p.takes(kind, sizes, tensors)), None)

    def _build(self, kind: Any, sizes: Sizes, leaves: Sequence[Any], spec: Any) -> Program:
        engine = registry.usable_engine(self.engine_name)
        seen = [*self._seen.get(kind, ()), sizes][-KEPT:]
        dynamic = [
            {d for d in range(len(size)) if len({other[i][d] for other in seen}) > 1} for i, size in enumerate(sizes)
        ]
        # Programs cannot be captured with inference tensors.
        with torch.inference_mode(False), torch.no_grad():
            tensors = tuple(leaf.clone() for leaf in leaves if isinstance(leaf, Tensor))
            flat = Flat(self.source, leaves, spec)
            outputs = flat.outputs(*tensors)
            try:
                run = load_object(engine.target)(flat, tensors, dtype=self.engine_dtype, dynamic=dynamic)
            except ZooError:
                raise
            except Exception as e:  # an engine's code may raise any exception
                raise EngineError(
                    f"The engine {self.engine_name!r} cannot compute {type(self.source).__name__}: {told(e)[:500]}"
                ) from e
        program = Program(kind, sizes, run, outputs)
        self._seen[kind] = seen
        self._programs = [program, *self._programs][:KEPT]
        return program


def computing(model: nn.Module, modules: Sequence[nn.Module]) -> list[nn.Module]:
    """Replace modules of ``model`` by the ones that an engine computes."""
    stands = {inner: m for m in model.modules() if isinstance(m, EngineModule) for inner in m.source.modules()}
    return list(dict.fromkeys(stands.get(module, module) for module in modules))
