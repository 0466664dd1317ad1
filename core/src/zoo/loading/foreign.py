"""Models whose own library loads a file's tensors: the load report is made by comparing model and file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from zoo.errors import CheckpointError
from zoo.loading.checkpoints import Contents, StateDict
from zoo.loading.reports import LoadReport

Fill = Callable[..., nn.Module]


def fits(model: nn.Module, state: StateDict, heads: Collection[str]) -> bool:
    """Whether the file's tensors have the model's names and shapes, except in heads, so that no conversion is
    needed."""
    under = tuple(f"{path}." for path in heads)

    def shapes(tensors: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
        kept = {k: t for k, t in tensors.items() if not k.startswith(under) and not k.endswith("num_batches_tracked")}
        return {k: tuple(t.shape) for k, t in kept.items() if isinstance(t, Tensor)}

    return shapes(model.state_dict()) == shapes(state)


def filled(fill: Fill, name: str, source: str, found: Contents, arguments: Mapping[str, object]) -> nn.Module:
    """The model that ``fill`` builds from a file.

    Raises:
        CheckpointError: the file does not fit.
    """
    try:
        return fill(dict(found.state), **arguments)
    except (RuntimeError, KeyError, ValueError, AttributeError) as e:
        raise CheckpointError(f"{source} does not fit {name}: {type(e).__name__}: {e}") from e


def report_of(
    model: nn.Module, found: Contents, source: str, heads: Collection[str], *, new_head: bool = False
) -> LoadReport:
    """The load report of a model that another library filled from a file.

    Args:
        model: after it was filled.
        found: the file's content.
        source: the file's URL or path.
        heads: paths of the modules that may have been newly initialised.
        new_head: another number of classes was requested: all tensors with another first size in the file were newly
            initialised, too.
    """
    own, state = model.state_dict(), found.state
    under = tuple(f"{path}." for path in heads)
    fresh = [
        k
        for k in own
        if (under and k.startswith(under) and not _same(state.get(k), own[k]))
        or (new_head and _resized(state.get(k), own[k]))
    ]
    loaded = [k for k in own if k not in fresh]
    converted = [k for k in loaded if not _same(state.get(k), own[k])]
    renamed = any(k not in state for k in loaded)  # then a name that only the file has may have been used, too
    return LoadReport(
        source=source,
        loaded=tuple(loaded),
        converted=tuple(converted),
        reinitialised=tuple(fresh),
        ignored=() if renamed else tuple(k for k in state if k not in own),
        memory_mapped=False,
        taken=found.taken,
    )


def _resized(theirs: object, ours: Tensor) -> bool:
    return isinstance(theirs, Tensor) and theirs.ndim == ours.ndim > 0 and theirs.shape[0] != ours.shape[0]


def _same(theirs: object, ours: Tensor) -> bool:
    return (
        isinstance(theirs, Tensor)
        and theirs.shape == ours.shape
        and theirs.dtype == ours.dtype
        and torch.equal(theirs, ours.to(theirs.device))
    )
