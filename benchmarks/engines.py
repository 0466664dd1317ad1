"""Speed of ten families in half precision, in int8 and with engines, relative to eager float32; uses zoo.benchmark.

    python benchmarks/engines.py [resnet50 …] [--cold] [--compile]

All configurations are measured alternately, with batch sizes 1 and 8. Eager float32 is the model as built, which runs
the same operators as torchvision's. Engines that are not installed are left out; torch.compile takes a minute for each
model and configuration, and is measured only on request. Models can be measured one by one: the file keeps the others.
``measurements/engines.json`` has every measurement in the format of ``zoo benchmark --output``, for the catalogue.
"""

from __future__ import annotations

import json
import statistics

import harness
from harness import FOLDER, Report

import zoo
from zoo_tools.benchmarking import Benchmark, Measurement, read_engines

MODELS = (
    "resnet50 mobilenet_v3_large efficientnet_b0 regnet_y_400mf convnext_tiny vit_b_16 densenet121 swin_t "
    "shufflenet_v2_x1_0 mnasnet1_0"
).split()
BATCHES = (1, 8)
PRECISIONS = ("float32", "bfloat16", "int8")
# Column → engine and precision; targets for the median of ten families with batch sizes 1 and 8.
WAYS = {
    "float32": ("torch", "float32"), "bfloat16": ("torch", "bfloat16"), "onnxruntime": ("onnxruntime", "float32"),
    "openvino": ("openvino", "float32"), "openvino16": ("openvino", "bfloat16"), "int8": ("openvino", "int8"),
    "compile": ("compile", "float32"), "compile16": ("compile", "bfloat16"), "compile8": ("compile", "int8"),
}  # fmt: skip
COLUMNS = {
    "eager": "eager, ms|.1f", "peak": "of the peak|.0%", "float32": "float32|.2f", "bfloat16": "bfloat16|.2f",
    "onnxruntime": "ONNX Runtime|.2f", "openvino": "OpenVINO|.2f", "openvino16": "OpenVINO bfloat16|.2f",
    "int8": "OpenVINO int8|.2f", "compile": "compile|.2f", "compile16": "compile bfloat16|.2f",
    "compile8": "compile int8|.2f",
}  # fmt: skip
TARGETS = {"float32": (1.3, 1.6), "bfloat16": (1.9, 2.5), "best": (3.2, 3.2), "int8": (4, 4)}
NOT_SLOWER = 0.97


def speedups(rows: list[Measurement]) -> dict[str, float]:
    """Configuration → speed relative to eager float32; ``best`` of those with floats."""
    found = {
        key: row.times_eager for key, way in WAYS.items() for row in rows
        if (row.engine, row.precision) == way and row.times_eager is not None
    }  # fmt: skip
    floats = [value for key, value in found.items() if not key.endswith("8")]
    return {**found, "best": max(floats)} if floats else found


def add(report: Report, measured: Benchmark) -> None:
    """Add the rows of a model, and write its measurements to measurements/engines.json."""
    for batch in BATCHES:
        table = report.table(f"batch_{batch}", model=f"batch {batch}", **COLUMNS)
        rows = [row for row in measured.measurements if row.batch == batch]
        eager = next(row for row in rows if row.engine == "eager")
        macs = zoo.get_model_weights(eager.model).DEFAULT.value.gflops or 0.0
        peak = 2 * macs * (eager.per_second or 0) / measured.machine["gflops"]["float32"]
        table.row(model=eager.model, eager=eager.ms, peak=peak, **speedups(rows))
    path = FOLDER.parent / "engines.json"
    new = measured.to_dict()
    old = json.loads(path.read_text())["measurements"] if path.exists() else []
    names = {row.model for row in measured.measurements}
    new["measurements"] = [row for row in old if row["model"] not in names] + new["measurements"]
    path.write_text(json.dumps(new, indent=1) + "\n")


def hold(report: Report) -> None:
    """Check the targets, if all ten families were measured."""
    for i, batch in enumerate(BATCHES):
        rows = report.content["tables"].get(f"batch_{batch}", {"rows": []})["rows"]
        if not {*MODELS} <= {row["model"] for row in rows}:
            continue
        for key, goals in TARGETS.items():
            values = [row[key] for row in rows if row.get(key)]
            if len(values) == len(rows):
                report.target(f"median of ten, {key}, batch {batch}", statistics.median(values), least=goals[i])
        slowest = min(row["float32"] for row in rows)
        report.target(f"slowest of ten, float32, batch {batch}", slowest, least=NOT_SLOWER)


def main() -> int:
    parser = harness.options(__doc__, MODELS, seconds=3.0)
    parser.add_argument(
        "--cold", action="store_true", help="also measure the first output of new processes, and memory"
    )
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    given = parser.parse_args()
    report = Report(given)
    engines = [name for name in read_engines("all") if given.compile or name != "compile"]
    for name in given.models:
        measured = zoo.benchmark(
            name, batches=BATCHES, engines=engines, precisions=PRECISIONS, device=given.device, threads=given.threads,
            seconds=given.seconds, cold=given.cold,
        )  # fmt: skip
        for row in measured.measurements:
            if row.note:
                print(f"{row.engine} {row.precision}, batch {row.batch}: {row.note}")
        add(report, measured)
        hold(report)
        status = report.finish()
    return status


if __name__ == "__main__":
    harness.start(main)
