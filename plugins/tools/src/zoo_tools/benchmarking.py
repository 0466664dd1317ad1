"""How fast models are: cold and warm, for each engine and precision, measured alternately."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils._pytree import tree_leaves

from zoo import registry
from zoo.contract import check_count
from zoo.draw import bar_chart
from zoo.errors import InvalidArgument, ZooError
from zoo.running.devices import pick_device
from zoo_tools.cells import reason
from zoo_tools.int8 import Int8Model
from zoo_tools.machine import describe_machine, describe_software, load_of_machine, today
from zoo_tools.ways import EAGER, PRECISIONS, Way, example_of, find, make, size_of, ways_of

FORMAT = 1
# Seconds of a turn: a pause, in which the spinning threads of the engine before go to sleep (they take a third of the
# next one's speed otherwise), runs that are not timed, and at least three that are.
PAUSE, WARM_UP, BURST = 0.1, 0.05, 0.2
PEAK = 0.5  # seconds in which the speed of matrix products is measured, since a machine may be slow for some of them
TURNS, MOST = 3, 300  # minimum number of turns, maximum number of runs of the unchanged model
COLD_SECONDS = 600.0


@dataclass(frozen=True)
class Measurement:
    """The measurement of one model with one engine, one precision and one batch size.

    Attributes:
        model: name of the model.
        weights: name of the weights; None for random weights.
        device: the device it ran on: ``"cpu"`` or the name of the GPU.
        torch: version of torch.
        threads: number of threads of torch and of the engine.
        batch: batch size.
        engine: ``"eager"`` for the unchanged model, otherwise a name that :func:`zoo.optimize` accepts.
        precision: ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"int8"``.
        ms: median time of a run in milliseconds; None if it could not run.
        ms_p95: 95th percentile of the times in milliseconds.
        runs: number of timed runs.
        per_second: inputs per second, from the median.
        times_eager: speed relative to the unchanged model in float32.
        off: largest difference from the outputs of the unchanged model, in units of their standard deviation.
        same: share of inputs with the same top class, if the outputs are classes.
        first_answer_s: seconds from the start of a new process to its first output: imports, building the model, and
            the engine's compilation. For int8, the file already exists.
        memory_mb: peak memory of a separate process, or of the GPU.
        file_mb: size of the weights in float32; for int8, size of the file.
        note: why it could not run.
        date: date of the measurement.
        load: load of the machine before the measurement.
    """

    model: str
    weights: str | None
    device: str
    torch: str
    threads: int
    batch: int
    engine: str
    precision: str
    ms: float | None = None
    ms_p95: float | None = None
    runs: int = 0
    per_second: float | None = None
    times_eager: float | None = None
    off: float | None = None
    same: float | None = None
    first_answer_s: float | None = None
    memory_mb: float | None = None
    file_mb: float | None = None
    note: str = ""
    date: str = ""
    load: float | None = None


@dataclass(frozen=True)
class Benchmark:
    """The result of :func:`benchmark`.

    Attributes:
        measurements: in the order in which they were made.
        machine: the machine, see :func:`zoo_tools.machine.describe_machine`; ``gflops`` is the measured speed of a
            product of large matrices, for each precision.
        software: versions of packages.
    """

    measurements: Sequence[Measurement]
    machine: Mapping[str, Any] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The content of the ``--output`` file; docs/benchmarking.md explains each field."""
        return {
            "format": FORMAT,
            "machine": dict(self.machine),
            "software": dict(self.software),
            "measurements": [asdict(one) for one in self.measurements],
        }

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the result as JSON.

        Raises:
            FileExistsError: ``path`` already exists.
        """
        target = Path(path)
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target} already exists; use --force to replace it.")
        part = target.with_name(f".{target.name}.{os.getpid()}")
        part.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        part.replace(target)


def benchmark(
    models: str | Sequence[str],
    *,
    batches: Sequence[int] = (1, 8),
    engines: str | Sequence[str] = (EAGER, "torch"),
    precisions: Sequence[str] = ("float32",),
    device: str = "cpu",
    weights: str | None = None,
    threads: int | None = None,
    seconds: float = 3.0,
    cold: bool = True,
    told: Callable[[str], None] | None = None,
    **config: Any,
) -> Benchmark:
    """Measure models: first output of a new process, latency, throughput, memory, file size, and agreement of outputs.

    The unchanged model in float32 is always measured as the baseline of the comparison. All configurations of a model
    are measured alternately, so that a change in the machine's speed affects all of them equally.

    Args:
        models: names, as accepted by :func:`zoo.get_model`.
        batches: batch sizes.
        engines: ``"eager"`` and names that :func:`zoo.optimize` accepts; ``"all"`` for every installed engine.
        precisions: ``"float32"``, ``"bfloat16"``, ``"float16"``, ``"int8"`` (with ``openvino`` and ``compile``).
        device: device to run on.
        weights: name of the weights, or a file; by default random weights, which are equally fast.
        threads: number of threads of torch and of the engines; by default torch's own number.
        seconds: approximate measuring time of each configuration.
        cold: start a new process for each configuration, to measure its first output and its memory.
        told: called with a message before each step.
        **config: arguments of the builder.

    Raises:
        UnknownModel: no installed plugin has a model of this name.
        InvalidArgument: unknown engine, precision or device.
        MissingPlugin: a requested engine is not installed.

    >>> zoo.benchmark("resnet50", engines="all", precisions=("float32", "bfloat16")).measurements[1].times_eager
    """
    names = [models] if isinstance(models, str) else list(models)
    infos = [registry.model_info(name) for name in names]
    batches = [check_count("batch", batch, 1) for batch in batches]
    chosen = read_engines(engines)
    for precision in precisions:
        if precision not in PRECISIONS:
            raise InvalidArgument(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}.")
    where = pick_device(device)
    say = told or (lambda text: None)
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(check_count("threads", threads, 1))
    found: list[Measurement] = []
    try:
        machine = {**describe_machine(where), "gflops": gflops(where)}
        for name, info in zip(names, infos, strict=True):
            model = find(name, weights, config, str(where))
            for batch in batches:
                rows, ready = _in_turns(
                    name, info.name, model, batch, ways_of(chosen, precisions), where, weights, seconds, say
                )
                for row in rows:
                    row = replace(row, file_mb=round(size_of(model) / 2**20, 2))
                    with tempfile.TemporaryDirectory() as folder:
                        asked: dict[str, Any] = {}
                        fast = ready.get(Way(row.engine, row.precision))
                        if isinstance(fast, Int8Model) and fast.facts:
                            file = Path(folder) / f"model{fast.suffix}"
                            fast.save(file)
                            size = sum(one.stat().st_size for one in Path(folder).iterdir())
                            row = replace(row, file_mb=round(size / 2**20, 2))
                            shapes = [list(t.shape) for t in example_of(model, name, batch, "cpu")]
                            asked = {"file": str(file), "shapes": shapes}
                        if cold and row.ms is not None:
                            say(f"{row.model}: first output, {row.engine} {row.precision}, batch {batch}")
                            row = replace(row, **_cold(name, row, str(where), weights, config, asked))
                    found.append(row)
    finally:
        torch.set_num_threads(before)
    return Benchmark(found, machine, describe_software())


def read_engines(engines: str | Sequence[str]) -> list[str]:
    """Names of engines; ``"all"`` stands for all installed engines.

    Raises:
        InvalidArgument, MissingPlugin: an engine is unknown or not installed.
    """
    every = [name for name, engine, _ in registry.engines() if not registry.missing_for(engine)]
    if engines == "all" or list(engines) == ["all"]:
        return [EAGER, *every]
    names = [engines] if isinstance(engines, str) else list(engines)
    for name in names:
        if name != EAGER:
            registry.usable_engine(name)
    return names


def gflops(device: torch.device) -> dict[str, float]:
    """Speed of a product of two 1,024 × 1,024 matrices, in billions of operations per second, for each precision."""
    found = {}
    side = 1024 if device.type == "cpu" else 8192
    for name in ("float32", "bfloat16"):
        a = torch.randn(side, side, device=device).to(getattr(torch, name))
        best = min(_runs(torch.matmul, (a, a), device, PEAK, 5))
        found[name] = round(2 * side**3 / best / 1e6, 1)
    return found


def _timed(run: Callable[..., Any], arguments: tuple[Any, ...], device: torch.device) -> float:
    start = time.perf_counter()
    run(*arguments)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _runs(
    run: Callable[..., Any], arguments: tuple[Any, ...], device: torch.device, seconds: float, least: int
) -> list[float]:
    """Milliseconds of each run, for ``seconds``."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        times.append(_timed(run, arguments, device) * 1e3)
    return times


