"""Update plugins/timm's table of models and pretrained tags from the installed timm.

    python scripts/timm_catalogue.py

Every architecture is built on the meta device to count its parameters, which takes some minutes. A test compares the
table with the installed timm and lists the changes.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

from zoo.compat import torchvision_operators
from zoo_timm.plugin import CLASSES, FEATURES
from zoo_timm.weights import EMBEDDINGS

torchvision_operators()

import timm  # noqa: E402
import torch  # noqa: E402

FOLDER = Path(__file__).parents[1] / "plugins" / "timm" / "src" / "zoo_timm"
PREPROCESSING = "input_size test_input_size interpolation crop_pct test_crop_pct crop_mode mean std".split()
# The most common values are left out.
DEFAULTS = {"classes": 1000, "license": "apache-2.0"}
HEAD = "head.fc"
SIDE = 64  # of the smallest pictures that are tried, in pixels
SHAPES = {"gemma4_vit": [3, 96, 96]}  # of families that take sides of multiples alone, which timm does not say


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
    """The row of a tag in the table."""
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
    except (RuntimeError, NotImplementedError):  # it computes with its parameters while being built
        return timm.create_model(name)


def sizes(made: torch.nn.Module, has_weights: bool) -> dict[str, Any]:
    """The smallest side of a model that accepts any size but not :data:`SIDE`; its own shape if it accepts only some.

    Empty for other models, and for those whose weights state their sizes.
    """
    config: Any = made.pretrained_cfg
    told = config.get("fixed_input_size") or (has_weights and config.get("min_input_size"))
    if told or next(made.parameters()).device.type != "meta":
        return {}

    def takes(side: int) -> bool:
        try:
            with torch.no_grad():
                made.eval()(torch.rand(2, 3, side, side, device="meta"))
        except (RuntimeError, ValueError, AssertionError):
            return False
        return True

    top = config["input_size"][1]
    if takes(SIDE) or not takes(top):
        return {}
    smallest = next(side for side in range(SIDE, top + 1) if takes(side))
    if has_weights and all(takes(side) for side in range(smallest, top, 32)):
        return {"min_size": smallest}
    return {"input": {"shape": [3, top, top]}}


def built(model: str, tags: list[str]) -> dict[str, Any]:
    """Facts from building a model: number of parameters (and of other tags if different), family and head."""
    row: dict[str, Any] = {}
    counts: dict[str, int] = {}
    others = {}
    for tag in tags or [""]:
        config = timm.get_pretrained_cfg(f"{model}.{tag}".rstrip("."))
        # Tags whose number of parameters may differ.
        kind = json.dumps([config.num_classes, plain(config.input_size) if config.fixed_input_size else None])
        if kind not in counts:
            made = build(f"{model}.{tag}".rstrip("."))
            counts[kind] = sum(p.numel() for p in made.parameters())
            if not row:
                row = {"num_params": counts[kind], "family": type(made).__module__.rpartition(".")[2]}
                if (head := plain(config.classifier)) != HEAD:
                    row["head"] = head or []
                row |= sizes(made, bool(tags))
                if row["family"] in SHAPES:
                    row["input"] = {"shape": SHAPES[row["family"]]}
        if counts[kind] != row["num_params"]:
            others[tag] = counts[kind]
    return {**row, "others": others} if others else row


def facts(presets: list[Any]) -> dict[str, dict[str, Any]]:
    """Model → tag → facts from timm; preprocessings are stored in ``presets`` and referred to by index."""
    tags = tags_of(timm.list_pretrained())
    return {
        model: {tag: facts_of(timm.get_pretrained_cfg(f"{model}.{tag}"), presets) for tag in tags.get(model, ())}
        for model in timm.list_models()
    }


def write(folder: Path, known: dict[str, Any]) -> None:
    """Write the tables; ``known`` has the results of :func:`built` for models that need not be built again.

    The facts for listing are in a separate file, so that the rest is not read for lists.
    """
    presets: list[Any] = []
    models, weights = {}, facts(presets)
    for model, tags in weights.items():
        row = dict(known.get(model) or built(model, list(tags)))
        for tag, count in row.pop("others", {}).items():
            tags[tag]["num_params"] = count
        models[model] = row
        if tags:
            models[model] |= {
                "weights": list(tags),
                **tasks_of([facts.get("classes", 1000) for facts in tags.values()]),
            }
    (folder / "models.json").write_text(table({"timm": timm.__version__}, models))
    (folder / "weights.json").write_text(table({"presets": presets}, {m: tags for m, tags in weights.items() if tags}))
    print(f"{len(models)} models, {sum(map(len, weights.values()))} weights")


def tasks_of(classes: list[int]) -> dict[str, list[str]]:
    """The tasks of a model if one of its weights has no classes; the task of the default weights is the main one."""
    kinds = [FEATURES if n in EMBEDDINGS else CLASSES for n in classes]
    return {"task": list(dict.fromkeys([*kinds, CLASSES]))} if FEATURES in kinds else {}


def table(head: dict[str, Any], models: dict[str, Any]) -> str:
    """JSON with one line for each model."""
    dump = json.JSONEncoder(separators=(",", ":")).encode
    rows = ",\n".join(f" {dump(model)}:{dump(row)}" for model, row in models.items())
    return f'{dump(head)[:-1]},\n"models":{{\n{rows}}}}}\n'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=FOLDER)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    write(parser.parse_args().output, {})
