"""Finds which layer reads which tensors: a model runs once on an example while every tensor operation is recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.nn import DropBlock2d, DropBlock3d, FrozenBatchNorm2d, StochasticDepth

LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, FrozenBatchNorm2d)
TRAINING_ONLY = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
    StochasticDepth, DropBlock2d, DropBlock3d,
)  # fmt: skip
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Hardsigmoid, nn.Tanh, nn.GELU,
)  # fmt: skip


def is_exactly(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether ``module`` computes the same as one of the classes: a subclass may use the weights differently."""
    return not is_parametrized(module) and any(
        isinstance(module, kind)
        and all(getattr(type(module), f, None) is getattr(kind, f, None) for f in ("forward", "_conv_forward"))
        for kind in kinds
    )


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records, while a model runs, which module reads which output of the linear layers and batch norms."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler, which takes seconds, to exclude this class from it

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.calls: Counter[nn.Module] = Counter()
        self.outputs: defaultdict[nn.Module, list[Tensor]] = defaultdict(list)  # kept, so that their ids stay unique
        self.readers: defaultdict[int, set[nn.Module | None]] = defaultdict(
            set
        )  # by id of tensor; None is any other code
        self.early: dict[int, set[nn.Module | None]] = {}  # readers of a tensor until an activation overwrites it
        self.running: nn.Module | None = None
        self.shapes: defaultdict[nn.Module, set[torch.Size]] = defaultdict(set)  # of its inputs

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
        if inputs and isinstance(inputs[0], Tensor):
            self.shapes[module].add(inputs[0].shape)

    def leave(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.running = None
        if is_exactly(module, (*LINEAR, *NORMS)):
            self.outputs[module].append(output)
            self.readers[id(output)] = set()  # forget the readers of an earlier tensor with this id
            self.early.pop(id(output), None)
        elif is_exactly(module, ACTIVATIONS) and output is inputs[0]:
            self.early.setdefault(id(output), set(self.readers[id(output)]))

    @torch.no_grad()
    def run(self, inputs: tuple[Any, ...]) -> Any:
        """Run the model on ``inputs`` and return its outputs."""
        # Modules with hooks are not changed: the hooks may compute the weights (weight_norm), or read the output.
        hooked = {m for m in self.model.modules() if m._forward_hooks or m._forward_pre_hooks}
        handles = []
        for m in self.model.modules():
            if is_exactly(m, (*LINEAR, *NORMS, *TRAINING_ONLY, *ACTIVATIONS)) and m not in hooked:
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
        """Batch norms that can be folded → the layer; and the others → the reason."""
        sources = defaultdict(list)
        for layer, outputs in self.outputs.items():
            if not is_exactly(layer, LINEAR):
                continue
            for reader in {reader for t in outputs for reader in self.readers[id(t)]}:
                sources[reader].append(layer)
        folded, kept = {}, {}
        for norm in [m for m in self.model.modules() if is_exactly(m, NORMS)]:
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
        """Why ``norm``, which reads an output of ``layer``, cannot be folded into it."""
        outputs = self.outputs[layer]
        # It has as many calls as outputs, all of which it reads: so it reads nothing else.
        if self.calls[norm] != len(outputs) or any(self.readers[id(t)] != {norm} for t in outputs):
            return "its input is used elsewhere too, or it has other inputs"
        for m in (layer, norm):
            if any(self.readers[id(t)] - {m} for t in (*m.parameters(False), *m.buffers(False))):
                return "its tensors, or those of the layer before it, are used elsewhere too"
        if norm.training or norm.running_mean is None:
            return "it computes the statistics of each batch"
        if any(t.dim() != layer.weight.dim() or t.shape[1] != len(norm.running_mean) for t in outputs):
            return "its channels differ from those of the layer before it"
        return None

    def activations(self, folded: Mapping[nn.Module, nn.Module]) -> dict[nn.Module, nn.Module]:
        """Layers → the activation that reads each of their outputs, and nothing else, before any other code does.

        Args:
            folded: batch norms → the layers that they are folded into.
        """
        found = {}
        for source, outputs in self.outputs.items():
            readers = [self.early.get(id(t), self.readers[id(t)]) for t in outputs]
            act = next(iter(readers[0])) if readers[0] else None
            if act is None or not is_exactly(act, ACTIVATIONS):
                continue
            if any(those != {act} for those in readers) or self.calls[act] != len(outputs):
                continue
            layer = folded.get(source, source)
            if is_exactly(layer, LINEAR):
                found[layer] = act
        return found

    def alone(self) -> set[nn.Module]:
        """The linear layers that ran and whose tensors were not read otherwise."""

        def shares(m: nn.Module) -> bool:
            return any(self.readers[id(t)] - {m} for t in m.parameters(False))

        return {m for m in self.model.modules() if self.calls[m] and is_exactly(m, LINEAR) and not shares(m)}
