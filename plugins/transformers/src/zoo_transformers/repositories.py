"""Folders in transformers' layout, described by their JSON files only. No torch, no transformers.

``config.json`` defines the architecture (``architectures``, ``model_type``) and the class names;
``preprocessor_config.json`` defines the preprocessing; the card, ``README.md``, states the licence. No code of a folder
is executed: a model that needs custom code (``auto_map``) raises an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import Preset, Repository, Weights
from zoo.errors import CheckpointError

SAFETENSORS = "model.safetensors"


@dataclass(frozen=True)
class Kind:
    """The models of one task, whose architecture is defined by a ``config``.

    Attributes:
        name: name of the model in the registry.
        builder: name of its builder in ``zoo_transformers.models``.
        tasks: the tasks it supports, the main task first.
        endings: endings of the names of transformers' classes.
        has_classes: whether its models have classes, whose number can be changed.
    """

    name: str
    builder: str
    tasks: tuple[str, ...]
    endings: tuple[str, ...]
    has_classes: bool = True


UNIVERSAL = ("ForUniversalSegmentation", "ForInstanceSegmentation", "ForSegmentation")
SEMANTIC, INSTANCE, PANOPTIC = "semantic-segmentation", "instance-segmentation", "panoptic-segmentation"
SERVED = (
    Kind("image-classifier", "image_classifier", ("image-classification",), ("ForImageClassification",)),
    Kind("object-detector", "object_detector", ("object-detection",), ("ForObjectDetection",)),
    Kind("semantic-segmenter", "semantic_segmenter", (SEMANTIC,), ("ForSemanticSegmentation",)),
    Kind("panoptic-segmenter", "panoptic_segmenter", (PANOPTIC, INSTANCE, SEMANTIC), UNIVERSAL),
    Kind("instance-segmenter", "instance_segmenter", (INSTANCE, SEMANTIC, PANOPTIC), UNIVERSAL),
    Kind("universal-semantic-segmenter", "universal_semantic_segmenter", (SEMANTIC, PANOPTIC, INSTANCE), UNIVERSAL),
    Kind("depth-estimator", "depth_estimator", ("depth-estimation",), ("ForDepthEstimation",), has_classes=False),
    Kind(
        "image-encoder",
        "image_encoder",
        ("image-feature-extraction",),
        ("Model", "VisionModelWithProjection", "ForPreTraining", "ForMaskedImageModeling"),
        has_classes=False,
    ),
)
BY_BUILDER = {kind.builder: kind for kind in SERVED}
# Image encoders of models for images and texts: model_type → that of the encoder, and its class.
HALVES = {
    "clip": ("clip_vision_model", "CLIPVisionModelWithProjection"),
    "metaclip_2": ("metaclip_2_vision_model", "MetaClip2VisionModelWithProjection"),
    "siglip": ("siglip_vision_model", "SiglipVisionModel"),
}
# Settings for entire pictures, for models that were trained on parts of pictures.
WHOLE = {"vit_mae": {"mask_ratio": 0.0}}
ASKED = ("oneformer",)
ONE_WAY = {"rf_detr": "instance_segmenter"}  # its class is named like that of a universal segmenter
# Keys that do not describe the architecture; labels become categories, the others depend on who saved the file.
_NOT_OF_IT = (
    "id2label label2id _name_or_path transformers_version torch_dtype dtype auto_map _commit_hash problem_type"
).split()
# Models of these types return distances in metres; for the others, larger is nearer unless they specify it.
METRIC = {"zoedepth", "glpn", "depth_pro"}


def open_folder(path: Path) -> Repository | None:
    """The builder and description of a folder in transformers' layout; None for any other folder.

    Raises:
        CheckpointError: the model is not supported: its task is unknown, it has no safetensors file, or it needs custom
            code.
    """
    config = read_json(path / "config.json")
    if config is None or not isinstance(config.get("model_type"), str):
        return None
    kind = kind_of(config, f"{config.get('_name_or_path') or ''} {path}")
    if not (path / SAFETENSORS).is_file():
        shards = (path / f"{SAFETENSORS}.index.json").is_file()
        what = f"its weights are in several files, but zoo-transformers reads only {SAFETENSORS}"
        lacking = f"it has no {SAFETENSORS}; other files, such as pickles, are not read"
        raise CheckpointError(f"{path}: {what if shards else lacking}. Save it as a single safetensors file.")
    return Repository(
        f"zoo_transformers.models:{kind.builder}",
        described(path, config, kind, (path / SAFETENSORS).absolute().as_uri()),
    )


def described(path: Path, config: Mapping[str, Any], kind: Kind, url: str) -> Weights:
    """The description of the weights at ``url`` from the files of a folder."""
    settings = processor_settings(path)
    labels = labels_of(config) if kind.has_classes else []
    of_architecture = architecture(config)
    arguments: dict[str, Any] = {"config": of_architecture} | ({"num_classes": len(labels)} if labels else {})
    extra: dict[str, Any] = {}
    if config["model_type"] in METRIC or config.get("depth_estimation_type") == "metric":
        extra["depth"] = "metres"
    return Weights(
        url=url,
        transforms=None
        if settings is None
        else Preset(
            "zoo_transformers.image_processing:Processor",
            {"settings": settings, "model_type": str(of_architecture["model_type"])},
        ),
        config=arguments,
        categories=labels or None,
        license=license_of(path),
        unknown=("metrics", "num_params"),
        extra=extra,
    )


def kind_of(config: Mapping[str, Any], named: str = "") -> Kind:
    """The kind of model of a configuration. For universal segmenters, the name tells which task was trained.

    Raises:
        CheckpointError: the model supports none of zoo's tasks.
    """
    said = config.get("architectures")
    classes = [c for c in said if isinstance(c, str)] if isinstance(said, list) else []
    if config.get("auto_map") and not classes:
        classes = [""]
    if _half_of(config):
        return BY_BUILDER["image_encoder"]
    if "text_config" in config and not any(name.endswith("ForImageClassification") for name in classes):
        raise CheckpointError(
            f"config.json is of {', '.join(classes)} ({config['model_type']}), a model for images and texts. Only the "
            f"image encoders of {', '.join(HALVES)} are supported."
        )
    if config["model_type"] in ASKED or ("vocab_size" in config and "image_size" not in config):
        what = "needs text in addition to the picture" if config["model_type"] in ASKED else "takes tokens, not pixels"
        raise CheckpointError(
            f"config.json is of {', '.join(classes)} ({config['model_type']}), which {what}: not supported."
        )
    for name in classes:
        if name.endswith(UNIVERSAL) and config["model_type"] in ONE_WAY:
            return BY_BUILDER[ONE_WAY[config["model_type"]]]
        if name.endswith(UNIVERSAL):
            words = re.findall("panoptic|instance|semantic", named.lower())
            chosen = {"instance": "instance_segmenter", "semantic": "universal_semantic_segmenter"}
            return BY_BUILDER[chosen.get(words[-1] if words else "", "panoptic_segmenter")]
        for kind in SERVED:
            if name.removesuffix("WithTeacher").endswith(kind.endings):
                return kind
    raise CheckpointError(
        f"config.json is of {', '.join(classes) or 'an unnamed class'} ({config['model_type']}), which supports "
        f"none of the tasks {', '.join(dict.fromkeys(kind.tasks[0] for kind in SERVED))}."
    )


def _half_of(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """The image encoder of a model for images and texts; None for models of images only."""
    said = config.get("architectures")
    classes = [name for name in said if isinstance(name, str)] if isinstance(said, list) else []
    return None if any("ForImageClassification" in name for name in classes) else HALVES.get(config["model_type"])


def architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that defines the architecture, as plain data without file names."""
    whole = {**config, **WHOLE.get(config["model_type"], {})}
    if half := _half_of(config):
        own, name = half
        seeing = config.get("vision_config")
        whole = {**(seeing if isinstance(seeing, dict) else {}), "model_type": own, "architectures": [name]}
        if "projection_dim" in config:
            whole["projection_dim"] = config["projection_dim"]
    found: dict[str, Any] = _without_downloads(whole)
    return found


