"""Models whose own library puts a file's tensors into them: what came of them is told by comparing model and file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from zoo.loading.checkpoints import Contents, StateDict
from zoo.loading.reports import LoadReport

Fill = Callable[..., nn.Module]


def fits(model: nn.Module, state: StateDict) -> bool:
    """Whether the file's tensors are the model's, by their names and shapes, so that nothing need be converted."""

    def shapes(tensors: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
        kept = {k: t for k, t in tensors.items() if not k.endswith("num_batches_tracked")}
        return {k: tuple(t.shape) for k, t in kept.items() if isinstance(t, Tensor)}

    return shapes(model.state_dict()) == shapes(state)


def report_of(model: nn.Module, found: Contents, source: str, heads: Collection[str]) -> LoadReport:
    """What became of a file's tensors in a model that another library filled.

    Args:
        model: as it is now.
        found: the file's content.
        source: the file's URL or path.
        heads: paths of the modules that may have been initialised anew.
    """
    own, state = model.state_dict(), found.state
    under = tuple(f"{path}." for path in heads)
    anew = [k for k in own if under and k.startswith(under) and not _same(state.get(k), own[k])]
    loaded = [k for k in own if k not in anew]
    converted = [k for k in loaded if not _same(state.get(k), own[k])]
    renamed = any(k not in state for k in loaded)  # then a name of the file's alone may have been used, too
    return LoadReport(
        source=source,
        loaded=tuple(loaded),
        converted=tuple(converted),
        reinitialised=tuple(anew),
        ignored=() if renamed else tuple(k for k in state if k not in own),
        memory_mapped=False,
        taken=found.taken,
    )


def _same(theirs: object, ours: Tensor) -> bool:
    return (
        isinstance(theirs, Tensor)
        and theirs.shape == ours.shape
        and theirs.dtype == ours.dtype
        and torch.equal(theirs, ours.to(theirs.device))
    )
