"""``zoo show``: all facts about a model and its weights. torch is not imported."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from zoo import files, registry
from zoo.cli import output, views
from zoo.contract import Weights
from zoo.contract.preprocessing import listed
from zoo.errors import DownloadError, UnknownWeights
from zoo.registry import ModelInfo


def show(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model (resnet50), its weights (ResNet50_Weights.DEFAULT, resnet50.IMAGENET1K_V2), or a saved "
            "model's file, folder or repository.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show all facts about a model and its weights.

    All weights are shown with their metrics, preprocessing, recipe, licence, and place in the cache.

    Examples:
        zoo show resnet50
        zoo show ResNet50_Weights.DEFAULT
        zoo show best.safetensors --json
    """
    info = registry.model_info(model)
    try:
        enum_name = registry.get_model_weights(info.full_name).__name__ if info.source is None else ""
    except UnknownWeights:
        enum_name = ""
    default = info.default_weights
    with contextlib.suppress(UnknownWeights):  # for a name of weights, the model's own default
        if info.source is None:
            marked = registry.get_model_weights(info.full_name).__members__.get("DEFAULT")
            default = marked.name if marked is not None else None
    if as_json:
        output.print_json(_model_facts(info, enum_name))
        return 0
    output.say(output.paint(info.name, bold=True))
    where = f" ({info.distribution} {info.version})" if info.distribution else ""
    output.print_facts(
        [
            ("task", ", ".join(info.tasks)),
            ("plugin", f"{info.plugin}{where}"),
            ("full name", info.full_name if info.full_name != f"{info.plugin}/{info.name}" else ""),
            ("parameters", f"{info.num_params:,}" if info.num_params is not None else ""),
            ("paper", info.paper or ""),
            ("input", listed(info.input)),
            ("builder" if info.exported is None else "opened by", info.builder),
            ("saved in" if info.exported is None else "exported to", info.source or ""),
            *views.export_lines(info.exported or {}),
            *_capability_lines(info),
        ]
    )
    if not views.members(info):
        print("\nNo weights are published for it.")
    for name in views.members(info):
        default = "  DEFAULT" if name == default else ""
        title = output.paint(f"{enum_name}.{name}".lstrip("."), "cyan", bold=True)
        print()
        output.say(title, output.paint(default, "green"), sep="")
        output.print_facts(_weights_lines(info.weights[name], info))
    return 0


def _capability_lines(info: ModelInfo) -> list[tuple[str, str]]:
    """What was measured to work, what does not work, and with which torch."""
    table = registry.capabilities(info.full_name) if info.source is None else {}
    cells: Mapping[str, Any] = table.get("cells", {})
    return [
        ("works", ", ".join(cell for cell, result in cells.items() if result["works"])),
        (
            "does not",
            "\n".join(f"{cell}: {r.get('note', 'no reason given')}" for cell, r in cells.items() if not r["works"]),
        ),
        ("measured", f"torch {table['torch']}, {table['device']}, {table['date']}" if cells else ""),
    ]


def _weights_lines(w: Weights, info: ModelInfo) -> list[tuple[str, str]]:
    metrics = [
        f"{data}: {', '.join(f'{name} {output.number(value)}' for name, value in values.items())}"
        for data, values in w.metrics.items()
    ]
    labels = w.read_categories()
    # Arguments that follow from the number of labels are left out.
    config = {k: v for k, v in w.config.items() if (k, v) != ("num_classes", len(labels))}
    few = ", ".join(labels[:3]) + (", …" if len(labels) > 3 else "")
    return [
        ("about", w.docs),
        ("metrics", "\n".join(metrics)),
        ("parameters", f"{w.num_params:,}" if w.num_params not in (None, info.num_params) else ""),
        ("GFLOPs" if w.ops_unit == "GFLOPS" else w.ops_unit, output.gflops(w.gflops) if w.gflops is not None else ""),
        ("labels", f"{len(labels)} ({few})" if labels else ""),
        ("preprocessing", registry.in_words(w.transforms) if w.transforms else ""),
        ("smallest input", f"{w.min_size[0]} × {w.min_size[1]}" if w.min_size and w.min_size != (1, 1) else ""),
        ("built with", listed(config)),
        ("recipe", w.recipe or ""),
        ("published runtime", listed(views.runtime(w))),
        ("licence", "\n".join(x for x in (w.license, w.extra.get("license_source")) if x)),
        ("file", files.redacted(w.url)),
        ("size", f"{w.file_size:.1f} MB" if w.file_size is not None else ""),
        ("in the cache", _cached(w.url) or "no"),
    ]


def _model_facts(info: ModelInfo, enum_name: str) -> dict[str, Any]:
    facts = {field: getattr(info, field) for field in info.__dataclass_fields__}
    facts["capabilities"] = dict(registry.capabilities(info.full_name)) if info.source is None else {}
    facts["weights"] = {name: _weights_facts(f"{enum_name}.{name}", info.weights[name]) for name in views.members(info)}
    return facts


def _weights_facts(name: str, w: Weights) -> dict[str, Any]:
    facts: dict[str, Any] = {field: getattr(w, field) for field in w.__dataclass_fields__}
    preset = w.transforms
    facts["transforms"] = preset and {
        "target": preset.target,
        "arguments": preset.arguments,
        "description": registry.in_words(preset),
    }
    return {
        "name": name,
        **facts,
        "url": files.redacted(w.url),
        "categories": w.read_categories(),
        "cached": _cached(w.url),
    }


def _cached(url: str) -> str | None:
    try:
        path = files.cached_path(url)
    except DownloadError as e:
        return f"cannot be: {e}"
    return str(path) if path else None