def _without_downloads(value: Any) -> Any:
    """Disable backbone weights that a configuration may request, since the model's own weights replace them."""
    if isinstance(value, list):
        return [_without_downloads(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {key: _without_downloads(inner) for key, inner in value.items() if key not in _NOT_OF_IT}
    return told | ({"use_pretrained_backbone": False} if told.get("use_pretrained_backbone") else {})


def labels_of(config: Mapping[str, Any]) -> list[str]:
    """The class names in label order; a missing name becomes ``class 3``."""
    given = config.get("id2label")
    if not isinstance(given, dict):
        return []
    named = {int(key): str(label) for key, label in given.items() if str(key).isdecimal()}
    return [named.get(i, f"class {i}") for i in range(max(named, default=-1) + 1)] if len(named) else []


def processor_settings(path: Path) -> dict[str, Any] | None:
    """The preprocessing, if the folder defines it."""
    settings = read_json(path / "preprocessor_config.json")
    if settings is None:
        whole = read_json(path / "processor_config.json") or {}
        found = whole.get("image_processor")
        settings = found if isinstance(found, dict) else None
    if settings is None:
        return None
    return {
        key: value for key, value in settings.items() if key not in ("auto_map", "processor_class", "_processor_class")
    }


def license_of(path: Path) -> str:
    """The header of the card."""
    try:
        text = (path / "README.md").read_text(encoding="utf-8")[:10_000]
    except (OSError, ValueError):
        return "unknown"
    header = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*([\w.\-]+)\s*$", header[1], re.MULTILINE) if header else None
    return found[1] if found else "unknown"


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if the file does not exist.

    Raises:
        CheckpointError: the file contains something else.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise CheckpointError(f"{path} cannot be read as JSON: {e}") from e
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} contains a {type(found).__name__}; expected an object.")
    return found
