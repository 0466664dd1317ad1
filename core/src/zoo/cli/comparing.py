"""``zoo compare``: models side by side: their facts, and their results on your own pictures."""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from zoo import registry
from zoo.cli import output
from zoo.cli.checking import check_weights, problems_of
from zoo.cli.inputs import as_paths
from zoo.cli.tables import GAP, Column, print_table, same_places, width
from zoo.cli.working import working
from zoo.errors import InvalidArgument
from zoo.registry import ModelInfo


def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help="Two or more: names, weights (resnet50.IMAGENET1K_V1) or saved models."),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="PATH",
            help="Pictures, folders or quoted wildcards to run the models on.",
            rich_help_panel="On pictures",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Run them on at most N inputs.", rich_help_panel="On pictures")
    ] = 20,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE",
            help="The device to run them on: cpu, cuda, mps; auto takes the best available.",
            rich_help_panel="On pictures",
        ),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Compare models: their facts side by side, and on your pictures their answers, how often they agree, and their
    speed.

    The facts require no download. --on downloads the weights and runs one model after another, one input at a time; the
    time of a model is the median from the file to the result.

    Examples:
        zoo compare resnet50 mobilenet_v3_large
        zoo compare resnet50.IMAGENET1K_V1 resnet50.IMAGENET1K_V2 --on 'pictures/*.jpg'
        zoo compare resnet18 squeezenet1_1 --on dog.jpg --json
    """
    if len(models) < 2:
        raise typer.BadParameter("Expected two models or more.")
    infos = {name: registry.model_info(name) for name in models}
    sources: list[Any] = []
    if inputs:
        sources = _sources(infos, inputs)[:limit]
    if not as_json:
        _print_facts(infos)
    found = _run(infos, sources, device) if sources else None
    if as_json:
        output.print_json({"models": [_facts(name, info) for name, info in infos.items()], **(found or {})})
    elif found is not None:
        print()
        _print_found(found)
    return int(found is not None and any("error" in row for row in found["inputs"]))


# ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _facts(name: str, info: ModelInfo) -> dict[str, Any]:
    w = info.weights.get("DEFAULT") or next(iter(info.weights.values()), None)
    cells = registry.capabilities(info.full_name).get("cells", {}) if info.source is None else {}
    return {
        "model": name,
        "weights": info.default_weights,
        "task": info.task,
        "plugin": info.plugin,
        "metrics": {} if w is None else w.metrics,
        "num_params": info.num_params if w is None or w.num_params is None else w.num_params,
        "gflops": None if w is None else w.gflops,
        "file_size": None if w is None else w.file_size,
        "min_size": None if w is None else w.min_size,
        "labels": None if w is None else len(w.read_categories()),
        "license": None if w is None else w.license,
        "preprocessing": None if w is None or w.transforms is None else registry.in_words(w.transforms),
        "works": [cell for cell, result in cells.items() if result["works"]],
    }


def _print_facts(infos: dict[str, ModelInfo]) -> None:
    """One column per model, or on a narrow terminal one model below the other."""
    every = [_facts(name, info) for name, info in infos.items()]
    keys = list(dict.fromkeys((data, key) for fact in every for data, of in fact["metrics"].items() for key in of))
    tasks = registry.registry().tasks
    titles = {m.key: m.title for claims in tasks.values() for spec, _ in claims for m in spec.metrics}
    lines: list[list[str]] = [["Task", *(fact["task"] for fact in every)]]
    lines.append(["Weights", *(fact["weights"] or output.NONE for fact in every)])
    for data, key in keys:
        values = [fact["metrics"].get(data, {}).get(key) for fact in every]
        titles = {
            m.key: m.title for spec, _ in registry.registry().tasks.get(every[0]["task"], ()) for m in spec.metrics
        }
        lines.append([f"{titles.get(key, key)}, {data}", *_aligned(map(output.number, values))])
    lines.append(["Params", *_aligned(output.count(fact["num_params"]) for fact in every)])
    lines.append(["GFLOPs", *_aligned(output.gflops(fact["gflops"]) for fact in every)])
    sizes = [output.NONE if fact["file_size"] is None else f"{fact['file_size']:.1f} MB" for fact in every]
    lines.append(["File", *_aligned(sizes)])
    lines.append(["Labels", *_aligned(str(fact["labels"] or output.NONE) for fact in every)])
    lines.append(["Licence", *(fact["license"] or output.NONE for fact in every)])
    widths = [max(width(line[i]) for line in [["", *infos], *lines]) for i in range(len(infos) + 1)]
    if output.on_terminal() and sum(widths) + len(GAP) * len(infos) > output.columns():
        for i, name in enumerate(infos):
            output.say(output.Painted("\n" * bool(i)), output.paint(name, "cyan", bold=True), sep="")
            output.print_facts([(line[0], line[i + 1].strip()) for line in lines])
        return
    print_table([Column(""), *(Column(name) for name in infos)], lines)


def _aligned(cells: Any) -> list[str]:
    every = same_places(list(cells))
    most = max(width(cell) for cell in every)
    return [cell.rjust(most) for cell in every]


# ── on pictures ──────────────────────────────────────────────────────────────────────────────────────────────────


def _sources(infos: dict[str, ModelInfo], inputs: Sequence[str]) -> list[Any]:
    """The inputs. Raises for a missing file, before torch is imported."""
    specs = [registry.get_task(info.task, plugin=info.plugin) for info in infos.values()]
    if any(spec.inputs_per_sample != 1 for spec in specs):
        raise InvalidArgument("--on takes models whose inputs are single files.")
    for info in infos.values():
        if info.source is None:
            check_weights(info, "DEFAULT")
            if not info.weights:
                raise InvalidArgument(f"--on: no weights are published for {info.name}, so it cannot answer.")
    paths = as_paths(inputs)
    for problem in problems_of([path for path in paths if isinstance(path, str)], specs[0]).values():
        raise problem
    from zoo.cli.inputs import sources_of

    return sources_of(paths, specs[0])


def _run(infos: dict[str, ModelInfo], sources: Sequence[Any], device: str) -> dict[str, Any]:
    from zoo.running.pipelines import pipeline

    answers: dict[str, list[str | Exception]] = {}
    milliseconds: dict[str, float] = {}
    for name in infos:
        with working(f"Loading {name}"):
            ready = pipeline(name, device=device, optimize=False, workers=0)
            next(iter(ready.stream(sources[:1])))  # the first takes longer than the others
        times: list[float] = []
        said: list[str | Exception] = []
        with working(f"Running {name}", total=len(sources), unit="input") as work:
            for source in sources:
                start = time.perf_counter()
                ((_, result),) = ready.stream([source], batch_size=1, progress=False)
                times.append(time.perf_counter() - start)
                said.append(result if isinstance(result, Exception) else _answer(result))
                work.advance()
        answers[name] = said
        milliseconds[name] = 1000 * statistics.median(times)
    rows: list[dict[str, Any]] = []
    for i, source in enumerate(sources):
        each = {name: said[i] for name, said in answers.items()}
        failed = next((str(one) for one in each.values() if isinstance(one, Exception)), None)
        rows.append({"input": str(source), "error": failed} if failed else {"input": str(source), "answers": each})
    good = [row["answers"] for row in rows if "answers" in row]
    agreement = [
        {"models": [a, b], "agree": sum(_label(row[a]) == _label(row[b]) for row in good), "inputs": len(good)}
        for a, b in itertools.combinations(infos, 2)
    ]
    return {"inputs": rows, "agreement": agreement, "milliseconds": milliseconds}


def _answer(result: Any) -> str:
    """The main answer of a result, in one line."""
    lines = result.lines(1)
    return " ".join(str(lines[0]).split()) if lines else "nothing"


def _label(answer: str) -> str:
    """An answer without its numbers, to compare those of two models."""
    return re.sub(r"[\d.,%×()\[\]+-]+", " ", answer).strip()


def _print_found(found: dict[str, Any]) -> None:
    names = list(found["milliseconds"])
    rows = []
    for row in found["inputs"]:
        if "error" in row:
            output.print_error(row["error"])
            continue
        each = [row["answers"][name] for name in names]
        same = len({_label(answer) for answer in each}) == 1
        rows.append([row["input"], *each, "yes" if same else "no"])
    if rows:
        columns = [Column("Input", code=True), *(Column(name, rank=1) for name in names), Column("Agree")]
        print_table(columns, rows)
        print()
    output.print_facts([(name, f"{ms:.1f} ms per input") for name, ms in found["milliseconds"].items()], indent="")
    for one in found["agreement"]:
        if one["inputs"]:
            share = one["agree"] / one["inputs"]
            output.say(
                f"{one['models'][0]} and {one['models'][1]} agree on {one['agree']} of "
                f"{output.counted(one['inputs'], 'input')} ({share:.0%})."
            )
