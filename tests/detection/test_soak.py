"""Pictures of many sizes, one after the other: no memory is kept."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo

STATM = Path("/proc/self/statm")
GROWTH = 16 << 20  # bytes, for models whose activations take hundreds of MB
SMALL: dict[str, dict[str, Any]] = {
    "ssdlite320_mobilenet_v3_large": {},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {"min_size": 128, "max_size": 200},
}


def resident() -> int:
    """Resident bytes of this process, without free memory that the allocator caches."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    return int(STATM.read_text().split()[1]) * 4096


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects())


def picture(g: torch.Generator, most: int = 400) -> torch.Tensor:
    height, width = torch.randint(64, most, (2,), generator=g).tolist()
    return torch.rand(3, height, width, generator=g)


def soak(step: Callable[[torch.Generator], Any], times: int) -> None:
    """Run ``step`` this many times; memory and tensors do not grow after the first quarter."""
    g = torch.Generator().manual_seed(0)
    peaks = []
    for i in range(times):
        step(g)
        peaks.append(resident())
        if i == times // 4:
            tensors = live_tensors()
    assert live_tensors() == tensors
    begin, end = peaks[: times // 4], peaks[-times // 4 :]
    assert max(end) - max(begin) < GROWTH, [p >> 20 for p in peaks[:: times // 20]]


linux = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")


@linux
@pytest.mark.parametrize(
    ("name", "times"),
    [("ssdlite320_mobilenet_v3_large", 24), *(pytest.param(name, 200, marks=pytest.mark.slow) for name in SMALL)],
)
def test_memory_is_flat_over_varied_sizes(name: str, times: int) -> None:
    model = zoo.get_model(name, weights=None, weights_backbone=None, **SMALL[name]).eval()

    def step(g: torch.Generator) -> None:
        with torch.no_grad():
            model([picture(g)])

    soak(step, times)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_memory_is_flat_over_training_steps(name: str) -> None:
    model = zoo.get_model(name, weights=None, weights_backbone=None, **SMALL[name]).train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)

    def step(g: torch.Generator) -> None:
        images = [picture(g, 160), picture(g, 160)]
        targets = []
        for objects in (3, int(torch.randint(0, 9, (), generator=g))):
            corner = torch.rand(objects, 2, generator=g) * 30
            boxes = torch.cat([corner, corner + 4 + torch.rand(objects, 2, generator=g) * 25], 1)
            targets.append({"boxes": boxes, "labels": torch.randint(1, 90, (objects,), generator=g)})
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    soak(step, 40)
