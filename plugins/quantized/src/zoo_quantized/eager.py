"""Everything that uses ``torch.ao``: torch's eager quantization, which is deprecated, and its int8 modules.

``torch.ao`` is imported when a model is quantized with it, and only here. Only its own deprecation warnings are
silenced while it runs.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument, ZooError, silenced, suggest
from zoo.quantized_tensors import DEPRECATED, quantized_type
from zoo_quantized.marks import Arithmetic, Dequantize, Quantize, fusions

Q = TypeVar("Q", bound=nn.Module)

# Backend of a checkpoint → engines that can run it, in order of preference.
ENGINES = {
    "fbgemm": ("fbgemm", "x86", "onednn", "qnnpack"),
    "x86": ("x86", "fbgemm", "onednn", "qnnpack"),
    "onednn": ("onednn", "x86", "fbgemm", "qnnpack"),
    "qnnpack": ("qnnpack", "onednn", "x86", "fbgemm"),
}
FASTEST = "onednn"
# The largest integer of activations per engine: 16-bit sums can hold only products of 7 bits.
LARGEST = {"fbgemm": 127, "x86": 127, "onednn": 255, "qnnpack": 255}


class MissingEngine(ZooError, RuntimeError):
    """This torch has no int8 kernels."""


def _instead(reason: str) -> MissingEngine:
    return MissingEngine(
        f"{reason}, so quantize=True is not available here. Pass quantize='reference' for the same model in ordinary "
        "arithmetic, on any device, but slower."
    )


def check_backend(backend: str) -> str:
    if backend not in ENGINES:
        hint = suggest(backend, ENGINES) if isinstance(backend, str) else ""
        raise InvalidArgument(f"backend is {backend!r}; expected one of {', '.join(ENGINES)}.{hint}")
    return backend


@functools.cache
def _has_vnni() -> bool:
    """Whether the processor has instructions for sums of 8-bit products, without which oneDNN's kernels may
    overflow."""
    asked = getattr(torch.cpu, "_is_vnni_supported", None)
    return asked is not None and bool(asked())


def _supported() -> list[str]:
    found: list[str] = torch.backends.quantized.supported_engines
    return found


def engine_for(backend: str) -> str:
    """The preferred engine of this machine for ``backend``.

    Raises:
        InvalidArgument: the backend is unknown.
        MissingEngine: torch was built without engines.
    """
    check_backend(backend)
    there = _supported()
    engine = next((e for e in ENGINES[backend] if e in there), None)
    if engine is None:
        raise _instead(f"torch {torch.__version__} was built without int8 kernels for this machine")
    return engine


def fastest_for(engine: str, model: nn.Module) -> str:
    """The engine that computes a float ``model``'s layers in int8: ``engine``, or oneDNN if that is faster.

    FBGEMM has no kernel for depthwise convolutions if the number of channels is not a multiple of 8, and takes five
    times as long as oneDNN for such a model; QNNPACK is made for ARM. Otherwise their speed differs by less than 20 %,
    and the engine that a file was made for reproduces its rounding. See docs/benchmarks.md.
    """
    if FASTEST not in _supported() or not _has_vnni():
        return engine
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    slow = any(m.groups == m.in_channels > 1 and m.in_channels % 8 for m in convs)
    return FASTEST if engine == "qnnpack" or slow else engine


def is_there(backend: str) -> bool:
    """Whether int8 models can run here."""
    try:
        engine_for(backend)
        _ao("nn.quantized")
    except MissingEngine:
        return False
    return True


_turn = threading.Condition(threading.RLock())
_inside: list[int] = []  # threads within `using`, once per nesting level; all use the same engine
_outside: list[Any] = []  # torch's engine before the first of them


@contextlib.contextmanager
def using(engine: str | None) -> Iterator[None]:
    """Context manager: sets torch's global engine to ``engine`` and restores it afterwards.

    Threads that use the same engine run concurrently; a thread that needs another one waits for them.
    """
    quantized: Any = torch.backends.quantized
    me = threading.get_ident()
    with _turn:
        _turn.wait_for(lambda: quantized.engine == engine or set(_inside) <= {me})
        before = quantized.engine
        if not _inside:
            _outside[:] = [before]
        _inside.append(me)
        quantized.engine = engine
    try:
        yield
    finally:
        with _turn:
            _inside.remove(me)
            if me in _inside:
                _turn.wait_for(lambda: before == engine or set(_inside) <= {me})
                quantized.engine = before
            elif not _inside:
                quantized.engine = _outside[0]
            _turn.notify_all()


def quiet() -> contextlib.AbstractContextManager[None]:
    """Context manager: silences the warnings of ``torch.ao``."""
    return silenced(
        r"(.|\n)*torch\.ao\.quantization is deprecated",
        r"Please use quant_min and quant_max to specify the range",
        r"must run observer before calling calculate_qparams",
        DEPRECATED,
    )


def _ao(module: str) -> Any:
    """``torch.ao.<module>``."""
    try:
        with quiet():
            return importlib.import_module(f"torch.ao.{module}")
    except ImportError as e:
        raise _instead(f"torch {torch.__version__} has no torch.ao.{module}") from e


def fuse(model: nn.Module, is_qat: bool) -> None:
    """Replace our parts by ``torch.ao``'s, and fuse convolution, batch norm and ReLU, in place.

    Raises:
        InvalidArgument: the model is in train mode and ``is_qat`` is False, or vice versa.
    """
    if model.training != is_qat:
        mode, call = ("training", "train") if is_qat else ("use after training", "eval")
        raise InvalidArgument(f"fuse_model for {mode} expects a model in {call} mode: call model.{call}() first.")
    quantization, functional = _ao("quantization"), _ao("nn.quantized")
    ours = {Quantize: quantization.QuantStub, Dequantize: quantization.DeQuantStub}
    ours[Arithmetic] = functional.FloatFunctional
    groups = [group for group in fusions(model) if len(group) > 1]
    _swap(model, {path: ours[type(m)]() for path, m in model.named_modules() if type(m) in ours})
    joined(model, groups, is_qat, inplace=True)


def joined(model: nn.Module, groups: Any, is_qat: bool, **options: Any) -> Any:
    """torch's ``fuse_modules`` or ``fuse_modules_qat``."""
    quantization = _ao("quantization")
    with quiet():
        return (quantization.fuse_modules_qat if is_qat else quantization.fuse_modules)(model, groups, **options)


