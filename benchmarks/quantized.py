"""Int8 against float: size, speed and agreement of the twelve quantized models, and of reference mode.

    python benchmarks/quantized.py [--images 16] [--seconds 3] [model …]

Weights are random, batch norm has the statistics of generated pictures, and each model is calibrated on such: the
published files are not needed. So sizes and times are those of published models; agreement is not: random models tell
classes by next to nothing, and a step of an integer can turn that around. What rounding does to a trained model is in
the last lines, of the digits model in the package.

One thread. Times are what the process computed (time.process_time), so that others on the machine count little; float,
int8 and reference take turns, and a figure is the median.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import zoo
import zoo_quantized
from zoo_quantized.reference import fit, skeleton
from zoo_quantized.states import unpack


def pictures(n: int, side: int, seed: int) -> Tensor:
    """Smooth noise, float [n, 3, side, side], about as large as normalised photographs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, side // 16, side // 16, generator=generator)
    fine = torch.randn(n, 3, side, side, generator=generator)
    return nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") + 0.1 * fine


def size(model: nn.Module) -> float:
    """Of the saved state_dict, in MB."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell() / 2**20


def times(calls: list[Callable[[], Tensor]], seconds: float) -> list[float]:
    """Median processor time of each in milliseconds, in turns that fill about ``seconds``."""
    taken: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    end = time.perf_counter() + seconds
    while len(taken[0]) < 3 or (time.perf_counter() < end and len(taken[0]) < 50):
        for call, own in zip(calls, taken, strict=True):
            start = time.process_time()
            call()
            own.append((time.process_time() - start) * 1e3)
    return [statistics.median(own) for own in taken]


def agreement(a: Tensor, b: Tensor) -> str:
    return f"{(a.argmax(1) == b.argmax(1)).double().mean().item():.0%}"


@torch.no_grad()
def measure(name: str, images: int, seconds: float) -> None:
    side = 299 if "inception" in name else 224
    options = {"init_weights": False, "aux_logits": False} if "inception" in name or "googlenet" in name else {}
    torch.manual_seed(0)
    plain = zoo.get_model(name, **options)
    plain.train()(pictures(8, 96, 0))
    plain.eval()
    backend = zoo.get_model_weights(name).DEFAULT.meta["backend"]
    int8 = zoo_quantized.quantize(plain, [pictures(2, side, seed) for seed in (1, 2)], backend, progress=False)
    reference = zoo.get_model(name, **options)
    skeleton(reference).load_state_dict(fit(unpack(int8.state_dict()), reference))
    fast = zoo.optimize(plain)

    x = pictures(1, side, 3)
    ms = times([lambda m=m: m(x) for m in (plain, fast, int8, reference)], seconds)
    outputs = [torch.cat([m(x) for x in pictures(images, side, 4).split(1)]) for m in (plain, int8, reference)]
    shares = f"{agreement(outputs[0], outputs[1])} | {agreement(outputs[1], outputs[2])}"
    sizes = f"{size(plain):.1f} | {size(int8):.1f}"
    print(f"| {name} | {backend} | {sizes} | {' | '.join(f'{t:.0f}' for t in ms)} | {shares} |", flush=True)


@torch.no_grad()
def measure_digits(seconds: float) -> None:
    from sklearn.datasets import load_digits

    name, weights = "quantized_shufflenet_v2_x0_5", "DIGITS_V1"
    digits = load_digits()
    grey = torch.from_numpy(digits.images[-450:] * 255 / 16).round().to(torch.uint8)
    preset = zoo.get_weight(f"ShuffleNet_V2_X0_5_QuantizedWeights.{weights}").transforms()
    x = preset(grey[:, None].expand(-1, 3, -1, -1))
    y = torch.from_numpy(digits.target[-450:])
    int8, reference = (zoo.get_model(name, weights=weights, quantize=how) for how in (True, "reference"))
    ms = times([lambda m=m: m(x[:8]) for m in (int8, reference)], seconds)
    a, b = (torch.cat([m(batch) for batch in x.split(50)]) for m in (int8, reference))
    accuracy = [f"{(logits.argmax(1) == y).double().mean().item():.2%}" for logits in (a, b)]
    print(
        f"\nDigits, 450 held-out scans: int8 {accuracy[0]}, reference {accuracy[1]}, the same class {agreement(a, b)}; "
    )
    print(f"8 scans of 64 × 64: int8 {ms[0]:.1f} ms, reference {ms[1]:.1f} ms; file {size(reference):.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="only these")
    parser.add_argument("--images", type=int, default=16, help="for the agreement")
    parser.add_argument("--seconds", type=float, default=3.0, help="for the times of a model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    engines = ", ".join(e for e in torch.backends.quantized.supported_engines if e != "none")
    print(f"{platform.machine()}, 1 thread, torch {torch.__version__} ({engines}), ", end="")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}\n")
    print("| model | for | float, MB | int8, MB | float, ms | zoo.optimize, ms | int8, ms | reference, ms |", end="")
    print(" float = int8 | int8 = reference |\n| --- | --- |" + " ---: |" * 8)
    for name in options.models or zoo.list_models(plugin="quantized"):
        measure(name, options.images, options.seconds)
    measure_digits(options.seconds)


if __name__ == "__main__":
    main()
