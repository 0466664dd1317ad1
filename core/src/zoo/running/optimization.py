"""A model made faster for inference: batch norm folded into convolutions, what only training needs dropped.

What may be folded is not guessed from names or from the order of definition. The model runs once on an example while
every tensor operation is watched; a batch norm is folded where each output of one convolution went into it and nowhere
else. The result is then compared with the model's own outputs, and taken back if they differ.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only

from zoo.errors import InvalidArgument
from zoo.nn import DropBlock2d, DropBlock3d, FrozenBatchNorm2d, StochasticDepth
from zoo.running.tasks import example_of

M = TypeVar("M", bound=nn.Module)

TOLERANCE = 1e-4  # of the outputs' standard deviation
LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, FrozenBatchNorm2d)
TRAINING_ONLY = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
    StochasticDepth, DropBlock2d, DropBlock3d,
)  # fmt: skip


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
    """

    folded: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    channels_last: bool = False
    notes: tuple[str, ...] = ()
    ran: bool = True


def _is(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether ``module`` computes just what one of the classes does: a subclass may use the same weights otherwise."""
    return not is_parametrized(module) and any(
        isinstance(module, kind)
        and all(getattr(type(module), f, None) is getattr(kind, f, None) for f in ("forward", "_conv_forward"))
        for kind in kinds
    )


def optimize(model: M, example: Any = None, *, channels_last: bool | None = None, inplace: bool = False) -> M:
    """A copy of ``model`` for inference: faster, with the same outputs within 1e-4 of their standard deviation.

    - Batch norm (frozen too) is folded into the convolution or linear layer before it.
    - Dropout, stochastic depth and unused auxiliary heads are taken out.
    - Weights of 2-d convolutions are stored channels-last where that is faster; images may come in either format.

    The copy is in eval mode and asks for no gradients, which cannot be changed back, and files of weights no longer
    fit it. Modules keep their paths: ``nn.Identity`` stands where one was taken out. ``model`` is untouched and shares
    no memory with the copy. What was done is in its ``optimization_report``: a model of which nothing can be improved
    comes back as an equal copy, and the report says why.

    Outputs may jump however little changes, as those of a detector do, which finds one object more when a score is a
    hair above the threshold. Such a model has a method ``comparable(*example)``, which returns what its outputs are
    made of; that is compared then.

    Args:
        model: any module, on any device, in single, half or double precision.
        example: what to try it on, a tensor or a tuple of arguments. It must go through every layer as later inputs
            will: a layer used in another way for other inputs goes unseen. By default the example of the task that
            the model was published for, or an image of noise where that is not known.
        channels_last: by default where there are several 2-d convolutions, on the CPU, or on CUDA in half precision.
        inplace: change ``model`` itself and return it, which saves the memory of a copy.

    Raises:
        InvalidArgument: ``model`` is no module, or cannot be copied. What ``model`` raises for a given ``example``
            is passed on; where the default one does not suit it, the report says so.

    >>> fast = zoo.optimize(zoo.get_model("resnet50", weights="DEFAULT"))
    >>> len(fast.optimization_report.folded)
    53
    """
    if not isinstance(model, nn.Module):
        raise InvalidArgument(f"optimize takes a torch.nn.Module, not {type(model).__name__}.")
    fast = (model if inplace else copied(model)).eval().requires_grad_(False)
    fast.optimization_report = _optimize(fast, example, channels_last)  # type: ignore[assignment]
    return fast


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


def _optimize(model: nn.Module, example: Any, channels_last: bool | None) -> OptimizationReport:
    channels_last = _prefers_channels_last(model) if channels_last is None else channels_last
    norms = [path for path, m in model.named_modules() if _is(m, NORMS)]
    heads = [m for path, m in model.named_modules() if path.rpartition(".")[2].lower().startswith("aux")]
    heads = [m for m in heads if any(True for _ in m.parameters())]
    if not (norms or heads or channels_last):
        return OptimizationReport(notes=("There is no batch norm, and no memory format would be faster.",))
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        return OptimizationReport(notes=("Nothing was done: the model is on the meta device and has no numbers.",))
    try:
        inputs = (
            placed(model, example_of(model))
            if example is None
            else example
            if isinstance(example, tuple)
            else (example,)
        )
        watch = _Watch(model)
        expected = watch.run(inputs)
        if hasattr(model, "comparable"):
            expected = _comparable(model, inputs)
    except Exception as e:  # a model's own code can raise anything
        if example is not None:
            raise
        reason = "the model did not run on the default example"
        return OptimizationReport(
            kept=dict.fromkeys(norms, reason),
            notes=(f"Nothing was done: {reason}. Give one. {type(e).__name__}: {e}",),
            ran=False,
        )

    edits = _Edits(model)
    path = {m: path for path, m in model.named_modules()}
    foldable, others = watch.sort_norms()
    folded = {path[norm]: path[layer] for norm, layer in foldable.items()}
    for norm, layer in foldable.items():
        edits.fold(norm, layer)
    dropped = [m for m in path if _is(m, TRAINING_ONLY) and watch.calls[m]]
    for m in dropped:
        edits.replace(m, nn.Identity())
    unused = [m for m in heads if not watch.uses(m)]
    for m in reversed(unused):  # the inner ones first
        edits.replace(m, None)  # models ask whether they have auxiliary heads

    notes = []
    if channels_last:
        _set_format(model, torch.channels_last)
        if problem := _difference(model, inputs, expected):
            notes.append(f"Not channels-last: {problem}.")
            channels_last = False
            _set_format(model, torch.contiguous_format)
    if not channels_last and (problem := _difference(model, inputs, expected)):
        edits.undo()
        reason = "outputs would differ"
        return OptimizationReport(
            kept=dict.fromkeys(norms, reason), notes=(*notes, f"Everything was taken back: {problem}.")
        )
    left = set(model.modules())
    kept = {path[norm]: why for norm, why in others.items() if norm in left}
    return OptimizationReport(folded, kept, tuple(path[m] for m in (*dropped, *unused)), channels_last, tuple(notes))


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees, while a model runs, which module reads which output of the linear layers."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import all of its compiler, which takes seconds, to keep it off this class

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.calls: Counter[nn.Module] = Counter()
        self.outputs: defaultdict[nn.Module, list[Tensor]] = defaultdict(list)  # kept, so that their ids stay theirs
        self.readers: defaultdict[int, set[nn.Module | None]] = defaultdict(set)  # by id of tensor; None is any other
        self.running: nn.Module | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.read((args, kwargs))
        return func(*args, **(kwargs or {}))

    def read(self, values: Any) -> None:
        for t in tree_leaves(values):
            if isinstance(t, Tensor):
                self.readers[id(t)].add(self.running)

    def enter(self, module: nn.Module, inputs: Any) -> None:
        self.calls[module] += 1
        self.running = module

    def leave(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.running = None
        if _is(module, LINEAR):
            self.outputs[module].append(output)
            self.readers[id(output)] = set()  # forget what read an earlier tensor of this id

    @torch.no_grad()
    def run(self, inputs: tuple[Any, ...]) -> Any:
        """What the model returns for ``inputs``."""
        # Modules with hooks are left alone: the hooks may compute the weights (weight_norm), or want to see the output.
        hooked = {m for m in self.model.modules() if m._forward_hooks or m._forward_pre_hooks}
        handles = []
        for m in self.model.modules():
            if _is(m, (*LINEAR, *NORMS, *TRAINING_ONLY)) and m not in hooked:
                handles += [m.register_forward_pre_hook(self.enter), m.register_forward_hook(self.leave)]
        try:
            with self:
                returned = self.model(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        self.read(returned)
        return returned

    def uses(self, module: nn.Module) -> bool:
        """Whether the run read any of the module's tensors."""
        return any(self.readers[id(t)] for t in (*module.parameters(), *module.buffers()))

    def sort_norms(self) -> tuple[dict[nn.Module, nn.Module], dict[nn.Module, str]]:
        """Batch norms that can be folded → into which layer; and the others → why not."""
        sources = defaultdict(list)
        for layer, outputs in self.outputs.items():
            for reader in {reader for t in outputs for reader in self.readers[id(t)]}:
                sources[reader].append(layer)
        folded, kept = {}, {}
        for norm in [m for m in self.model.modules() if _is(m, NORMS)]:
            if not self.calls[norm]:
                kept[norm] = "the example does not reach it, or it has hooks"
            elif len(sources[norm]) != 1:
                kept[norm] = (
                    "it follows several layers" if sources[norm] else "it follows no convolution or linear layer"
                )
            elif problem := self.obstacle(sources[norm][0], norm):
                kept[norm] = problem
            else:
                folded[norm] = sources[norm][0]
        return folded, kept

    def obstacle(self, layer: Any, norm: Any) -> str | None:
        """Why ``norm`` cannot be folded into ``layer``, some output of which it reads."""
        outputs = self.outputs[layer]
        # As many calls as outputs, each of which it reads: so it reads nothing else.
        if self.calls[norm] != len(outputs) or any(self.readers[id(t)] != {norm} for t in outputs):
            return "what comes before it is used elsewhere too, or something else goes into it"
        for m in (layer, norm):
            if any(self.readers[id(t)] - {m} for t in (*m.parameters(False), *m.buffers(False))):
                return "its tensors, or those of the layer before it, are used elsewhere too"
        if norm.training or norm.running_mean is None:
            return "it computes the statistics of each batch"
        if any(t.dim() != layer.weight.dim() or t.shape[1] != len(norm.running_mean) for t in outputs):
            return "its channels are not those of the layer before it"
        return None


class _Edits:
    """Changes of a model that can be undone."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.paths = defaultdict(list)  # a module may be in several places
        for path, m in model.named_modules(remove_duplicate=False):
            self.paths[m].append(path)
        self.done: list[tuple[nn.Module, str, Any]] = []

    def set(self, owner: nn.Module, name: str, new: Any) -> None:
        self.done.append((owner, name, getattr(owner, name)))
        setattr(owner, name, new)

    def replace(self, module: nn.Module, new: nn.Module | None) -> None:
        for path in filter(None, self.paths[module]):
            parent, _, name = path.rpartition(".")
            self.set(self.model.get_submodule(parent), name, new)

    @torch.no_grad()
    def fold(self, norm: Any, layer: Any) -> None:
        """Put the batch norm's scale and shift into the layer before it."""
        dtype = torch.promote_types(layer.weight.dtype, torch.float32)
        mean, var = norm.running_mean.to(dtype), norm.running_var.to(dtype)
        scale = (var + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = -mean if layer.bias is None else layer.bias - mean
        bias = shift * scale if norm.bias is None else shift * scale + norm.bias
        per_channel = scale.view(-1, *[1] * (layer.weight.dim() - 1))
        for name, value in (("weight", layer.weight * per_channel), ("bias", bias)):
            self.set(layer, name, nn.Parameter(value.to(layer.weight.dtype), requires_grad=False))
        self.replace(norm, nn.Identity())

    def undo(self) -> None:
        for owner, name, old in reversed(self.done):
            setattr(owner, name, old)


def placed(model: nn.Module, example: Any) -> Any:
    """An example on the model's device and, where it is of floats, in its precision."""
    first = next(model.parameters(), torch.empty(0))
    return tree_map_only(Tensor, lambda t: t.to(first) if t.is_floating_point() else t.to(first.device), example)


def _prefers_channels_last(model: nn.Module) -> bool:
    """What was measured on CPUs: see docs/benchmarks.md. A transformer's one convolution gains nothing."""
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if len(convs) < 2:
        return False
    weight = convs[0].weight
    return weight.device.type == "cpu" or (
        weight.device.type == "cuda" and weight.dtype in (torch.half, torch.bfloat16)
    )


def _set_format(model: nn.Module, memory_format: torch.memory_format) -> None:
    for m in model.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            m.weight.data = m.weight.data.contiguous(memory_format=memory_format)


@torch.no_grad()
def _comparable(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """What the model returns; or, where that jumps, what its ``comparable`` does."""
    return getattr(model, "comparable", model)(*inputs)


@torch.no_grad()
def _difference(model: nn.Module, inputs: tuple[Any, ...], expected: Any) -> str | None:
    """How what the model returns differs from ``expected``; None where it does not."""
    try:
        got, structure = tree_flatten(_comparable(model, inputs))
        want, expected_structure = tree_flatten(expected)
    except Exception as e:  # noqa: BLE001  a model's own code can raise anything
        return f"the model fails with {type(e).__name__}: {e}"
    if structure != expected_structure:
        return "the outputs have another structure"
    for a, b in zip(got, want, strict=True):
        if not isinstance(b, Tensor):
            if not isinstance(b, int | float | str | None):
                return f"the outputs have a {type(b).__name__} among them, which cannot be compared"
            if a != b:
                return f"an output is {a!r} and was {b!r}"
        elif a.shape != b.shape or a.dtype != b.dtype:
            return f"an output is {a.dtype} {list(a.shape)} and was {b.dtype} {list(b.shape)}"
        elif b.numel() and not (off := _distance(a, b)) <= (limit := _tolerance(b)):
            return f"an output would be off by {off:.1e} of its spread, and {limit:.1e} is allowed"
    return None


def _distance(a: Tensor, b: Tensor) -> float:
    """The largest difference, in standard deviations of ``b``."""
    return (a.double() - b.double()).abs().max().item() / _spread(b)


def _spread(values: Tensor) -> float:
    values = values.double()
    return values.std(correction=0).item() or values.abs().max().item() or 1.0


def _tolerance(output: Tensor) -> float:
    """``TOLERANCE``, or what the arithmetic itself leaves uncertain where that is more."""
    if not output.is_floating_point():
        return 0.0
    # GPUs compute convolutions of float32 with 10 bits (TF32) unless told otherwise.
    eps = torch.finfo(output.dtype).eps if output.device.type == "cpu" else max(torch.finfo(output.dtype).eps, 2**-10)
    magnitude = output.abs().max().item() / _spread(output)  # numbers close together, far from zero, have few digits
    return max(TOLERANCE, 32 * eps * max(1.0, magnitude))
