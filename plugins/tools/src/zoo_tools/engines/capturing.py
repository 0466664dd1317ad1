"""Models as exported programs that accept as many input shapes as the model allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from zoo_tools.quiet import quietly


@dataclass(frozen=True)
class Captured:
    """A module as a graph.

    Attributes:
        program: the exported program.
        sizes: shapes of the arguments that it was captured with.
        free: for each argument, the dimensions of variable size.
    """

    program: ExportedProgram
    sizes: tuple[torch.Size, ...]
    free: tuple[frozenset[int], ...]

    def takes(self, *tensors: Tensor) -> bool:
        """Whether the graph accepts tensors of these shapes."""
        return len(tensors) == len(self.sizes) and all(
            t.dim() == len(size) and all(t.shape[d] == size[d] for d in range(len(size)) if d not in free)
            for t, size, free in zip(tensors, self.sizes, self.free, strict=True)
        )


def captured(module: nn.Module, arguments: tuple[Tensor, ...], dynamic: Sequence[set[int]]) -> Captured:
    """Capture a module with a variable batch size and the given variable dimensions, as far as the module allows.

    Args:
        module: takes tensors.
        arguments: example arguments.
        dynamic: for each argument, the dimensions whose size has varied.
    """
    sizes = tuple(t.shape for t in arguments)
    batches = {size[0] for size in sizes if size}
    one_batch = len(batches) == 1 and all(len(size) > 1 for size in sizes)
    wanted = [frozenset({0} | dims) if one_batch else frozenset(dims) for dims in dynamic]
    tries = [wanted, [frozenset({0})] * len(sizes)] if one_batch else [wanted]
    # A dimension of size one is always captured as constant.
    wide = tuple(torch.cat([t, t]) if one_batch and batches == {1} else t for t in arguments)
    with quietly():
        for free in tries:
            if not any(free):
                continue
            shapes = tuple(dict.fromkeys(dims, Dim.DYNAMIC) for dims in free)
            try:
                program = torch.export.export(module, wide, dynamic_shapes={"tensors": shapes}, strict=False)
            except Exception:  # noqa: BLE001  a model's code and the exporter can raise anything
                continue
            return Captured(program, tuple(t.shape for t in wide), tuple(free))
        program = torch.export.export(module, arguments, strict=False)
    return Captured(program, sizes, tuple(frozenset[int]() for _ in sizes))


def names_of(program: ExportedProgram) -> Any:
    """The names of the user inputs."""
    return list(program.graph_signature.user_inputs)
