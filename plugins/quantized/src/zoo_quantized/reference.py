"""Int8 models without int8 kernels: ordinary float tensors, whose values are those of quantized ones.

Between layers a tensor holds ``(q - zero_point) · scale`` for integers ``q`` from 0 to 255, equal to the dequantized
tensors of the int8 model. A layer divides by its input's scale, which returns integers, and multiplies and adds them:
sums of products of integers, exact in float32 below 2**24 (above, with a relative error of 2**-24, like int8 kernels
that continue in float32). It then rescales, rounds half to even and clamps, like the kernels. Values averaged before a
layer (pooling) are rounded in the layer, after the division. This is plain arithmetic on any device, in
``torch.compile`` and ``torch.export``. Inference only: rounding has no gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_quantized import states
from zoo_quantized.marks import Arithmetic, Quantize, fusions
from zoo_quantized.quantizable import PRODUCERS, Quantizable, sources
from zoo_quantized.states import State

Q = TypeVar("Q", bound=Quantizable)


class _Output(nn.Module):
    """Base of modules with a quantized output: holds its scale and zero point."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int64))

    def rounded(self, steps: Tensor, relu: bool = False) -> Tensor:
        """Values in units of the scale, relative to zero → the nearest 8-bit values, as real numbers."""
        low = torch.zeros_like(self.zero_point) if relu else -self.zero_point
        return torch.round(steps).clamp(low, 255 - self.zero_point) * self.scale


class RoundedQuantize(_Output, Quantize):
    def forward(self, x: Tensor) -> Tensor:
        # As in the kernels: clamped before the shift.
        integers = torch.round(x * (1 / self.scale) + self.zero_point).clamp(0, 255)
        return (integers - self.zero_point) * self.scale


class RoundedArithmetic(_Output, Arithmetic):
    def forward(self, x: Tensor) -> Tensor:
        return self.rounded(x * (1 / self.scale))


class RoundedHardswish(_Output):
    def forward(self, x: Tensor) -> Tensor:
        return self.rounded(F.hardswish(x) * (1 / self.scale))


class RoundedHardsigmoid(nn.Module):
    """Its range is known, so its scale is fixed: [0, 1) in steps of 1/256."""

    scale = 1 / 256

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(F.hardsigmoid(x) * 256).clamp(0, 255) / 256


