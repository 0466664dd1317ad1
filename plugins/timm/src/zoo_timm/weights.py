"""timm's models and pretrained tags, from two tables written by scripts/timm_catalogue.py.

``models.json`` has the facts for listing; ``weights.json`` is read when weights are requested.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import Preset, Weights
from zoo.contract import Catalogue

_MODELS = json.loads(Path(__file__).with_name("models.json").read_text())
TIMM = _MODELS["timm"]  # the timm release of the tables
IMAGENET_1K = "pkg://zoo_classification/categories/imagenet_1k.txt"
EVALUATION = "zoo_timm.transforms:Evaluation"
FILE = "model.safetensors"

# The hub's names of licences → SPDX names, which policies and `zoo list --license` use.
LICENSES = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "cc-by-4.0": "CC-BY-4.0",
}


@functools.cache
def _facts() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(Path(__file__).with_name("weights.json").read_text())
    return found


def preset_of(facts: Mapping[str, Any]) -> Preset:
    """timm's evaluation preprocessing; zoo's preset if it gives the same pixels."""
    _, height, width = facts["input_size"]
    normalise = {"mean": tuple(facts["mean"]), "std": tuple(facts["std"])}
    scale = {"interpolation": facts["interpolation"]}
    share = facts["crop_pct"]
    sides = (math.floor(height / share), math.floor(width / share))
    ours = "zoo.transforms:ImageClassification"
    if facts["crop_mode"] == "center" and height == width:
        return Preset(ours, {"crop_size": height, "resize_size": sides[0], **scale, **normalise})
    if facts["crop_mode"] == "squash":
        return Preset(ours, {"crop_size": (height, width), "resize_size": sides, **scale, **normalise})
    arguments = {"input_size": tuple(facts["input_size"]), "crop_pct": share, "crop_mode": facts["crop_mode"]}
    return Preset(EVALUATION, {**arguments, **scale, **normalise})


def in_words(arguments: Mapping[str, Any]) -> str:
    """What :class:`zoo_timm.transforms.Evaluation` does."""
    _, height, width = arguments["input_size"]
    side = math.floor(max(height, width) / arguments["crop_pct"])
    fit = f"the longer side to {side}, the rest filled" if arguments["crop_mode"] == "border" else f"to fit {side}"
    return (
        f"resize {fit} ({arguments['interpolation']}); crop the central {height} × {width}; scale to [0, 1]; "
        f"normalise by mean={arguments['mean']!r}, std={arguments['std']!r}"
    )


def url_of(model: str, tag: str, facts: Mapping[str, Any]) -> str:
    if "url" in facts:
        return str(facts["url"])
    return f"hf://{facts.get('hub', f'timm/{model}.{tag}')}/{facts.get('file', FILE)}@main"


def describe(model: str, row: Mapping[str, Any], tag: str, facts: None) -> Weights:
    """The weights of a pretrained tag, from its row in the table."""
    known = _facts()["models"][model][tag]
    preset = _facts()["presets"][known["preset"]]
    classes = known.get("classes", 1000)
    extra: dict[str, Any] = {"license_source": f"timm {TIMM}", "input_size": tuple(preset["input_size"])}
    if "test_input_size" in preset:
        extra["test_size"] = tuple(preset["test_input_size"][1:])
    if "test_crop_pct" in preset:
        extra["test_crop_pct"] = preset["test_crop_pct"]
    if "paper" in known:
        extra["paper"] = paper_of(known["paper"])
    size = tuple(preset["input_size"][1:]) if known.get("fixed_size") else None
    least = known.get("min_size") or ([row["min_size"]] * 2 if "min_size" in row else None)
    license = known.get("license", "apache-2.0")  # noqa: A001  the name in zoo.Weights
    kind = "no classes: its output is a feature vector" if classes in EMBEDDINGS else f"{classes} classes"
    return Weights(
        url=url_of(model, tag, known),
        transforms=preset_of(preset),
        config={"tag": tag, "num_classes": classes},
        num_params=known.get("num_params", row["num_params"]),
        categories=IMAGENET_1K if classes == 1000 else None,
        recipe=known.get("origin"),
        license=LICENSES.get(license, license),
        min_size=size or (tuple(least) if least else None),
        docs=f"timm's pretrained tag {tag}; {kind}. {known.get('notes', '')}".strip(),
        extra=extra,
        unknown=("metrics",),  # timm's results are not part of its package
    )


EMBEDDINGS = (0, 512, 640, 768, 1024, 1280)  # no classes; or CLIP's embedding sizes, which timm gives as num_classes


def paper_of(number: str) -> str:
    """``arXiv:2110.00476`` as a link."""
    return f"https://arxiv.org/abs/{number.removeprefix('arXiv:')}" if number.startswith("arXiv:") else number


CATALOGUE = Catalogue(__name__, _MODELS["models"], describe)
__getattr__ = CATALOGUE.named