@torch.inference_mode()
def _in_turns(
    name: str,
    shown: str,
    model: Any,
    batch: int,
    ways: Sequence[Way],
    device: torch.device,
    weights: str | None,
    seconds: float,
    say: Callable[[str], None],
) -> tuple[list[Measurement], dict[Way, Any]]:
    example = example_of(model, name, batch, str(device))
    expected = _outputs(model, model, example)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    rows: dict[Way, Measurement] = {}
    ready: dict[Way, Any] = {}
    for way in ways:
        say(f"{shown}: making {way}, batch {batch}")
        row = Measurement(
            shown, weights, card, torch.__version__, torch.get_num_threads(), batch, way.engine, way.precision,
            date=today(), load=load_of_machine(),
        )  # fmt: skip
        try:
            with torch.inference_mode(False), torch.no_grad():
                fast = make(way, model, example)
            off, same = _compared(_outputs(fast, model, example), expected)
            row = replace(row, off=off, same=same)
            ready[way] = fast
        except Exception as e:  # noqa: BLE001  engines and compilers can raise anything; it becomes the note
            row = replace(row, note=str(e) if isinstance(e, ZooError) else reason(e))
        rows[way] = row
    say(f"{shown}: measuring, batch {batch}")
    times: dict[Way, list[float]] = {way: [] for way in ready}
    end = time.perf_counter() + seconds * len(ready)
    turn = 0
    while ready and (turn < TURNS or (time.perf_counter() < end and len(times[ways[0]]) < MOST)):
        turn += 1
        for way, fast in ready.items():
            time.sleep(PAUSE)
            _runs(fast, example, device, WARM_UP, 1)
            times[way] += _runs(fast, example, device, BURST, 3)
    usual = statistics.median(times[ways[0]])
    for way, taken in times.items():
        middle = statistics.median(taken)
        rows[way] = replace(
            rows[way],
            ms=round(middle, 3),
            ms_p95=round(statistics.quantiles(taken, n=20)[-1], 3),
            runs=len(taken),
            per_second=round(batch / middle * 1e3, 2),
            times_eager=round(usual / middle, 3),
        )
    return list(rows.values()), ready