class _Layer(_Output):
    """A linear map of integers, rescaled."""

    weight: Tensor
    weight_scale: Tensor
    weight_zero_point: Tensor
    bias: Tensor
    input_scale: Tensor

    def __init__(self, shape: torch.Size, source: str, relu: bool) -> None:
        super().__init__()
        self.source = source  # path of the module that the input comes from
        self.relu = relu
        self.register_buffer("weight", torch.zeros(shape, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(shape[0]))
        self.register_buffer("weight_zero_point", torch.zeros(shape[0], dtype=torch.int32))
        self.register_buffer("bias", torch.zeros(shape[0]))
        self.register_buffer("input_scale", torch.ones(()))

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """The linear map of integers [N, …] with integer weights; the result is integers."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        column = (-1, *[1] * (self.weight.ndim - 2))  # one value per output channel
        weight = self.weight.to(x.dtype) - self.weight_zero_point.to(x.dtype).reshape(-1, *[1] * (self.weight.ndim - 1))
        sums = self.sums(torch.round(x / self.input_scale), weight)
        step = self.input_scale * self.weight_scale  # the value of 1 in the sums
        sums = sums + (self.bias / step).reshape(column)
        return self.rounded(sums * (step / self.scale).reshape(column), self.relu)


class RoundedConv2d(_Layer):
    def __init__(self, conv: nn.Conv2d, source: str, relu: bool) -> None:
        super().__init__(conv.weight.shape, source, relu)
        self.in_channels = conv.in_channels
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, conv.groups

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{list(self.weight.shape)}, stride={self.stride}, padding={self.padding}, groups={self.groups}"


class RoundedLinear(_Layer):
    def __init__(self, linear: nn.Linear, source: str) -> None:
        super().__init__(linear.weight.shape, source, relu=False)

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x, weight)


def skeleton(model: Q) -> Q:
    """Convert a float model to a reference model without values, in place. Its parameters may be on meta.

    Raises:
        InvalidArgument: the model has layers that are used only in training (auxiliary heads).
    """
    where = sources(model)
    replaced: dict[str, nn.Module] = {}
    for first, *rest in fusions(model):
        conv = model.get_submodule(first)
        relu = bool(rest) and isinstance(model.get_submodule(rest[-1]), nn.ReLU)
        if isinstance(conv, nn.Conv2d):  # always true
            replaced[first] = RoundedConv2d(conv, where[first], relu)
        replaced |= {path: nn.Identity() for path in rest}
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear):
            replaced[path] = RoundedLinear(module, where[path])
        elif type(module) in ROUNDED:
            replaced[path] = ROUNDED[type(module)]()
    for path, module in replaced.items():
        model.set_submodule(path, module)
    model.engine = "reference"
    return model.eval()


ROUNDED: dict[type[nn.Module], type[nn.Module]] = {
    Quantize: RoundedQuantize,
    Arithmetic: RoundedArithmetic,
    nn.Hardswish: RoundedHardswish,
    nn.Hardsigmoid: RoundedHardsigmoid,
}


def fit(plain: State, model: nn.Module) -> State:
    """A plain state with the remaining entries of a reference model added."""
    state = dict(plain)
    for path, module in model.named_modules():
        if not isinstance(module, _Layer) or f"{path}.weight" not in plain:
            continue
        for name in ("weight_scale", "weight_zero_point"):
            state[f"{path}.{name}"] = plain[f"{path}.{name}"].expand(len(plain[f"{path}.weight"])).clone()
        if plain.get(f"{path}.bias") is None:
            state[f"{path}.bias"] = torch.zeros(len(plain[f"{path}.weight"]))
        source = model.get_submodule(module.source)
        scale = plain.get(f"{module.source}.scale", source.scale)
        state.setdefault(f"{path}.input_scale", torch.as_tensor(scale).clone())
    return state


@torch.no_grad()
def calibrated(model: Q, batches: Iterable[Tensor]) -> Q:
    """A float model in eval mode → a reference model, with the ranges of its activations on ``batches``.

    Ranges are from the smallest to the largest value; those of weights are per output channel.
    """
    ranges = observe(model, batches)
    plain: State = {}
    groups = {first: rest for first, *rest in fusions(model)}
    for path, module in model.named_modules():
        if path in ranges:
            plain |= states.prefixed(path, states.unsigned(*ranges[path]))
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight, bias = module.weight, module.bias
            norms = [m for p in groups.get(path, ()) if isinstance(m := model.get_submodule(p), nn.BatchNorm2d)]
            for norm in norms:
                weight, bias = states.fold(weight, bias, norm.state_dict(), norm.eps)
            bias = torch.zeros(len(weight)) if bias is None else bias
            layer = states.symmetric(weight, weight.abs().flatten(1).amax(1))
            plain |= states.prefixed(path, {**layer, "bias": bias.detach()})
    reference = skeleton(model)
    reference.load_state_dict(fit(plain, reference), strict=False)
    return reference


def observe(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Path of each module with a scale → the smallest and the largest value of its output.

    For a convolution, the output after its batch norm and ReLU is used.
    """
    ranges: dict[str, tuple[Tensor, Tensor]] = {}
    ends = {group[0]: group[-1] for group in fusions(model)}

    def note(path: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            low, high = output.amin(), output.amax()
            if path in ranges:
                low, high = torch.minimum(low, ranges[path][0]), torch.maximum(high, ranges[path][1])
            ranges[path] = (low, high)

        return hook

    layers = [p for p, m in model.named_modules() if isinstance(m, PRODUCERS) and type(m) is not nn.Hardsigmoid]
    handles = [model.get_submodule(ends.get(path, path)).register_forward_hook(note(path)) for path in layers]
    try:
        for batch in batches:
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return ranges
