"""The content of int8 files, and a plain form of it: tensors of integers, scales and zero points, by name.

Three forms are read, distinguished by their content:

- *packed*: the form of torch's eager int8 modules: quantized tensors and tuples of them.
- *observed*: the state of a model prepared for quantization-aware training: float weights, and the observed ranges.
- *plain*: ours. For a layer at ``P``: ``P.weight`` int8, ``P.weight_scale`` and ``P.weight_zero_point`` (one element or
  one per output channel), ``P.bias`` float32. For everything whose output is quantized: ``P.scale`` and
  ``P.zero_point`` of the unsigned 8-bit output, without dimensions. safetensors can store this form, and reference
  models save it, with ``P.input_scale`` in addition.

``torch.ao`` is not needed, and only :mod:`zoo.quantized_tensors` uses quantized tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.quantized_tensors import Parts, is_quantized, put_together, quantized_type, take_apart

State = dict[str, Any]
AVERAGING = 0.01  # weight of a new observation in torch's moving averages of ranges
EPS = torch.finfo(torch.float32).eps  # the smallest scale
LARGEST = (127, 255)  # possible largest integers of activations


def form(state: State) -> str:
    """``"packed"``, ``"observed"``, ``"plain"`` or, for a float model, ``"float"``."""
    if any(name.endswith(".weight_fake_quant.scale") for name in state):
        return "observed"
    if any(name.endswith("._packed_params") or (is_quantized(t)) for name, t in state.items()):
        return "packed"
    return "plain" if any(name.endswith(".weight_scale") for name in state) else "float"


def plain_weight(weight: Tensor) -> State:
    """Split a quantized tensor into plain tensors."""
    parts = take_apart(weight)
    if parts.axis:
        raise CheckpointError(f"Weights are quantized along dimension {parts.axis}; expected 0.")
    return {
        "weight": parts.integers.contiguous(),
        "weight_scale": parts.scales.float(),
        "weight_zero_point": parts.zero_points.int(),
    }


def unpack(state: State) -> State:
    """Packed → plain."""
    plain: State = {}
    for name, value in state.items():
        path, _, leaf = name.rpartition(".")
        if leaf == "_packed_params":  # of a linear layer: (weight, bias)
            path = path.removesuffix("._packed_params")
            plain |= {f"{path}.{k}": v for k, v in plain_weight(value[0]).items()}
            plain[f"{path}.bias"] = value[1]
        elif is_quantized(value):
            plain |= {f"{path}.{k}": v for k, v in plain_weight(value).items()}
        elif leaf in ("scale", "zero_point"):
            plain[name] = value.reshape(())
        elif isinstance(value, Tensor):
            plain[name] = value
    return plain


def pack(plain: State, own: State) -> State:
    """Plain → packed, for the modules that have the state ``own``."""
    packed: State = {}
    for name, value in plain.items():
        path, _, leaf = name.rpartition(".")
        if leaf == "weight":
            weight = _quantized(value, plain[f"{path}.weight_scale"], plain[f"{path}.weight_zero_point"])
            if f"{path}._packed_params._packed_params" in own:
                packed[f"{path}._packed_params.dtype"] = quantized_type("qint8")
                packed[f"{path}._packed_params._packed_params"] = (weight, plain[f"{path}.bias"])
            else:
                packed |= {name: weight, f"{path}.bias": plain[f"{path}.bias"]}
        elif leaf in ("scale", "zero_point"):
            packed[name] = value.reshape(own[name].shape) if name in own else value
        elif leaf not in ("bias", "weight_scale", "weight_zero_point", "input_scale"):
            packed[name] = value
    return packed


def _quantized(weight: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    # The kernels take scales only in double precision; the conversion from float32 is exact.
    return put_together(Parts(weight, scale, zero_point, None if scale.numel() == 1 else 0, "qint8"))


def fold(weight: Tensor, bias: Tensor | None, norm: dict[str, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    """A convolution's weight and bias with the following batch norm folded in."""
    factor = norm["weight"] * torch.rsqrt(norm["running_var"] + eps)
    old = torch.zeros_like(norm["running_mean"]) if bias is None else bias
    folded = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    return folded, (old - norm["running_mean"]) * factor + norm["bias"]


