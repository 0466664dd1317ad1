"""How fast ten families are in half precision and by engines, beside PyTorch's eager float32.

    python benchmarks/engines.py [resnet50 …] [--output FILE] [--anew] [--with compile]

At one picture and at eight, candidates run in turns, so that the machine's drift falls on all alike; of each the
shortest run counts. Eager float32 is the model as its builder makes it, which runs the same operators as torchvision's.
What is not installed is left out. A model that FILE has already is passed over, so that a run can be broken off; the
medians are of all that FILE has. Eight minutes on two cores; torch.compile takes as long again: only where asked.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import zoo
from zoo import registry
from zoo.errors import ZooError
from zoo.running.precision import fast_bfloat16

MODELS = (
    "resnet50 mobilenet_v3_large efficientnet_b0 regnet_y_400mf convnext_tiny vit_b_16 densenet121 swin_t "
    "shufflenet_v2_x1_0 mnasnet1_0"
).split()
BATCHES = {1: 3.0, 8: 8.0}  # pictures → seconds for all candidates
LEAST = 3  # runs of each, however long they take
CANDIDATES = {  # name → engine, precision
    "float32": ("torch", None),
    "bfloat16": ("torch", "bfloat16"),
    "onnxruntime": ("onnxruntime", None),
    "openvino": ("openvino", None),
    "openvino bfloat16": ("openvino", "bfloat16"),
    "compile": ("compile", None),
    "compile bfloat16": ("compile", "bfloat16"),
}
TARGETS = {"float32": (1.3, 1.6), "bfloat16": (1.9, 2.5), "best": (3.2, 3.2)}


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    versions = {}
    for name in ("torch", "onnxruntime", "openvino"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "bfloat16": fast_bfloat16(),
        "amx": bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)()),
        "gflops": {str(dtype).removeprefix("torch."): peak(dtype) for dtype in (torch.float32, torch.bfloat16)},
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **versions,
    }


def peak(dtype: torch.dtype) -> float:
    """10⁹ operations a second of a large convolution of 1 × 1, which is a product of matrices."""
    conv = nn.Conv2d(512, 512, 1).to(dtype).to(memory_format=torch.channels_last)
    x = torch.rand(8, 512, 32, 32).to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        best = min(timed(lambda: conv(x)) for _ in range(20))
    return round(2 * 8 * 32 * 32 * 512 * 512 / best / 1e9)


def timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def build(name: str) -> nn.Module:
    """A model of random weights; a head of zeros would have nothing to be compared."""
    torch.manual_seed(0)
    model: nn.Module = zoo.get_model(name, weights=None).eval()
    for m in model.modules():
        if isinstance(m, nn.Linear) and not m.weight.any():
            nn.init.normal_(m.weight, std=0.02)
    return model


def in_turns(candidates: dict[str, nn.Module], x: torch.Tensor, seconds: float) -> dict[str, float]:
    """Milliseconds of each."""
    best = dict.fromkeys(candidates, float("inf"))
    with torch.inference_mode():
        for model in candidates.values():
            model(x)
        begin, rounds = time.perf_counter(), 0
        while rounds < LEAST or time.perf_counter() - begin < seconds:
            for name, model in candidates.items():
                best[name] = min(best[name], 1000 * timed(lambda model=model: model(x)))  # type: ignore[misc]
            rounds += 1
    return {name: round(value, 2) for name, value in best.items()}


def measure(name: str, wanted: list[str]) -> dict[str, Any]:
    """What is measured of one model."""
    plain = build(name)
    pictures = torch.rand(max(BATCHES), 3, 224, 224, generator=torch.Generator().manual_seed(0))
    weights = zoo.get_model_weights(name).DEFAULT.value  # type: ignore[attr-defined]
    found: dict[str, Any] = {"gmacs": weights.gflops, "params": weights.num_params}
    candidates: dict[int, dict[str, nn.Module]] = {batch: {"eager": plain} for batch in BATCHES}
    for key in wanted:
        engine, dtype = CANDIDATES[key]
        try:
            start = time.perf_counter()
            if engine == "torch":  # what pays is decided on an example like the inputs
                for batch in BATCHES:
                    candidates[batch][key] = zoo.optimize(plain, pictures[:batch], dtype=dtype)
            else:
                made = zoo.optimize(plain, pictures[:1], engine=engine, dtype=dtype, measure=False)
                for batch in BATCHES:
                    candidates[batch][key] = made
            report: Any = candidates[1][key].optimization_report
            found.setdefault("off", {})[key] = report.off
            found.setdefault("seconds_to_build", {})[key] = round(time.perf_counter() - start, 1)
            if report.notes:
                found.setdefault("notes", {})[key] = list(report.notes)
        except ZooError as e:
            found.setdefault("failed", {})[key] = str(e)
    for batch, seconds in BATCHES.items():
        found[str(batch)] = in_turns(candidates[batch], pictures[:batch], seconds)
    return found


def speedups(results: dict[str, Any], batch: int) -> dict[str, dict[str, float]]:
    """Model → candidate → how many times as fast as eager float32; ``best`` is the best of all."""
    table = {}
    for name, found in results.items():
        times = found[str(batch)]
        row = {key: times["eager"] / value for key, value in times.items() if key != "eager"}
        table[name] = {**row, "best": max(row.values())}
    return table


def show(results: dict[str, Any], about: dict[str, Any]) -> None:
    """Tables as docs/benchmarks.md has them."""
    for batch in BATCHES:
        table = speedups(results, batch)
        keys = [key for key in [*CANDIDATES, "best"] if any(key in row for row in table.values())]
        print(f"\n| batch {batch} | eager, ms | of the peak | " + " | ".join(keys) + " |")
        print("| --- |" + " ---: |" * (len(keys) + 2))
        for name, row in table.items():
            eager = results[name][str(batch)]["eager"]
            share = 2 * results[name]["gmacs"] * batch / (eager / 1000) / about["gflops"]["float32"]
            cells = " | ".join(f"{row[key]:.2f}" if key in row else "" for key in keys)
            print(f"| {name} | {eager:.1f} | {share:.0%} | {cells} |")
        medians = {key: statistics.median(row[key] for row in table.values() if key in row) for key in keys}
        print("| **median** | | | " + " | ".join(f"**{value:.2f}**" for value in medians.values()) + " |")
        goals = {key: targets[list(BATCHES).index(batch)] for key, targets in TARGETS.items()}
        print("| target | | | " + " | ".join(str(goals.get(key, "")) for key in keys) + " |")
        if "float32" in keys:
            print(f"\nLeast of float32: {min(row['float32'] for row in table.values()):.2f}, target 0.97.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--output", type=Path, default=Path("out/engines.json"))
    parser.add_argument("--anew", action="store_true", help="measure again what the file has")
    parser.add_argument("--with", dest="more", action="append", default=[], help="an engine beside the usual: compile")
    given = parser.parse_args()
    there = {name for name, engine, _ in registry.engines() if not registry.missing_for(engine)} - {"compile"}
    wanted = [key for key, (engine, _) in CANDIDATES.items() if engine in there | set(given.more)]
    kept = json.loads(given.output.read_text()) if given.output.exists() and not given.anew else {}
    about, results = machine(), kept.get("models", {})
    given.output.parent.mkdir(parents=True, exist_ok=True)
    print(json.dumps(about))
    for name in given.models:
        if name in results:
            continue
        start = time.perf_counter()
        results[name] = {**measure(name, wanted), "load": os.getloadavg()[0]}
        given.output.write_text(json.dumps({"machine": about, "models": results}, indent=1) + "\n")
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    show(results, about)


if __name__ == "__main__":
    main()
