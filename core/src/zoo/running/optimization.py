"""A model made faster for inference: batch norm folded into convolutions, what only training needs dropped, weights
laid out as the processor reads them; in half precision, or by an engine, where that is asked for.

What may be folded is not guessed from names or from the order of definition. The model runs once on an example while
every tensor operation is watched; a batch norm is folded where each output of one convolution went into it and nowhere
else. The result is then compared with the model's own outputs, and taken back if they differ.
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
from zoo.running.packing import can_pack, is_packed, packed
from zoo.running.precision import Casting, check_dtype, name_of, note_of, parts_of, read_dtype
from zoo.running.standing import Autocast
from zoo.running.tasks import example_of
from zoo.running.trials import PAYS, Trial
from zoo.running.watching import NORMS, TRAINING_ONLY, Watch as _Watch, is_exactly

M = TypeVar("M", bound=nn.Module)

FOLDED, CHANNELS_LAST = "folded", "channels-last"  # steps


@dataclass(frozen=True)
class OptimizationReport:
    """What :func:`optimize` did, as ``model.optimization_report``.

    Attributes:
        folded: path of each batch norm that is gone → path of the layer that does its work now.
        kept: path of each batch norm that is left → why.
        dropped: paths of dropouts, stochastic depths and auxiliary heads that are gone.
        channels_last: whether the weights of 2-d convolutions are in that memory format.
        notes: what could not be done, in sentences.
        ran: False where the model did not run on the default example, so that nothing could be tried.
        engine: what computes the model.
        dtype: what it computes in, as ``"bfloat16"``; empty for the model's own precision.
        packed: how many layers have weights in the order in which the CPU's library reads them.
        milliseconds: what was measured on the example, each the least of a few runs that took turns: ``"plain"``, the
            model as it was, and what was tried.
        taken: the key of ``milliseconds`` that is the model's now.
        off: by how much the outputs for the example differ, in their standard deviations: the largest difference, or
            of half precision the root of the mean square.
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
    - Dropout, stochastic depth and unused auxiliary heads are taken out.
    - Weights of 2-d convolutions are stored channels-last, and large ones, on a CPU, also in the order in which oneDNN
      reads them; images may come in either format.

    What makes the example slower, by the clock, is taken back. The copy is in eval mode and asks for no gradients,
    which cannot be changed back, and files of weights no longer fit it. Modules keep their paths: ``nn.Identity``
    stands where one was taken out. ``model`` is untouched and shares no memory with the copy. What was done is in its
    ``optimization_report``: a model of which nothing can be improved comes back as an equal copy, and the report says
    why.

    With ``dtype`` the model, or its ``compute_parts``, computes in half precision: what goes in is cast, what comes out
    is widened. Where it cannot be cast as it is, it runs under autocast. With ``engine`` a program computes it, built
    for the shapes that come. Either takes and returns what ``model`` does, single precision in and out; agrees on the
    example, or is refused: within 1e-4 in single precision, and of half precision the root of the mean squared
    difference within 0.1 (bfloat16) or 0.02 (float16) of the standard deviation.

    Outputs may jump however little changes, as those of a detector do, which finds one object more when a score is a
    hair above the threshold. Such a model has a method ``comparable(*example)``, which returns what its outputs are
    made of; that is compared then.

    Args:
        model: any module, on any device, in single, half or double precision.
        example: what to try it on, a tensor or a tuple of arguments. It must go through every layer as later inputs
            will: a layer used in another way for other inputs goes unseen. By default the example of the task that
            the model was published for, or an image of noise where that is not known.
        dtype: ``"bfloat16"``, ``"float16"`` or ``"float32"``; by default the model's own precision.
        engine: ``"torch"``, ``"compile"``, ``"onnxruntime"``, ``"openvino"``, or another that a plugin brings.
        channels_last: by default where there are several 2-d convolutions, on the CPU, or on CUDA in half precision.
        inplace: change ``model`` itself and return it, which saves the memory of a copy. By an engine, what comes back
            is another module, or ``model`` with others in place of its parts.
        measure: whether what does not pay is found by the clock, which takes a few seconds at most, or a few runs.

    Raises:
        InvalidArgument: ``model`` is no module, or cannot be copied; there is no such engine or precision. What
            ``model`` raises for a given ``example`` is passed on; where the default one does not suit it, the report
            says so.
        MissingPlugin: what the engine needs is not installed; the message says what to install.
        EngineError: outputs by the engine, or in half precision, differ by more; the message has both figures.

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
    """Raise what can be known without the model.

    Raises:
        InvalidArgument: no such engine; float16 on a CPU that is slow at it.
        MissingPlugin: what the engine needs is not installed.
    """
    registry.usable_engine(engine)
    if engine == "compile":
        from zoo.running.compiling import check_compiler

        check_compiler(device)
    check_dtype(dtype, device)


def device_of(model: nn.Module) -> torch.device:
    """Of its first parameter or buffer, or the CPU."""
    return next((t.device for of in (model.parameters(), model.buffers()) for t in of), torch.device("cpu"))