def _outputs(fast: Any, model: Any, example: tuple[Any, ...]) -> list[Tensor]:
    """All tensors in ``value``; for detectors, the tensors that the detections are made of."""
    if hasattr(model, "comparable") and not hasattr(fast, "comparable"):
        return []
    return [t for t in tree_leaves(getattr(fast, "comparable", fast)(*example)) if isinstance(t, Tensor)]


def _compared(got: list[Tensor], want: list[Tensor]) -> tuple[float | None, float | None]:
    """The difference of the outputs, and the share of equal top classes."""
    if not got or [t.shape for t in got] != [t.shape for t in want]:
        return None, None
    off = 0.0
    for a, b in zip(got, want, strict=True):
        if b.is_floating_point() and b.numel():
            spread = b.double().std(correction=0).item() or 1.0
            off = max(off, (a.double() - b.double()).abs().max().item() / spread)
    classes = want[0].ndim in (2, 4) and len(want) == 1 and want[0].shape[1] > 1
    same = (got[0].argmax(1) == want[0].argmax(1)).double().mean().item() if classes else None
    return float(f"{off:.3g}"), same


def _cold(
    name: str,
    row: Measurement,
    device: str,
    weights: str | None,
    config: Mapping[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """The time of the first output and the memory of a new process."""
    asked = {
        "model": name,
        "weights": weights,
        "config": dict(config),
        "device": device,
        "engine": row.engine,
        "precision": row.precision,
        "batch": row.batch,
        "threads": row.threads,
        **more,
    }
    command = [sys.executable, "-m", "zoo_tools.ways", json.dumps(asked)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COLD_SECONDS, check=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    except subprocess.TimeoutExpired:
        return {"note": f"a new process gave no output within {COLD_SECONDS:g} s"}
    except (subprocess.CalledProcessError, ValueError, IndexError) as e:
        said = getattr(e, "stderr", "") or str(e)
        return {"note": f"a new process failed: {said.strip().splitlines()[-1][:200]}"}


def draw(found: Benchmark) -> Image.Image:
    """Inputs per second as a bar chart: one group for each model and batch size, starting with the unchanged model.

    Raises:
        InvalidArgument: there are no measurements.
    """
    groups: dict[str, list[tuple[str, float]]] = {}
    for row in found.measurements:
        if row.per_second is not None:
            heading = f"{row.model}, batch {row.batch}"
            groups.setdefault(heading, []).append((f"{row.engine} {row.precision}", row.per_second))
    where = found.machine.get("card") or found.machine.get("processor") or ""
    return bar_chart(f"Inputs per second: {where}", list(groups.items()), "/s")
