"""What a call allocates, by the counter of PyTorch's allocator."""

from __future__ import annotations

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def peak_allocated(call: Callable[[], object]) -> int:
    """The most bytes that tensors made by ``call`` held at one time, its result included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as p:
        result = call()
    del result
    assert p.profiler is not None
    assert p.profiler.kineto_results is not None
    held = most = 0
    for event in p.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most