def _swap(model: nn.Module, replaced: dict[str, nn.Module]) -> None:
    for path, module in replaced.items():
        model.set_submodule(path, module.train(model.training))


@torch.no_grad()
def calibrated(model: Q, batches: Iterable[Tensor], backend: str) -> Q:
    """A float model in eval mode → an int8 model for ``backend``, calibrated on ``batches``; in place.

    Scales are computed by torch's default observers: for activations from a histogram; for weights from their largest
    magnitude, per channel or, for QNNPACK, per tensor.
    """
    engine, quantization = engine_for(backend), _ao("quantization")
    model.runs_on = runs_on = fastest_for(engine, model)  # type: ignore[assignment]
    with using(runs_on), quiet():
        fuse(model, is_qat=False)
        model.qconfig = quantization.get_default_qconfig(backend)
        quantization.prepare(model, inplace=True)
        for batch in batches:
            model(batch)
        quantization.convert(model, inplace=True)
    model.engine = engine  # type: ignore[assignment]
    return model


def made_int8(model: nn.Module, images: Tensor, backend: str) -> None:
    """Convert a third-party model, which fuses itself and has torch's parts, to int8; calibrated on ``images``."""
    engine, quantization, anyone = engine_for(backend), _ao("quantization"), cast(Any, model)
    with using(engine), quiet(), torch.no_grad():
        anyone.fuse_model()
        anyone.qconfig = quantization.get_default_qconfig(backend)
        quantization.prepare(model, inplace=True)
        model(images)
        quantization.convert(model, inplace=True)


def skeleton(model: Q, backend: str) -> Q:
    """Convert a float model to an int8 model without values, for loading; in place. Parameters may be on meta."""
    engine, functional, intrinsic = engine_for(backend), _ao("nn.quantized"), _ao("nn.intrinsic.quantized")
    replaced: dict[str, nn.Module] = {}
    model.runs_on = runs_on = fastest_for(engine, model)  # type: ignore[assignment]
    with using(runs_on), quiet():
        for first, *rest in fusions(model):
            conv: Any = model.get_submodule(first)
            relu = bool(rest) and isinstance(model.get_submodule(rest[-1]), nn.ReLU)
            kind = intrinsic.ConvReLU2d if relu else functional.Conv2d
            replaced[first] = kind(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,
                conv.stride,
                conv.padding,
                conv.dilation,
                conv.groups,
            )
            replaced |= {path: nn.Identity() for path in rest}
        for path, module in model.named_modules():
            if isinstance(module, nn.Linear):
                replaced[path] = functional.Linear(module.in_features, module.out_features)
            elif type(module) is Quantize:
                replaced[path] = functional.Quantize(torch.tensor([1.0]), torch.tensor([0]), quantized_type("quint8"))
            elif type(module) is Dequantize:
                replaced[path] = functional.DeQuantize()
            elif type(module) is Arithmetic:
                replaced[path] = functional.QFunctional()
            elif type(module) is nn.Hardswish:
                replaced[path] = functional.Hardswish(1.0, 0)
        _swap(model, replaced)
    model.engine = engine  # type: ignore[assignment]
    return model.eval()
