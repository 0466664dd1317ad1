"""Optimization of models for inference: batch norm is folded into convolutions, layers for training are removed,
weights are stored in the processor's preferred layout; optionally with half precision or an engine.

The layers to fold are not guessed from names or the order of definition. The model runs once on an example while every
tensor operation is recorded; a batch norm is folded if each output of one convolution is used by it and nowhere else.
The outputs are then compared with the original ones, and changes are undone if they differ.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from zoo import registry
from zoo.errors import EngineError, InvalidArgument
from zoo.running import clock
from zoo.running.comparing import compared, difference
from zoo.running.editing import Edits
from zoo.running.engines import EngineModule
from zoo.running.packing import CHANNELS_LAST, activation_of, is_packed, layouts
from zoo.running.precision import Casting, check_dtype, name_of, note_of, parts_of, read_dtype
from zoo.running.standing import Autocast
from zoo.running.tasks import example_of
from zoo.running.trials import PAYS, Trial
from zoo.running.watching import NORMS, TRAINING_ONLY, Watch as _Watch, is_exactly

M = TypeVar("M", bound=nn.Module)

FOLDED = "folded"  # the first step


@dataclass(frozen=True)
class OptimizationReport:
    """The report of :func:`optimize`, in ``model.optimization_report``.

    Attributes:
        folded: path of each removed batch norm → path of the layer that includes it.
        kept: path of each remaining batch norm → the reason.
        dropped: paths of removed dropouts, stochastic depths and auxiliary heads.
        channels_last: whether the weights of 2-d convolutions are in that memory format.
        notes: sentences about what could not be done.
        ran: False if the model did not run on the default example, so that nothing was tried.
        engine: name of the engine that computes the model.
        dtype: the dtype that it computes in, e.g. ``"bfloat16"``; empty for the model's own precision.
        packed: number of layers with weights in oneDNN's layout.
        fused: path of each removed activation → path of the layer that includes it.
        milliseconds: times on the example, each the minimum of a few alternating runs: ``"plain"``, the original model,
            and the variants that were tried.
        taken: the key of ``milliseconds`` of the returned model.
        off: difference of the outputs for the example, in standard deviations: the largest, or for half precision the
            root mean square.
    """

    folded: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    channels_last: bool = False
    notes: tuple[str, ...] = ()
    ran: bool = True
    engine: str = "torch"
    dtype: str = ""
    packed: int = 0
    fused: Mapping[str, str] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    taken: str = "plain"
    off: float = 0.0


def optimize(
    model: M,
    example: Any = None,
    *,
    dtype: str | torch.dtype | None = None,
    engine: str = "torch",
    channels_last: bool | None = None,
    inplace: bool = False,
    measure: bool = True,
) -> M:
    """A copy of ``model`` for inference: faster, with the same outputs within 1e-4 of their standard deviation.

    - Batch norm (frozen too) is folded into the convolution or linear layer before it.
    - Dropout, stochastic depth and unused auxiliary heads are removed.
    - Weights of 2-d convolutions are stored channels-last, and large ones, on a CPU, also in oneDNN's layout; images
        may have either memory format.
    - On a CPU, an activation is computed with the convolution or linear layer before it.

    Changes that make the example slower in a measurement are undone. The copy is in eval mode without gradients, which
    cannot be reverted, and weight files no longer fit it. Modules keep their paths: removed ones are replaced by
    ``nn.Identity``. ``model`` is not changed and shares no memory with the copy. The changes are in its
    ``optimization_report``: if a model cannot be improved, an equal copy is returned, and the report says why.

    With ``dtype`` the model, or its ``compute_parts``, computes in half precision: inputs are cast, outputs converted
    back. If it cannot be cast, it runs under autocast. With ``engine`` it is computed by a program, built for the
    shapes of the inputs. Both have the inputs and outputs of ``model``, in single precision. An error is raised unless
    the outputs for the example agree: within 1e-4 in single precision, and for half precision with a root mean squared
    difference within 0.1 (bfloat16) or 0.02 (float16) of the standard deviation.

    Outputs may be discontinuous, as a detector's are: it finds one more object as soon as a score is just above the
    threshold. Such a model has a method ``comparable(*example)``, which returns intermediate outputs to compare.

    Args:
        model: any module, on any device, in single, half or double precision.
        example: a tensor or a tuple of arguments to try the model on. It must use every layer in the same way as later
            inputs, since only the recorded uses are considered. By default the example of the model's task, or an image
            of random noise if the task is not known.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"``; by default the model's own precision.
        engine: ``"torch"``, ``"compile"``, ``"onnxruntime"``, ``"openvino"``, or another that a plugin brings.
        channels_last: by default if there are several 2-d convolutions, on the CPU, or on CUDA in half precision.
        inplace: change ``model`` itself and return it, which saves the memory of a copy. With an engine, the result is
            another module, or ``model`` with replaced parts.
        measure: whether to find changes without benefit by measurement, which takes at most a few seconds or a few
            runs.

    Raises:
        InvalidArgument: ``model`` is not a module, or cannot be copied; there is no such engine or precision.
            Exceptions of ``model`` for a given ``example`` are passed on; if the default example does not fit, the
            report explains it.
        MissingPlugin: a module that the engine needs is not installed; the message says what to install.
        EngineError: outputs of the engine, or in half precision, differ by more; the message has both numbers.

    >>> fast = zoo.optimize(zoo.get_model("resnet50", weights="DEFAULT"))
    >>> len(fast.optimization_report.folded)
    53
    """
    if not isinstance(model, nn.Module):
        raise InvalidArgument(f"optimize takes a torch.nn.Module, not {type(model).__name__}.")
    precision = read_dtype(dtype)
    if precision is next((p.dtype for p in model.parameters() if p.is_floating_point()), None):
        precision = None
    check_request(engine, precision, device_of(model))
    fast = (model if inplace else copied(model)).eval().requires_grad_(False)
    if engine == "torch":
        made, report = _optimize(fast, example, channels_last, precision, measure)
    else:
        made, report = _by_engine(fast, example, engine, precision, measure)
    made.optimization_report = report  # type: ignore[assignment]
    return made  # type: ignore[return-value]


def check_request(engine: str, dtype: torch.dtype | None, device: torch.device) -> None:
    """Raise errors that can be detected without the model.

    Raises:
        InvalidArgument: there is no such engine, or float16 is slow on this CPU.
        MissingPlugin: a module that the engine needs is not installed.
    """
    registry.usable_engine(engine)
    if engine == "compile":
        from zoo.running.compiling import check_compiler

        check_compiler(device)
    check_dtype(dtype, device)


def device_of(model: nn.Module) -> torch.device:
    """The device of its first parameter or buffer, or the CPU."""
    return next((t.device for of in (model.parameters(), model.buffers()) for t in of), torch.device("cpu"))


def copied(model: M) -> M:
    """A copy of ``model`` that shares no memory with it.

    Raises:
        InvalidArgument: it contains an object that cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as e:  # copying runs code of the model's classes
        raise InvalidArgument(
            f"{type(model).__name__} cannot be copied ({type(e).__name__}: {e}). inplace=True changes the model itself."
        ) from e


