"""Quantization-aware training: a float model rounds like its int8 form, so that training compensates for it.

As in `Quantization and Training of Neural Networks <https://arxiv.org/abs/1712.05877>`_: weights, with the following
batch norm folded in, and the outputs of each layer are rounded to 8-bit steps, and gradients pass through the rounding.
Ranges of activations are moving averages over training. The model keeps its modules' names and its parameters;
``torch.ao`` is needed only to create the int8 model for its kernels.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo.loading import rebuilt_as
from zoo_quantized import eager, reference, states
from zoo_quantized.building import to_fit
from zoo_quantized.marks import fusions
from zoo_quantized.quantizable import PRODUCERS, Quantizable, sources

Q = TypeVar("Q", bound=Quantizable)
ROUNDING = "fake_quantize"  # name of the module that rounds another module's output


class FakeQuantize(nn.Module):
    """Rounds activations to ``largest`` + 1 steps of the observed range.

    Attributes:
        low, high: ends of the range, averaged over batches; a new batch has a weight of at least 1 %.
        seen: number of batches observed.
    """

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.largest = largest
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel():
            with torch.no_grad():
                self.seen += 1
                share = (1 / self.seen).clamp(min=states.AVERAGING)
                for mean, new in ((self.low, x.amin()), (self.high, x.amax())):
                    mean.lerp_(new.float(), share)
        return self.rounded(x)

    def rounded(self, x: Tensor) -> Tensor:
        low, high = self.low.clamp(max=0), self.high.clamp(min=0)
        scale = ((high - low) / self.largest).clamp(min=states.EPS)
        zero_point = (0 - torch.round(low / scale)).clamp(0, self.largest).int()
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero_point, 0, self.largest).to(x.dtype)

    def plain(self) -> states.State:
        if not self.seen:
            return states.unsigned(torch.tensor(1.0), torch.tensor(0.0))
        return states.unsigned(self.low.cpu(), self.high.cpu(), self.largest)


class _Rounded:
    """A convolution or linear layer that rounds its weight, with the following batch norm folded in."""

    weight: Any
    # Tuples, so that they are not submodules:
    norms: tuple[nn.BatchNorm2d, ...]  # the following batch norm, if any
    before: tuple[FakeQuantize, ...]  # the module that rounded its input
    per_channel: bool

    def rounded_input(self, x: Tensor) -> Tensor:
        for rounding in self.before:
            x = rounding.rounded(x)
        return x

    def rounded(self) -> Tensor:
        weight = self.weight.float()
        column = (-1, *[1] * (weight.ndim - 1))
        factor = torch.ones(len(weight), device=weight.device)
        for norm in self.norms:
            variance: Any = norm.running_var
            factor = (norm.weight * torch.rsqrt(variance + norm.eps)).float()
            factor = torch.where(factor == 0, torch.ones_like(factor), factor)
        folded = weight * factor.reshape(column)
        scale = (self.ends(folded.detach()) / 127.5).clamp(min=states.EPS)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        made = torch.fake_quantize_per_channel_affine(folded, scale, zero, 0, -128, 127)
        return made / factor.reshape(column)

    def ends(self, folded: Tensor) -> Tensor:
        """The largest magnitude per channel."""
        largest = folded.abs().flatten(1).amax(1)
        return largest if self.per_channel else largest.amax().expand_as(largest)


class RoundedConv2d(_Rounded, nn.Conv2d):
    weight: nn.Parameter

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self._conv_forward(self.rounded_input(x), self.rounded().to(self.weight.dtype), self.bias)
        return made


class RoundedLinear(_Rounded, nn.Linear):
    weight: nn.Parameter

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.rounded_input(x), self.rounded().to(self.weight.dtype), self.bias)


ROUNDED: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: RoundedConv2d, nn.Linear: RoundedLinear}
FLOAT: dict[type[Any], type[nn.Module]] = {rounded: plain for plain, rounded in ROUNDED.items()}


def _round(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    rounding: nn.Module = module.get_submodule(ROUNDING)
    found: Tensor = rounding(output)
    return found


def prepare(model: Q) -> Q:
    """Make a float model round like its int8 form, in place. Its parameters stay the same objects.

    Args:
        model: built with ``quantize=False``; ``model.backend`` is the backend of the int8 model.

    Raises:
        InvalidArgument: the model is already quantized or prepared, or has layers that are used only in training.
    """
    if model.engine is not None or is_prepared(model):
        raise InvalidArgument("The model is already quantized; expected a float model, built with quantize=False.")
    if any(not isinstance(m, nn.Identity) and type(m).__module__.startswith("torch.ao") for m in model.modules()):
        raise InvalidArgument("fuse_model() was called on the model; expected a model that is not fused.")
    groups, where = {first: rest for first, *rest in fusions(model)}, sources(model)
    roundings: dict[str, FakeQuantize] = {}
    layers = {path: module for path, module in model.named_modules() if type(module) in ROUNDED}
    for path, module in list(model.named_modules()):
        if path in layers:
            norms = [m for p in groups.get(path, ()) if isinstance(m := model.get_submodule(p), nn.BatchNorm2d)]
            module.norms, module.per_channel = tuple(norms), model.backend != "qnnpack"
            module.__class__ = ROUNDED[type(module)]
        if isinstance(module, PRODUCERS) and type(module) is not nn.Hardsigmoid:
            end = model.get_submodule(groups[path][-1]) if groups.get(path) else module
            rounding = roundings[path] = FakeQuantize(eager.LARGEST[model.backend]).train(module.training)
            parameter = next(model.parameters(), None)
            end.add_module(ROUNDING, rounding.to(parameter.device) if parameter is not None else rounding)
            end.register_forward_hook(_round)
    for path, module in layers.items():
        module.before = tuple(roundings[source] for source in (where[path],) if source in roundings)
    return model


def is_prepared(model: nn.Module) -> bool:
    return any(isinstance(module, FakeQuantize) for module in model.modules())


def converted(model: Q, *, to_reference: bool = False) -> Q:
    """The int8 model of a prepared and trained model, on the CPU; ``model`` is not modified.

    Args:
        to_reference: create a reference model, which is also the fallback if torch has no int8 kernels.

    Raises:
        InvalidArgument: the model was not prepared.
    """
    if not is_prepared(model):
        raise InvalidArgument("The model was not prepared for quantization-aware training.")
    twin = copy.deepcopy(model).cpu().float().eval()
    plain: states.State = {}
    for path, module in twin.named_modules():
        if path.rpartition(".")[2] == ROUNDING and isinstance(module, FakeQuantize):
            plain |= states.prefixed(_begins(twin, path.removesuffix(ROUNDING).rstrip(".")), module.plain())
        if isinstance(module, _Rounded):
            weight, bias = module.weight.detach(), module.bias  # type: ignore[attr-defined]
            for norm in module.norms:
                weight, bias = states.fold(weight, bias, norm.state_dict(), norm.eps)
            layer = states.symmetric(weight, module.ends(weight))
            none = torch.zeros(len(weight))
            plain |= states.prefixed(path, {**layer, "bias": none if bias is None else bias.detach()})
    _restore(twin)
    if to_reference or not eager.is_there(twin.backend):
        int8, quantize = reference.skeleton(twin), "reference"
    else:
        int8, quantize = eager.skeleton(twin, twin.backend), "auto"
    reached = dict(int8.state_dict())
    int8.load_state_dict({name: value for name, value in to_fit(plain, int8).items() if name in reached})
    rebuilt_as(int8, quantize=quantize, backend=int8.backend)
    return int8


def _begins(model: nn.Module, path: str) -> str:
    """The first module of the fused group that ends at ``path``."""
    return next((first for first, *rest in fusions(model) if rest and rest[-1] == path), path)


def _restore(model: nn.Module) -> None:
    """Undo :func:`prepare`."""
    for module in list(model.modules()):
        module._modules.pop(ROUNDING, None)
        for key in [key for key, hook in module._forward_hooks.items() if hook is _round]:
            del module._forward_hooks[key]
        if isinstance(module, _Rounded):
            del module.norms, module.before, module.per_channel
            module.__class__ = FLOAT[type(module)]  # type: ignore[assignment]
