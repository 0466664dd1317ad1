"""Values of a state dict that safetensors cannot store, converted to tensors: quantized tensors, tuples, dtypes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError, InvalidArgument
from zoo.quantized_tensors import Parts, is_quantized, put_together, take_apart

Make = Callable[[dict[str, Tensor]], Any]


def pack(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and recipes for the other values: name → JSON.

    Raises:
        InvalidArgument: a value has another type; the message names it.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, {
        name: recipe for name, value in state.items() if (recipe := _packed(name, value, tensors)) is not None
    }


def _packed(name: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        if not is_quantized(value):
            if value.is_meta or value.layout != torch.strided or value.is_nested:
                raise InvalidArgument(f"{name} is not a dense tensor with data; it cannot be saved.")
            tensors[name] = value
            return None
        integers, scales, zero_points, axis, dtype = take_apart(value)
        tensors[name] = integers
        if axis is None:
            one = {"scale": scales.item(), "zero_point": zero_points.item()}
            return {"kind": "quantized", "dtype": dtype, **one}
        tensors[f"{name}.scales"], tensors[f"{name}.zero_points"] = scales, zero_points
        return {"kind": "quantized", "dtype": dtype, "axis": axis}
    if isinstance(value, torch.dtype):
        return {"kind": "dtype", "name": str(value).removeprefix("torch.")}
    if isinstance(value, tuple | list):
        parts = [_packed(f"{name}.{i}", part, tensors) for i, part in enumerate(value)]
        return {"kind": type(value).__name__, "parts": parts}
    if value is None or type(value) in (bool, int, float, str):
        return {"kind": "value", "value": value}
    raise InvalidArgument(f"{name} is a {type(value).__name__}; it cannot be saved.")


def unpack(tensors: dict[str, Tensor], recipes: Any) -> dict[str, Any]:
    """The state dict that was packed.

    Raises:
        CheckpointError: a recipe is unknown, or does not fit the tensors.
    """
    if not isinstance(recipes, dict):
        raise CheckpointError("its packed values are not a JSON object")
    used: set[str] = set()
    made: dict[str, Any] = {}
    for name, recipe in recipes.items():
        try:
            made[name] = _unpacked(name, recipe, tensors, used)
        except CheckpointError:
            raise
        except Exception as e:
            raise CheckpointError(f"its value {name!r} cannot be made ({type(e).__name__}: {e})") from e
    return {**{name: t for name, t in tensors.items() if name not in used}, **made}


def _unpacked(name: str, recipe: Any, tensors: dict[str, Tensor], used: set[str], depth: int = 0) -> Any:
    if recipe is None:
        used.add(name)
        return tensors[name]
    kind = recipe["kind"]
    if kind == "quantized":
        used.add(name)
        return _quantized(name, recipe, tensors, used)
    if kind == "dtype" and isinstance(found := getattr(torch, recipe["name"], None), torch.dtype):
        return found
    if kind in ("tuple", "list") and depth < 4:
        parts = [_unpacked(f"{name}.{i}", part, tensors, used, depth + 1) for i, part in enumerate(recipe["parts"])]
        return tuple(parts) if kind == "tuple" else parts
    if kind == "value" and (recipe["value"] is None or type(recipe["value"]) in (bool, int, float, str)):
        return recipe["value"]
    raise CheckpointError(f"its value {name!r} is of an unknown kind")


def _quantized(name: str, recipe: Any, tensors: dict[str, Tensor], used: set[str]) -> Tensor:
    if "axis" not in recipe:
        scale = torch.tensor([float(recipe["scale"])], dtype=torch.float64)
        zero_point = torch.tensor([int(recipe["zero_point"])])
        return put_together(Parts(tensors[name], scale, zero_point, None, recipe["dtype"]))
    used |= {f"{name}.scales", f"{name}.zero_points"}
    scales, zero_points = tensors[f"{name}.scales"], tensors[f"{name}.zero_points"]
    return put_together(Parts(tensors[name], scales, zero_points, int(recipe["axis"]), recipe["dtype"]))
