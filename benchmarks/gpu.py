"""Images per second of models on a GPU, in 32 and 16 bits and compiled; compared with torchvision's if available.

    python benchmarks/gpu.py [--batch 64] [--compile] [model …]

Inputs are on the device. The variants are measured alternately in one process, and each number is the median over the
turns; `×` is the speed relative to torchvision's model in float32. Float32 products do not use TF32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import torch
from harness import Report, in_turns
from torch import Tensor, nn

import zoo

COLUMNS = {
    "torchvision": "torchvision fp32, images a second|,.0f", "fp32": "fp32|.2f", "fp32_optimised": "fp32 optimised|.2f",
    "bf16": "bf16|.2f", "bf16_optimised": "bf16 optimised|.2f", "fp16": "fp16|.2f",
    "fp16_optimised": "fp16 optimised|.2f", "fp16_compiled": "fp16 compiled|.2f",
}  # fmt: skip
MODELS = (
    "resnet50", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "vit_b_16", "swin_t", "regnet_y_400mf",
    "fcn_resnet50", "r3d_18", "raft_large",
)  # fmt: skip
SIZES = {"r3d_18": (3, 16, 112, 112), "fcn_resnet50": (3, 520, 520), "raft_large": (3, 360, 520)}
SHARE = {"r3d_18": 4, "fcn_resnet50": 8, "raft_large": 16}  # divisor of the batch size for large models


def random_model(library: str, name: str) -> nn.Module:
    torch.manual_seed(0)
    backbone = {"weights_backbone": None} if name.startswith("fcn") else {}
    get = zoo.get_model if library == "zoo" else harness.torchvision().models.get_model
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

    found = {"torchvision": ready(random_model("torchvision", name))} if harness.torchvision() else {}
    found["fp32"] = ready(random_model("zoo", name))
    if name.startswith("raft"):
        model = random_model("zoo", name)

        def cast() -> Any:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                return model(*given)

        return found | {"bf16": cast}
    found["fp32_optimised"] = ready(zoo.optimize(random_model("zoo", name), given))
    for label, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        half = random_model("zoo", name).to(dtype)
        found[label] = ready(half, dtype, last=True)
        found[f"{label}_optimised"] = ready(zoo.optimize(half, tuple(g.to(dtype) for g in given)), dtype, last=True)
    if compiled:
        call = ready(torch.compile(random_model("zoo", name).to(torch.float16)), torch.float16, last=True)
        found["fp16_compiled"] = call
    return found


def main() -> int:
    parser = harness.options(__doc__, MODELS, seconds=8.0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--compile", action="store_true", help="also measure float16 with torch.compile")
    parser.set_defaults(device="cuda")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("No GPU is available: nothing is measured.")
        return 0
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    report = Report(given, batch=given.batch)
    table = report.table("rates", model="", **COLUMNS)
    for name in given.models:
        inputs_ = inputs(name, given.batch)
        with torch.inference_mode():
            times = in_turns(variants(name, inputs_, given.compile), given.seconds, wait=torch.cuda.synchronize)
        first = next(iter(times.values()))
        rates = {label: first.over(taken) for label, taken in times.items()}
        rates["torchvision" if "torchvision" in times else "fp32"] = len(inputs_[0]) / first.median()
        table.row(model=f"{name}, {len(inputs_[0])}", **rates)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
