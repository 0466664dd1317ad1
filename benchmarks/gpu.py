"""Images a second of models on a GPU, at 32 and 16 bits and compiled; beside torchvision's, where it is.

    python benchmarks/gpu.py [--batch 64] [--seconds 1] [--json FILE] [model …]

Inputs lie on the device. The variants take turns in one process, and a figure is the median over the turns; `×` is the
rate over that of torchvision's model at 32 bits. Products at 32 bits are computed in float32, not in TF32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zoo

try:
    import torchvision
except ImportError:
    torchvision = None

MODELS = (
    "resnet50", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t", "regnet_y_400mf",
    "fcn_resnet50", "r3d_18", "raft_large",
)  # fmt: skip
SIZES = {"r3d_18": (3, 16, 112, 112), "fcn_resnet50": (3, 520, 520), "raft_large": (3, 360, 520)}
SHARE = {"r3d_18": 4, "fcn_resnet50": 8, "raft_large": 16}  # of the batch, for what is large


def random_model(library: str, name: str) -> nn.Module:
    torch.manual_seed(0)
    backbone = {"weights_backbone": None} if name.startswith("fcn") else {}
    get = zoo.get_model if library == "zoo" else torchvision.models.get_model
    model: nn.Module = get(name, weights=None, **backbone)
    return model.eval().cuda()


def inputs(name: str, batch: int) -> tuple[Tensor, ...]:
    shape = (max(1, batch // SHARE.get(name, 1)), *SIZES.get(name, (3, 224, 224)))
    return tuple(torch.randn(shape, device="cuda") for _ in range(2 if name.startswith("raft") else 1))


def variants(name: str, given: tuple[Tensor, ...], compiled: bool) -> dict[str, Callable[[], Any]]:
    def ready(model: nn.Module, dtype: torch.dtype = torch.float32, last: bool = False) -> Callable[[], Any]:
        last = last and given[0].dim() == 4
        model = model.to(dtype, memory_format=torch.channels_last) if last else model.to(dtype)
        x = [g.to(dtype, memory_format=torch.channels_last) if last else g.to(dtype) for g in given]
        return lambda: model(*x)

    found = {"torchvision fp32": ready(random_model("torchvision", name))} if torchvision else {}
    found["fp32"] = ready(random_model("zoo", name))
    if name.startswith("raft"):
        model = random_model("zoo", name)

        def cast() -> Any:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                return model(*given)

        return found | {"bf16": cast}
    found["optimized"] = ready(zoo.optimize(random_model("zoo", name), given))
    for label, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        half = random_model("zoo", name).to(dtype)
        found[label] = ready(half, dtype, last=True)
        found[f"{label} optimized"] = ready(zoo.optimize(half, tuple(g.to(dtype) for g in given)), dtype, last=True)
    if compiled:
        call = ready(torch.compile(random_model("zoo", name).to(torch.float16)), torch.float16, last=True)
        found["fp16 compiled"] = call
    return found


def rates(calls: dict[str, Callable[[], Any]], examples: int, seconds: float) -> dict[str, float]:
    taken: dict[str, list[float]] = {label: [] for label in calls}
    with torch.inference_mode():
        for call in calls.values():
            for _ in range(3):
                call()
        end = time.perf_counter() + seconds * len(calls)
        while time.perf_counter() < end or len(taken[next(iter(taken))]) < 5:
            for label, call in calls.items():
                torch.cuda.synchronize()
                start = time.perf_counter()
                call()
                torch.cuda.synchronize()
                taken[label].append(time.perf_counter() - start)
    return {label: examples / statistics.median(times) for label, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each variant")
    parser.add_argument("--compile", action="store_true", help="one more variant: float16 by torch.compile")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    machine = {"torch": torch.__version__, "device": torch.cuda.get_device_name(), "batch": args.batch}
    print(f"torch {machine['torch']}, {machine['device']}; images (clips, pairs) a second\n")
    found: dict[str, dict[str, float]] = {}
    for name in args.models:
        given = inputs(name, args.batch)
        found[name] = rates(variants(name, given, args.compile), len(given[0]), args.seconds)
        first = next(iter(found[name].values()))
        cells = (f"{label} {rate:,.0f} ({rate / first:.2f}×)" for label, rate in found[name].items())
        print(f"{name}, batch {len(given[0])}: {', '.join(cells)}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({**machine, "rates": found}, indent=1))


if __name__ == "__main__":
    main()
