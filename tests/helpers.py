"""Reference figures in ``tests/reference``, and how a model is compared with them.

The figures were measured on the published models: layouts of state_dicts, outputs with the weights and inputs that
``reference/fill.py`` and ``reference/cases.py`` make, initialisations, training steps.
"""

from __future__ import annotations

import functools
import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

REFERENCE = Path(__file__).parent / "reference"
TOLERANCE = 2e-4  # of the reference output's standard deviation


@functools.cache
def read_reference(name: str) -> Any:
    """The contents of ``reference/NAME.json.gz`` (or ``.json``); shared, so not to be changed."""
    packed = REFERENCE / f"{name}.json.gz"
    if packed.is_file():
        return json.loads(gzip.decompress(packed.read_bytes()))
    return json.loads((REFERENCE / f"{name}.json").read_text())


def models_of(*tasks: str) -> list[str]:
    """The published models of these tasks, by the reference's names of them (``classification``, ``detection``, …)."""
    return [name for name, model in read_reference("models").items() if model["task"] in tasks]


def layout(model: nn.Module) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and dtype of everything in ``model.state_dict()``, in order."""
    return [(n, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for n, t in model.state_dict().items()]


def reference_layout(name: str) -> list[tuple[str, tuple[int, ...], str]]:
    return [(n, tuple(shape), dtype) for n, shape, dtype in read_reference(f"layouts/{name}")]


def crc32(tensors: Iterable[Tensor]) -> int:
    """Over the float32 bytes of the floating-point ones, one after the other."""
    sum_ = 0
    for t in tensors:
        if t.is_floating_point():
            sum_ = zlib.crc32(t.detach().float().contiguous().numpy().tobytes(), sum_)
    return sum_


@functools.cache
def same_generator() -> bool:
    """Whether torch's random numbers are those of the machine that the reference was measured on.

    Another processor or version of torch may round differently, and then no model can have the reference's numbers.
    """
    torch.manual_seed(0)
    fillers = (nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.kaiming_normal_)
    return crc32([fill(torch.empty(64, 40)) for fill in fillers]) == 690042024


def initialisation_problems(model: nn.Module, stats: Mapping[str, list[float]]) -> list[str]:
    """Tensors that another distribution than the reference's was drawn from: mean, spread and the constants."""
    problems = []
    for name, t in model.state_dict().items():
        if name not in stats:
            continue
        mean, std, _ = stats[name]
        got_mean, got_std = t.mean().item(), t.std().item() if t.numel() > 1 else 0.0
        noise = 8 * std / t.numel() ** 0.5 + 2e-3 * abs(mean) + 1e-6  # of two honest draws
        spread = (6 / (2 * t.numel()) ** 0.5 + 0.02) * std + 1e-6
        off = abs(got_mean - mean) > noise or (t.numel() >= 16 and abs(got_std - std) > spread)
        if off or (std == 0 and got_std > 1e-6):
            problems.append(f"{name}: mean {got_mean:.3g} std {got_std:.3g}, reference {mean:.3g} {std:.3g}")
    return problems


def flatten(output: Any, prefix: str = "") -> dict[str, Tensor]:
    """A model's outputs by name: ``out`` for a single tensor, else keys, field names and indices joined by dots."""
    if isinstance(output, Tensor):
        return {prefix or "out": output}
    if hasattr(output, "_asdict"):
        output = output._asdict()
    elif isinstance(output, (list, tuple)):
        output = dict(enumerate(output))
    found: dict[str, Tensor] = {}
    for key, value in (output or {}).items():
        found |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def output_problems(got: Mapping[str, Tensor], want: Mapping[str, Any], tolerance: float = TOLERANCE) -> list[str]:
    """Where outputs differ from the reference's, by shape or by more than ``tolerance`` standard deviations."""
    problems = []
    if set(got) != set(want):
        problems.append(f"outputs {sorted(got)}, reference {sorted(want)}")
    for name in [n for n in want if n in got]:
        t, ref = got[name], want[name]
        if list(t.shape) != ref["shape"]:
            problems.append(f"{name}: shape {list(t.shape)}, reference {ref['shape']}")
            continue
        values = t.detach().double().flatten()[:: ref["step"]][: len(ref["values"])]
        off = (values - torch.tensor(ref["values"], dtype=torch.float64)).abs().max().item() / max(ref["std"], 1e-6)
        if not off <= tolerance:
            problems.append(f"{name}: off by {off:.1e} standard deviations")
    return problems


def first_difference(model: nn.Module, inputs: tuple[Any, ...], name: str) -> str:
    """The first submodule, in order of execution, whose output is not the reference's: where to look for a bug."""
    trace, found = read_reference(f"traces/{name}"), {}

    def record(path: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.is_floating_point() and output.numel() > 1:
                values = output.detach().double()
                found.setdefault(path, (list(output.shape), values.mean().item(), values.std().item()))

        return hook

    handles = [m.register_forward_hook(record(path)) for path, m in model.named_modules() if path in trace]
    with torch.no_grad():
        model(*inputs)
    for handle in handles:
        handle.remove()
    for path, (shape, mean, std) in found.items():
        ref_shape, ref_mean, ref_std = trace[path]
        scale = max(abs(ref_std or 0), 1e-6)
        if shape != ref_shape or max(abs(mean - ref_mean), abs(std - (ref_std or 0))) > 2e-3 * scale + 1e-6:
            return f"first submodule that differs: {path}: {shape} {mean:.4g} {std:.4g}, reference {trace[path]}"
    return "no submodule of the reference's names differs"
