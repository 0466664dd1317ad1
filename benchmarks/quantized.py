"""Int8 compared with float: size, speed and agreement of the twelve quantized models, and of reference mode.

    python benchmarks/quantized.py [--images 16] [model …]

Weights are random, batch norms have the statistics of generated pictures, and each model is calibrated on such
pictures: published files are not needed. Therefore sizes and times equal those of published models, but agreement does
not: the classes of random models are close to each other, and rounding can change the top class. The last table shows
the effect of rounding on a trained model, the packaged digits model.

One thread. Times are processor time (time.process_time), so that other processes matter little; float, int8 and
reference are measured alternately, and each number is a median.
"""

from __future__ import annotations

import io
from unittest import mock

import harness
import torch
from harness import Report, in_turns
from torch import Tensor, nn

import zoo
import zoo_quantized
from zoo_quantized import eager
from zoo_quantized.reference import fit, skeleton
from zoo_quantized.states import unpack

ENGINES = ("fbgemm", "onednn", "qnnpack")


def pictures(n: int, side: int, seed: int) -> Tensor:
    """Smooth noise, float [n, 3, side, side], with the range of normalized photographs."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, side // 16, side // 16, generator=generator)
    fine = torch.randn(n, 3, side, side, generator=generator)
    return nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") + 0.1 * fine


def size(model: nn.Module) -> float:
    """Size of the saved state_dict in MB."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell() / 2**20


def agreement(a: Tensor, b: Tensor) -> float:
    return (a.argmax(1) == b.argmax(1)).double().mean().item()


def milliseconds(models: dict[str, nn.Module], x: Tensor, seconds: float) -> dict[str, float]:
    """Median processor times."""
    times = in_turns({way: lambda m=m: m(x) for way, m in models.items()}, seconds, least=3, most=50)
    return {way: taken.median("processor") * 1e3 for way, taken in times.items()}


@torch.no_grad()
def measure(name: str, images: int, seconds: float, tables: list[harness.Table]) -> None:
    side = 299 if "inception" in name else 224
    options = {"init_weights": False, "aux_logits": False} if "inception" in name or "googlenet" in name else {}
    torch.manual_seed(0)
    plain = zoo.get_model(name, **options)
    plain.train()(pictures(8, 96, 0))
    plain.eval()
    backend = zoo.get_model_weights(name).DEFAULT.meta["backend"]
    batches = [pictures(2, side, seed) for seed in (1, 2)]
    int8 = zoo_quantized.quantize(plain, batches, backend, progress=False)
    reference = zoo.get_model(name, **options)
    skeleton(reference).load_state_dict(fit(unpack(int8.state_dict()), reference))
    models = {"float": plain, "optimised": zoo.optimize(plain), "int8": int8, "reference": reference}
    outputs = [torch.cat([m(x) for x in pictures(images, side, 4).split(1)]) for m in (plain, int8, reference)]
    tables[0].row(
        model=name, made_for=backend, float_mb=size(plain), int8_mb=size(int8),
        **milliseconds(models, pictures(1, side, 3), seconds),
        same=agreement(outputs[0], outputs[1]), alike=agreement(outputs[1], outputs[2]),
    )  # fmt: skip
    row = {}
    for engine in (e for e in ENGINES if e in torch.backends.quantized.supported_engines):
        with mock.patch.object(eager, "fastest_for", lambda engine, model: engine):  # weights are packed for an engine
            made = zoo_quantized.quantize(plain, batches, engine, progress=False)
        row[engine] = milliseconds({"": made}, pictures(1, side, 3), 0)[""]
    tables[1].row(model=name, **row, runs_on=int8.runs_on)


@torch.no_grad()
def measure_digits(seconds: float, report: Report) -> None:
    from sklearn.datasets import load_digits

    name, weights = "quantized_shufflenet_v2_x0_5", "DIGITS_V1"
    digits = load_digits()
    grey = torch.from_numpy(digits.images[-450:] * 255 / 16).round().to(torch.uint8)
    preset = zoo.get_weight(f"ShuffleNet_V2_X0_5_QuantizedWeights.{weights}").transforms()
    x, y = preset(grey[:, None].expand(-1, 3, -1, -1)), torch.from_numpy(digits.target[-450:])
    ways = {"int8": True, "reference": "reference"}
    models = {way: zoo.get_model(name, weights=weights, quantize=how).eval() for way, how in ways.items()}
    taken = milliseconds(models, x[:8], seconds)
    logits = {way: torch.cat([m(batch) for batch in x.split(50)]) for way, m in models.items()}
    table = report.table("digits", way="450 held-out scans", right="right|.2%", ms="8 scans, ms|.1f")
    for way, found in logits.items():
        table.row(way=way, right=(found.argmax(1) == y).double().mean().item(), ms=taken[way])
    report.target("digits: int8 and reference, the same class", agreement(*logits.values()), least=0.99)


def main() -> int:
    parser = harness.options(__doc__, zoo.list_models(plugin="quantized"), seconds=3.0)
    parser.add_argument("--images", type=int, default=16, help="number of images for the agreement")
    parser.set_defaults(threads=1)
    given = parser.parse_args()
    report = Report(given, images=given.images)
    tables = [
        report.table(
            "models", model="model", made_for="for", float_mb="float, MB|.1f", int8_mb="int8, MB|.1f",
            float="float, ms|.0f", optimised="`zoo.optimize`, ms|.0f", int8="int8, ms|.0f",
            reference="reference, ms|.0f", same="float = int8|.0%", alike="int8 = reference|.0%",
        ),
        report.table(
            "engines", model="model", fbgemm="fbgemm, ms|.1f", onednn="oneDNN, ms|.1f", qnnpack="qnnpack, ms|.1f",
            runs_on="runs on",
        ),
    ]  # fmt: skip
    for name in given.models:
        measure(name, given.images, given.seconds, tables)
    measure_digits(given.seconds, report)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
