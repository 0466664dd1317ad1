"""How fast RAFT is beside torchvision's, where its time goes, and how its memory grows with the frames.

    python benchmarks/flow.py [speed | profile | memory] [--threads N]

``speed``: RAFT small at 440×1024 with 12 updates, the same weights and frames in both, run in turn in one process;
medians of the time by the clock and of the processor's. Without torchvision zoo's alone is timed. ``profile``: the
operators that zoo's time goes to. ``memory``: the largest resident memory of a process that predicts one pair, above
what it was with the model ready, full and local.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import zoo

try:
    import torchvision
except ImportError:
    torchvision = None

UPDATES = 12
REPEATS = 7
SIZES = ((440, 1024), (544, 960), (720, 1280), (1080, 1920))
FULL_AT_MOST = 720  # rows; beyond, the full volume takes more memory than many machines have


def frames(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    first = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return first, torch.roll(first, (2, -3), (2, 3))


@torch.inference_mode()
def speed() -> None:
    models = {"zoo": zoo.get_model("raft_small").eval()}
    if torchvision is None:
        print("torchvision is not installed: zoo's time alone")
    else:
        models["torchvision"] = torchvision.models.optical_flow.raft_small().eval()
        models["torchvision"].load_state_dict(models["zoo"].state_dict())
    pair = frames(440, 1024)
    flows = [model(*pair, num_flow_updates=UPDATES)[-1] for model in models.values()]
    elapsed: dict[str, list[float]] = {name: [] for name in models}
    computed: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(REPEATS):
        for name, model in models.items():  # in turn, so that a busy moment of the machine hits both alike
            start, cpu = time.perf_counter(), time.process_time()
            model(*pair, num_flow_updates=UPDATES)
            elapsed[name].append(time.perf_counter() - start)
            computed[name].append(time.process_time() - cpu)
    print(f"RAFT small, 440×1024, {UPDATES} updates, medians of {REPEATS}:")
    for name in models:
        ratios = [statistics.median(taken[name]) / statistics.median(taken["zoo"]) for taken in (elapsed, computed)]
        print(
            f"  {name:12} {statistics.median(elapsed[name]):6.2f} s ({ratios[0]:.2f} times zoo's), "
            f"{statistics.median(computed[name]):6.2f} s of CPU ({ratios[1]:.2f})"
        )
    print(f"  furthest apart: {(flows[-1] - flows[0]).abs().max().item():.1e} px")


@torch.inference_mode()
def profile() -> None:
    model = zoo.get_model("raft_small").eval()
    pair = frames(440, 1024)
    model(*pair, num_flow_updates=UPDATES)
    with torch.profiler.profile(record_shapes=True) as recorded:
        model(*pair, num_flow_updates=UPDATES)
    print(recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=40))


def memory_field(field: str) -> float:
    """``VmRSS`` now or ``VmHWM`` at its peak, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


@torch.inference_mode()
def predict_once(height: int, width: int, correlation: str) -> None:
    model = zoo.get_model("raft_small", correlation=correlation).eval()
    pair = frames(-(-height // 8) * 8, width)
    model(*frames(128, 128), num_flow_updates=1)  # what the libraries allocate once
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = memory_field("VmRSS"), time.process_time()
    model(*pair, num_flow_updates=UPDATES)
    print(f"{memory_field('VmHWM') - before:.0f} {time.process_time() - start:.1f}")


def memory(threads: int) -> None:
    print(f"RAFT small, {UPDATES} updates: MB on top of the model, seconds of CPU")
    for height, width in SIZES:
        cells = []
        for correlation in ("full", "local"):
            if correlation == "full" and height > FULL_AT_MOST:
                cells.append("full: not run")
                continue
            size = [str(height), str(width), correlation]
            out = subprocess.run(
                [sys.executable, __file__, "once", "--threads", str(threads), "--size", *size],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()
            cells.append(f"{correlation}: {out[0]} MB, {out[1]} s")
        print(f"  {height} × {width}: {'; '.join(cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "profile", "memory", "once"), nargs="?", default="speed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.what == "once":
        height, width, correlation = options.size
        predict_once(int(height), int(width), correlation)
        return
    versions = f"torch {torch.__version__}" + (f", torchvision {torchvision.__version__}" if torchvision else "")
    print(f"{platform.machine()}, {options.threads} threads, {versions}")
    {"speed": speed, "profile": profile, "memory": lambda: memory(options.threads)}[options.what]()


if __name__ == "__main__":
    main()