def arguments_of(model: nn.Module, example: Any) -> tuple[Any, ...]:
    """The example for a model, as :func:`optimize` takes it."""
    if example is None:
        placed_: tuple[Any, ...] = placed(model, example_of(model))
        return placed_
    return example if isinstance(example, tuple) else (example,)


def _optimize(
    model: nn.Module, example: Any, channels_last: bool | None, dtype: torch.dtype | None, measure: bool
) -> tuple[nn.Module, OptimizationReport]:
    channels_last = _prefers_channels_last(model, dtype) if channels_last is None else channels_last
    norms = [path for path, m in model.named_modules() if is_exactly(m, NORMS)]
    heads = [m for path, m in model.named_modules() if path.rpartition(".")[2].lower().startswith("aux")]
    heads = [m for m in heads if any(True for _ in m.parameters())]
    linear = any(is_exactly(m, (nn.Linear,)) for m in model.modules())
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        return model, OptimizationReport(
            notes=("Nothing was done: the model is on the meta device and has no values.",)
        )
    if not (norms or heads or channels_last or linear or dtype):
        return model, OptimizationReport(notes=("There is no batch norm, and no memory format would be faster.",))
    try:
        inputs = arguments_of(model, example)
        watch = _Watch(model)
        expected = watch.run(inputs)
        if hasattr(model, "comparable"):
            expected = compared(model, inputs)
    except Exception as e:  # a model's code may raise any exception
        if example is not None or dtype is not None:
            raise
        reason = "the model did not run on the default example"
        return model, OptimizationReport(
            kept=dict.fromkeys(norms, reason),
            notes=(f"Nothing was done: {reason}. Give one. {type(e).__name__}: {e}",),
            ran=False,
        )

    folding, alone = Edits(model), watch.alone()
    path = {m: path for path, m in model.named_modules()}
    foldable, others = watch.sort_norms()
    folded = {path[norm]: path[layer] for norm, layer in foldable.items()}
    for norm, layer in foldable.items():
        folding.fold(norm, layer)
    dropped = [m for m in path if is_exactly(m, TRAINING_ONLY) and watch.calls[m]]
    for m in dropped:
        folding.replace(m, nn.Identity())
    unused = [m for m in heads if not watch.uses(m)]
    for m in reversed(unused):  # the inner modules first
        folding.replace(m, None)  # models check whether they have auxiliary heads

    trial = Trial(model, inputs, expected)
    trial.add(FOLDED, folding)
    if dtype is not None:
        trial.agree()  # the folded model is compared in full precision
        trial.dtype = dtype
        trial.add(name_of(dtype), Casting(model, dtype))
    activations = watch.activations(foldable)
    for name, step in layouts(model, watch, alone, activations, channels_last).items():
        trial.add(name, step)
    made, least, device = model, name_of(dtype) if dtype else None, device_of(model)
    if problem := trial.agree(least):
        if dtype is None:
            trial.notes.append(f"All changes were undone: {problem}.")
        else:
            made = _autocast(trial, dtype, device, problem)
    elif measure and trial.steps:
        trial.choose(device, least)
    left = set(model.modules())
    gone = FOLDED in trial.steps or not folding
    reason = "it is not faster" if trial.times else "outputs would differ"
    kept = {path[norm]: why for norm, why in others.items() if norm in left}
    return made, OptimizationReport(
        folded if gone else {},
        kept if gone else dict.fromkeys(norms, reason),
        tuple(path[m] for m in (*dropped, *unused)) if gone else (),
        CHANNELS_LAST in trial.steps,
        tuple(trial.notes) + tuple(filter(None, [note_of(dtype, device)])),
        dtype=least or "",
        packed=sum(map(is_packed, left)),
        fused={path[act]: where for where, m in model.named_modules() if (act := activation_of(m))},
        milliseconds=trial.times,
        taken=trial.taken,
        off=trial.off,
    )