def copied(model: M) -> M:
    """A copy of ``model`` that shares no memory with it.

    Raises:
        InvalidArgument: it holds something that cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as e:  # copying runs code of the model's classes
        raise InvalidArgument(
            f"{type(model).__name__} cannot be copied ({type(e).__name__}: {e}). inplace=True changes the model itself."
        ) from e


def arguments_of(model: nn.Module, example: Any) -> tuple[Any, ...]:
    """What to try a model on, as :func:`optimize` takes it."""
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
            notes=("Nothing was done: the model is on the meta device and has no numbers.",)
        )
    if not (norms or heads or channels_last or linear or dtype):
        return model, OptimizationReport(notes=("There is no batch norm, and no memory format would be faster.",))
    try:
        inputs = arguments_of(model, example)
        watch = _Watch(model)
        expected = watch.run(inputs)
        if hasattr(model, "comparable"):
            expected = compared(model, inputs)
    except Exception as e:  # a model's own code can raise anything
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
    for m in reversed(unused):  # the inner ones first
        folding.replace(m, None)  # models ask whether they have auxiliary heads

    trial = Trial(model, inputs, expected)
    trial.add(FOLDED, folding)
    if dtype is not None:
        trial.agree()  # what is folded is compared in full precision
        trial.dtype = dtype
        trial.add(name_of(dtype), Casting(model, dtype))
    for name, step in _layouts(model, watch, alone, channels_last).items():
        trial.add(name, step)
    made, least, device = model, name_of(dtype) if dtype else None, device_of(model)
    if problem := trial.agree(least):
        if dtype is None:
            trial.notes.append(f"Everything was taken back: {problem}.")
        else:
            made = _autocast(trial, dtype, device, problem)
    elif measure and trial.steps:
        trial.choose(device, least)
    left = set(model.modules())
    gone = FOLDED in trial.steps or not folding
    reason = "it does not pay" if trial.times else "outputs would differ"
    kept = {path[norm]: why for norm, why in others.items() if norm in left}
    return made, OptimizationReport(
        folded if gone else {},
        kept if gone else dict.fromkeys(norms, reason),
        tuple(path[m] for m in (*dropped, *unused)) if gone else (),
        CHANNELS_LAST in trial.steps,
        tuple(trial.notes) + tuple(filter(None, [note_of(dtype, device)])),
        dtype=least or "",
        packed=sum(map(is_packed, left)),
        milliseconds=trial.times,
        taken=trial.taken,
        off=trial.off,
    )


def _layouts(model: nn.Module, watch: _Watch, alone: set[nn.Module], channels_last: bool) -> dict[str, Edits]:
    """Changes of how weights lie in memory, made: what they are → the changes.

    Args:
        alone: layers whose weights nothing else reads.
        channels_last: whether convolutions are to be changed.
    """
    linear, convs = Edits(model), Edits(model)
    for m in model.modules():
        if m in alone and isinstance(m, nn.Linear) and can_pack(m, watch.shapes[m]):
            linear.replace(m, packed(m))
    for m in [m for m in model.modules() if channels_last and isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]:
        if m._parameters.get("weight") is not None:
            weight = m.weight.detach().contiguous(memory_format=torch.channels_last)
            convs.set(m, "weight", nn.Parameter(weight, requires_grad=False))
        if m in alone and can_pack(m, watch.shapes[m]):
            convs.replace(m, packed(m))
    return {"packed linear layers": linear, CHANNELS_LAST: convs}


def _autocast(trial: Trial, dtype: torch.dtype, device: torch.device, problem: str) -> nn.Module:
    """The model under autocast, which knows what needs single precision, where it cannot be cast as it is.

    Raises:
        EngineError: that is not within the tolerance either.
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
    trial.notes.append(f"Under autocast: cast as it is, {problem}.")
    trial.steps["autocast"] = wrapping
    return made


def _replaced(model: nn.Module, make: Callable[[nn.Module], nn.Module]) -> tuple[nn.Module, Edits]:
    """The model with something else in place of the parts in which it computes, or of all of it."""
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
        EngineError: the engine cannot, or its outputs are not within the tolerance.
    """
    inputs = arguments_of(model, example)
    expected, device = compared(model, inputs), device_of(model)
    made, edits = _replaced(model, lambda part: EngineModule(part, engine, dtype))
    try:
        compared(made, inputs)  # what fails now, fails for a reason of the engine's
        problem, off = difference(made, inputs, expected, dtype)
        if problem:
            in_ = f" in {name_of(dtype)}" if dtype else ""
            raise EngineError(f"{type(model).__name__} is not what it was with the engine {engine!r}{in_}: {problem}.")
    except BaseException:
        edits.undo()
        raise
    times, notes = {}, list(filter(None, [note_of(dtype, device)]))
    if measure:
        times = _against(model, made, edits, inputs, engine, device)
        if times[engine] > PAYS * times["plain"]:
            notes.append(f"{engine} is slower than PyTorch here: {times[engine]:.1f} and {times['plain']:.1f} ms.")
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
    """Milliseconds of a model without and with what an engine computes of it."""

    def plain() -> None:
        edits.undo()
        with torch.inference_mode():
            model(*inputs)
        edits.redo()

    def other() -> None:
        with torch.inference_mode():
            made(*inputs)

    seconds = clock.in_turns([plain, other], device)
    return {"plain": 1000 * seconds[0], engine: 1000 * seconds[1]}


def placed(model: nn.Module, example: Any) -> Any:
    """An example on the model's device and, where it is of floats, in its precision."""
    first = next(model.parameters(), torch.empty(0))
    return tree_map_only(Tensor, lambda t: t.to(first) if t.is_floating_point() else t.to(first.device), example)


def _prefers_channels_last(model: nn.Module, dtype: torch.dtype | None) -> bool:
    """What was measured on CPUs: see docs/benchmarks.md. A transformer's one convolution gains nothing."""
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if len(convs) < 2:
        return False
    weight = convs[0].weight
    half = (dtype or weight.dtype) in (torch.half, torch.bfloat16)
    return weight.device.type == "cpu" or (weight.device.type == "cuda" and half)
