"""Computing in half precision: inputs are cast, outputs converted back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from zoo.errors import InvalidArgument
from zoo.running.editing import Edits

WIDE = (torch.float32, torch.float64)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def read_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """The dtype of a name or a dtype; None for the model's own.

    Raises:
        InvalidArgument: models cannot be computed in it.
    """
    found = DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if dtype is not None and found not in DTYPES.values():
        raise InvalidArgument(f"dtype is {dtype!r}; expected one of {', '.join(DTYPES)}.")
    return found


def read_engine(engine: str, compile: bool) -> str:  # noqa: A002
    """The engine selected by two options.

    Raises:
        InvalidArgument: they name different ones.
    """
    if compile and engine not in ("torch", "compile"):
        raise InvalidArgument(f"engine={engine!r} and compile=True: torch.compile is an engine; remove one of them.")
    return "compile" if compile else engine


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_dtype(dtype: torch.dtype | None, device: torch.device) -> None:
    """Raise if it is far slower than float32 on a device.

    Raises:
        InvalidArgument: float16 on a CPU without instructions for it.
    """
    if dtype is torch.float16 and device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        raise InvalidArgument(
            "dtype='float16': this CPU has no instructions for it, and takes many times as long as for float32. Use "
            "bfloat16 here, or a GPU."
        )


def note_of(dtype: torch.dtype | None, device: torch.device) -> str | None:
    """A note about a precision on this machine."""
    if dtype is torch.bfloat16 and device.type == "cpu" and not fast_bfloat16():
        return "This CPU has no instructions for bfloat16 (AVX-512 BF16, AMX), which saves memory here but no time."
    return None


def fast_bfloat16() -> bool:
    """Whether the CPU has instructions for it: AVX-512 BF16 or AMX."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def narrow(value: Any, dtype: torch.dtype) -> Any:
    """Convert single and double precision to ``dtype``."""
    return tree_map_only(Tensor, lambda t: t.to(dtype) if t.dtype in WIDE else t, value)


def widen(value: Any) -> Any:
    """Convert half precision to single."""
    half = (torch.bfloat16, torch.float16)
    return tree_map_only(Tensor, lambda t: t.float() if t.dtype in half else t, value)


class Narrow:
    """A forward pre-hook: converts the inputs to ``dtype``."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        return narrow(args, self.dtype), narrow(kwargs, self.dtype)


def _widened(module: nn.Module, inputs: Any, output: Any) -> Any:
    return widen(output)


class Casting(Edits):
    """Converts a model's parts to another precision: parameters, buffers, inputs and outputs.

    Args:
        model: the model; its ``compute_parts`` are cast, or all of it.
        dtype: the dtype to compute in.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__(model)
        self.parts = [part for _, part in parts_of(model)]
        self.dtype = dtype
        new: dict[int, Any] = {}  # tied parameters stay tied
        for m in {m: None for part in self.parts for m in part.modules()}:
            for name, p in m._parameters.items():
                if p is not None and p.dtype in WIDE:
                    if id(p) not in new:
                        new[id(p)] = nn.Parameter(p.detach().to(dtype), requires_grad=False)
                    self.set(m, name, new[id(p)])
            for name, b in m._buffers.items():
                if b is not None and b.dtype in WIDE:
                    self.set(m, name, new.setdefault(id(b), b.to(dtype)))
        self._hook()

    def __bool__(self) -> bool:
        return True

    def _hook(self) -> None:
        self.handles = [
            handle
            for part in self.parts
            for handle in (
                part.register_forward_pre_hook(Narrow(self.dtype), with_kwargs=True),
                part.register_forward_hook(_widened),
            )
        ]

    def undo(self) -> None:
        super().undo()
        for handle in self.handles:
            handle.remove()

    def redo(self) -> None:
        super().redo()
        self._hook()


def parts_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a model for an engine or half precision: path → submodule; ``""`` is the entire model."""
    modules = dict(model.named_modules())
    paths = getattr(model, "compute_parts", ("",))
    return [(path, modules[path]) for path in paths if path in modules] or [("", model)]