def _autocast(trial: Trial, dtype: torch.dtype, device: torch.device, problem: str) -> nn.Module:
    """The model under autocast, which keeps some operations in single precision, for a model that cannot be cast.

    Raises:
        EngineError: this is not within the tolerance either.
    """
    model, name = trial.model, name_of(dtype)
    trial.take_back(name)
    made, wrapping = _replaced(model, lambda part: Autocast(part, dtype, device.type))
    again, trial.off = difference(made, trial.inputs, trial.expected, dtype)
    if again:
        wrapping.undo()
        for step in list(trial.steps):
            trial.take_back(step)
        raise EngineError(
            f"{type(model).__name__} cannot be computed in {name}: {again} (under autocast; without it, {problem})."
        )
    trial.notes.append(f"It runs under autocast, since when cast {problem}.")
    trial.steps["autocast"] = wrapping
    return made


def _replaced(model: nn.Module, make: Callable[[nn.Module], nn.Module]) -> tuple[nn.Module, Edits]:
    """The model with its compute parts, or all of it, replaced."""
    edits = Edits(model)
    for path, part in parts_of(model):
        if not path:
            return make(part), edits
        edits.replace(part, make(part))
    return model, edits


def _by_engine(
    model: nn.Module, example: Any, engine: str, dtype: torch.dtype | None, measure: bool
) -> tuple[nn.Module, OptimizationReport]:
    """The model computed by an engine.

    Raises:
        EngineError: the engine fails, or its outputs are not within the tolerance.
    """
    inputs = arguments_of(model, example)
    expected, device = compared(model, inputs), device_of(model)
    made, edits = _replaced(model, lambda part: EngineModule(part, engine, dtype))
    try:
        compared(made, inputs)  # errors after this are the engine's
        problem, off = difference(made, inputs, expected, dtype)
        if problem:
            in_ = f" in {name_of(dtype)}" if dtype else ""
            raise EngineError(f"{type(model).__name__} has other outputs with the engine {engine!r}{in_}: {problem}.")
    except BaseException:
        edits.undo()
        raise
    times, notes = {}, list(filter(None, [note_of(dtype, device)]))
    if measure:
        times = _against(model, made, edits, inputs, engine, device)
        if times[engine] > PAYS * times["plain"]:
            notes.append(
                f"{engine} is slower than PyTorch here: {times[engine]:.1f} ms against {times['plain']:.1f} ms."
            )
    return made, OptimizationReport(
        notes=tuple(notes),
        engine=engine,
        dtype=name_of(dtype) if dtype else "",
        milliseconds=times,
        taken=engine,
        off=off,
    )


def _against(
    model: nn.Module, made: nn.Module, edits: Edits, inputs: tuple[Any, ...], engine: str, device: torch.device
) -> dict[str, float]:
    """Milliseconds of a model without and with an engine."""

    def plain() -> None:
        edits.undo()
        with torch.inference_mode():
            model(*inputs)
        edits.redo()

    def other() -> None:
        with torch.inference_mode():
            made(*inputs)

    seconds = clock.in_turns([plain, other], device, pause=0.1)
    return {"plain": 1000 * seconds[0], engine: 1000 * seconds[1]}


def placed(model: nn.Module, example: Any) -> Any:
    """An example on the model's device and, if it is floating point, in its precision."""
    first = next(model.parameters(), torch.empty(0))
    return tree_map_only(Tensor, lambda t: t.to(first) if t.is_floating_point() else t.to(first.device), example)


def _prefers_channels_last(model: nn.Module, dtype: torch.dtype | None) -> bool:
    """The rule from measurements on CPUs, see docs/benchmarks.md. A transformer's single convolution has no benefit."""
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if len(convs) < 2:
        return False
    weight = convs[0].weight
    half = (dtype or weight.dtype) in (torch.half, torch.bfloat16)
    return weight.device.type == "cpu" or (weight.device.type == "cuda" and half)
