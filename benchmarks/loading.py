"""How long a cached checkpoint takes to become a ready model, and how much memory on top, beside building and copying.

    python benchmarks/loading.py [vgg16]

The file holds random weights of the model's own layout and lies in the page cache, as after a first use. Compared are
zoo's builder on a file that is mapped (as those of its cache are) and on one that is read whole (as a path of one's own
is), in three formats; `torch.load` alone, which reads whole too; building and copying in plain PyTorch, and
torchvision's builder where torchvision imports. The peak is that of the process's resident memory, above what it was
before.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from zoo.registry import get_model_builder

try:
    import torchvision
except ImportError:
    torchvision = None

REPEATS = 5


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> float:
    """``VmRSS`` now or ``VmHWM`` at its peak, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure(load: Callable[[], object]) -> tuple[float, float]:
    """Median seconds and largest extra peak in MB over the repeats, after one to warm up."""
    seconds, extra = [], []
    for _ in range(REPEATS + 1):
        gc.collect()
        reset_peak()
        before = resident("VmRSS")
        start = time.perf_counter()
        model = load()
        seconds.append(time.perf_counter() - start)
        extra.append(resident("VmHWM") - before)
        del model
    return statistics.median(seconds[1:]), max(extra[1:])


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "vgg16"
    build = get_model_builder(name)
    published = zoo.get_model_weights(name).DEFAULT.value
    with tempfile.TemporaryDirectory() as folder:
        path, old, safe = (Path(folder) / f"{name}{end}" for end in (".pth", "-old-form.pth", ".safetensors"))
        state = build().state_dict()
        torch.save(state, path)
        torch.save(state, old, _use_new_zipfile_serialization=False)
        save_file(state, safe)
        del state

        def load(path: Path, mmap: bool) -> nn.Module:
            return build(weights=replace(published, url=path.as_uri()), mmap=mmap)

        def copy() -> nn.Module:
            model = build(weights=None)
            model.load_state_dict(torch.load(path, weights_only=True))
            return model

        cases: dict[str, Callable[[], object]] = {
            "zoo, memory-mapped": lambda: load(path, True),
            "zoo, mapped safetensors": lambda: load(safe, True),
            "zoo, read whole": lambda: load(path, False),
            "zoo, whole safetensors": lambda: load(safe, False),
            "zoo, legacy pickle": lambda: load(old, False),
            "torch.load alone": lambda: torch.load(path, weights_only=True),
            "build and copy": copy,
        }
        if torchvision is not None:
            member = torchvision.models.get_model_weights(name).DEFAULT
            hub = Path(folder) / "hub" / "checkpoints"
            hub.mkdir(parents=True)
            os.link(path, hub / Path(member.url).name)
            torch.hub.set_dir(str(hub.parent))
            cases["torchvision"] = lambda: torchvision.models.get_model(name, weights=member)
        machine = f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads"
        print(f"{name}, {path.stat().st_size / 2**20:.0f} MB, {machine}, median of {REPEATS}")
        found = {title: measure(load) for title, load in cases.items()}
        ours = found["zoo, memory-mapped"][0]
        print(f"\n{'':25}{'seconds':>9}{'of ours':>9}{'extra peak MB':>15}")
        for title, (seconds, extra) in found.items():
            print(f"{title:25}{seconds:9.3f}{seconds / ours:9.1f}{extra:15.0f}")
        if torchvision is None:
            print("torchvision is not installed; its builder was not measured.")


if __name__ == "__main__":
    main()