def symmetric(weight: Tensor, largest: Tensor) -> State:
    """Weights as signed integers: ``largest`` (one element, or one per channel) is the end of their range."""
    scale = (largest.reshape(-1) / 127.5).clamp(min=EPS)
    integers = torch.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).clamp(-128, 127)
    zero_point = torch.zeros_like(scale, dtype=torch.int32)
    return {"weight": integers.to(torch.int8), "weight_scale": scale, "weight_zero_point": zero_point}


def unsigned(low: Tensor, high: Tensor, largest: int = 255) -> State:
    """Scale and zero point of activations between ``low`` and ``high``, as integers from 0 to ``largest``; 1 and 0 for
    a range that was never observed."""
    if low > high:
        return {"scale": torch.tensor(1.0), "zero_point": torch.tensor(0)}
    low, high = low.clamp(max=0), high.clamp(min=0)  # zero, used for padding, must be representable
    scale = ((high - low) / largest).clamp(min=EPS)
    zero_point = (0 - torch.round(low / scale)).clamp(0, largest).long()
    return {"scale": scale.reshape(()), "zero_point": zero_point.reshape(())}


def largest_integer(low: Tensor, high: Tensor, scale: Tensor) -> int | None:
    """Of activations between ``low`` and ``high`` in steps of ``scale``: 127 or 255; None if that cannot be
    determined."""
    steps = (high.clamp(min=0) - low.clamp(max=0)).double() / scale.double()
    return next((n for n in LARGEST if scale > EPS and abs(steps.item() - n) < 0.5), None)


def from_observed(state: State, eps: float, largest: int = 255) -> State:
    """Observed → plain: batch norm folded, weights rounded, scales computed from the observed ranges.

    Args:
        eps: eps of the model's batch norms.
        largest: the largest integer of activations, 127 or 255, if the state's own scales do not determine it.
    """
    plain = _activations(state, largest)
    for name in [name for name in state if name.endswith(".weight_fake_quant.scale")]:
        path = name.removesuffix(".weight_fake_quant.scale")
        weight, bias = state[f"{path}.weight"], state.get(f"{path}.bias")
        norm = {k.rpartition(".")[2]: v for k, v in state.items() if k.startswith(f"{path}.bn.")}
        if norm:
            weight, bias = fold(weight, bias, norm, eps)
        fake = f"{path}.weight_fake_quant"
        low, high = (state[f"{fake}.activation_post_process.{end}"] for end in ("min_val", "max_val"))
        if state[f"{fake}.observer_enabled"].item():  # torch observes the weights again at conversion
            seen = weight.flatten(1) if low.numel() == len(weight) else weight.reshape(1, -1)
            low, high = _averaged(low, seen.amin(1)), _averaged(high, seen.amax(1))
        end = torch.maximum(low.abs(), high.abs())
        plain |= prefixed(path, {**symmetric(weight, end), "bias": bias})
    return plain


def _averaged(old: Tensor, new: Tensor) -> Tensor:
    """The moving average of a range's end after a new observation; infinite or missing before the first."""
    old = old.reshape(-1) if old.numel() else torch.full_like(new, torch.inf)
    return torch.where(old.isinf(), new, old + AVERAGING * (new - old))


def _activations(state: State, otherwise: int) -> State:
    """Scales and zero points of activations from an observed state."""
    seen = ".activation_post_process.activation_post_process.min_val"
    ranges: dict[str, tuple[Tensor, Tensor]] = {}
    told: dict[str, int] = {}
    for name in [name for name in state if name.endswith(seen)]:
        path = name.removesuffix(seen)
        low, high = ranges[path] = state[name], state[f"{name.removesuffix('min_val')}max_val"]
        largest = largest_integer(low, high, state[f"{path}.activation_post_process.scale"])
        if low <= high and largest:
            told[path] = largest
    if len(set(told.values())) == 1:  # normally one setting for the complete model
        otherwise = next(iter(told.values()))
    plain: State = {}
    for path, (low, high) in ranges.items():
        plain |= prefixed(path, unsigned(low, high, told.get(path, otherwise)))
    return plain


def prefixed(path: str, state: State) -> State:
    return {f"{path}.{name}": value for name, value in state.items()}
