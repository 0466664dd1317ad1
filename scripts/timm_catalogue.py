"""Write plugins/timm's table of models and pretrained tags anew, from the installed timm.

    python scripts/timm_catalogue.py

Every architecture is built without memory, which counts its parameters; that takes some minutes. A test compares the
table with the installed timm and names what has changed.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.compat import torchvision_operators

torchvision_operators()

import timm  # noqa: E402
import torch  # noqa: E402

TABLE = Path(__file__).parents[1] / "plugins" / "timm" / "src" / "zoo_timm" / "catalogue.json"
PREPROCESSING = "input_size test_input_size interpolation crop_pct test_crop_pct crop_mode mean std".split()
# What most have is left out.
DEFAULTS = {"classes": 1000, "license": "apache-2.0"}
HEAD = "head.fc"


def plain(value: Any) -> Any:
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def tags_of(names: list[str]) -> dict[str, list[str]]:
    """Architecture → its pretrained tags, the default first."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        model, _, tag = name.partition(".")
        found[model].append(tag)
    for model, tags in found.items():
        default = timm.get_pretrained_cfg(model).tag
        tags.sort(key=lambda tag: tag != default)
    return found


def facts_of(config: Any, presets: list[Any]) -> dict[str, Any]:
    """What the table says of a tag."""
    preset = {key: plain(value) for key in PREPROCESSING if (value := getattr(config, key)) is not None}
    if preset not in presets:
        presets.append(preset)
    known = {
        "preset": presets.index(preset),
        "classes": config.num_classes,
        "license": config.license or "unknown",
        "fixed_size": config.fixed_input_size or None,
        "min_size": plain(config.min_input_size[1:]) if config.min_input_size else None,
        "hub": config.hf_hub_id,
        "file": config.hf_hub_filename,
        "url": config.url if not config.hf_hub_id else None,
        "origin": config.origin_url,
        "paper": config.paper_ids if isinstance(config.paper_ids, str) else None,
        "notes": " ".join(config.notes) if config.notes else None,
    }
    if known["hub"] == f"timm/{config.architecture}.{config.tag}":
        del known["hub"]
    return {key: value for key, value in known.items() if value is not None and value != DEFAULTS.get(key)}


def build(name: str) -> torch.nn.Module:
    try:
        with torch.device("meta"):
            return timm.create_model(name)
    except (RuntimeError, NotImplementedError):  # one that computes with its numbers when it is made
        return timm.create_model(name)


def rows(*, count: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Model → its row, in timm's order; ``presets``, the list that rows refer to, comes last.

    Args:
        count: build each, to count parameters and to see where it is defined.
    """
    presets: list[Any] = []
    tags = tags_of(timm.list_pretrained())
    for model in timm.list_models():
        row: dict[str, Any] = {}
        counted: dict[str, int] = {}
        weights = {}
        for tag in tags.get(model, [""]):
            name = f"{model}.{tag}".rstrip(".")
            config = timm.get_pretrained_cfg(name)
            facts = facts_of(config, presets)
            # Those that may differ in their numbers of parameters.
            kind = json.dumps([config.num_classes, plain(config.input_size) if config.fixed_input_size else None])
            if count and kind not in counted:
                built = build(name)
                counted[kind] = sum(p.numel() for p in built.parameters())
                row.setdefault("num_params", counted[kind])
                row.setdefault("family", type(built).__module__.rpartition(".")[2])
                if (head := plain(config.classifier)) != HEAD:
                    row.setdefault("head", head or [])
            if count and counted[kind] != row["num_params"]:
                facts["num_params"] = counted[kind]
            if tag:
                weights[tag] = facts
        if weights:
            row["weights"] = weights
        yield model, row
    yield "presets", {"presets": presets}


def write(path: Path) -> None:
    models = {}
    for n, (model, row) in enumerate(rows(count=True)):
        models[model] = row
        if n % 100 == 0:
            print(n, model, file=sys.stderr)
    presets = models.pop("presets")["presets"]
    lines = [f" {json.dumps(model)}:{json.dumps(row, separators=(',', ':'))}" for model, row in models.items()]
    head = [f" {json.dumps(preset, separators=(',', ':'))}" for preset in presets]
    comma = ",\n"
    table = f'{{"timm":"{timm.__version__}",\n"presets":[\n{comma.join(head)}],\n"models":{{\n{comma.join(lines)}}}}}\n'
    json.loads(table)
    path.write_text(table)
    print(f"{path}: {len(models)} models, {sum(len(r.get('weights', ())) for r in models.values())} weights")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=TABLE)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    write(parser.parse_args().output)
