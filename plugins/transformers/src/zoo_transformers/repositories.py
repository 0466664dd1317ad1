"""What is in a folder of transformers' layout: read from its JSON files alone. No torch, no transformers.

``config.json`` says which architecture it is (``architectures``, ``model_type``) and what its classes are called;
``preprocessor_config.json`` how pictures are prepared; the card, ``README.md``, under which licence it is published.
Nothing of a folder is executed: what only its own code can build (``auto_map``) is refused.
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
    """The models of one task, whose architecture a ``config`` gives.

    Attributes:
        name: of the model in the registry.
        builder: its builder's name in ``zoo_transformers.models``.
        tasks: that it serves, the main one first.
        endings: of the names of transformers' classes.
        has_classes: whether its models have classes, which may be of another number.
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
# Of a model of pictures and texts the half that sees: model_type → that half's, and its class.
HALVES = {
    "clip": ("clip_vision_model", "CLIPVisionModelWithProjection"),
    "metaclip_2": ("metaclip_2_vision_model", "MetaClip2VisionModelWithProjection"),
    "siglip": ("siglip_vision_model", "SiglipVisionModel"),
}
# Settings with which a model that was trained on parts of pictures sees the whole.
WHOLE = {"vit_mae": {"mask_ratio": 0.0}}
ASKED = ("oneformer",)
ONE_WAY = {"rf_detr": "instance_segmenter"}  # whose class is named as that of one that segments in every way
# What a configuration has beside the architecture; labels become categories, the rest depends on who saved it.
_NOT_OF_IT = (
    "id2label label2id _name_or_path transformers_version torch_dtype dtype auto_map _commit_hash problem_type"
).split()
# Models of these types give distances in metres; of the others, unless they say so, what is larger is nearer.
METRIC = {"zoedepth", "glpn", "depth_pro"}


def open_folder(path: Path) -> Repository | None:
    """The builder and description of a folder of transformers' layout; None for any other folder.

    Raises:
        CheckpointError: it is one, of a model that cannot be had: of no task of ours, without safetensors, or one that
            only code of its own can build.
    """
    config = read_json(path / "config.json")
    if config is None or not isinstance(config.get("model_type"), str):
        return None
    kind = kind_of(config, f"{config.get('_name_or_path') or ''} {path}")
    if not (path / SAFETENSORS).is_file():
        shards = (path / f"{SAFETENSORS}.index.json").is_file()
        what = f"its weights are in several files, and zoo-transformers reads {SAFETENSORS} alone"
        lacking = f"it has no {SAFETENSORS}; other files, pickles above all, are not read"
        raise CheckpointError(f"{path}: {what if shards else lacking}. Save it as one file of safetensors.")
    return Repository(
        f"zoo_transformers.models:{kind.builder}",
        described(path, config, kind, (path / SAFETENSORS).absolute().as_uri()),
    )


def described(path: Path, config: Mapping[str, Any], kind: Kind, url: str) -> Weights:
    """All that the files of a folder say of the weights at ``url``."""
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
    """What a configuration is of. Of models that segment in every way, words in the name say which was trained.

    Raises:
        CheckpointError: none of our tasks.
    """
    said = config.get("architectures")
    classes = [c for c in said if isinstance(c, str)] if isinstance(said, list) else []
    if config.get("auto_map") and not classes:
        classes = [""]
    if _half_of(config):
        return BY_BUILDER["image_encoder"]
    if "text_config" in config and not any(name.endswith("ForImageClassification") for name in classes):
        raise CheckpointError(
            f"config.json is of {', '.join(classes)} ({config['model_type']}), a model of pictures and texts. Of "
            f"{', '.join(HALVES)} the half that sees is served, of others nothing."
        )
    if config["model_type"] in ASKED or ("vocab_size" in config and "image_size" not in config):
        what = "wants words beside the picture" if config["model_type"] in ASKED else "takes tokens, not pixels"
        raise CheckpointError(
            f"config.json is of {', '.join(classes)} ({config['model_type']}), which {what}: not served."
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
        f"config.json is of {', '.join(classes) or 'no class that it names'} ({config['model_type']}), which serves "
        f"none of the tasks {', '.join(dict.fromkeys(kind.tasks[0] for kind in SERVED))}."
    )


def _half_of(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Of a model of pictures and texts the half that sees; None of what sees alone, as its classifiers do."""
    said = config.get("architectures")
    classes = [name for name in said if isinstance(name, str)] if isinstance(said, list) else []
    return None if any("ForImageClassification" in name for name in classes) else HALVES.get(config["model_type"])


def architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration decides how the model is built, as plain data; nothing of it names a file."""
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
    """A configuration may ask for weights of its backbone, which its own weights would replace."""
    if isinstance(value, list):
        return [_without_downloads(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {key: _without_downloads(inner) for key, inner in value.items() if key not in _NOT_OF_IT}
    return told | ({"use_pretrained_backbone": False} if told.get("use_pretrained_backbone") else {})


def labels_of(config: Mapping[str, Any]) -> list[str]:
    """The names of the classes in label order; where one is missing, ``class 3``."""
    given = config.get("id2label")
    if not isinstance(given, dict):
        return []
    named = {int(key): str(label) for key, label in given.items() if str(key).isdecimal()}
    return [named.get(i, f"class {i}") for i in range(max(named, default=-1) + 1)] if len(named) else []


def processor_settings(path: Path) -> dict[str, Any] | None:
    """How pictures are prepared, if a folder says it."""
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
    """What the card says, in its header."""
    try:
        text = (path / "README.md").read_text(encoding="utf-8")[:10_000]
    except (OSError, ValueError):
        return "unknown"
    header = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*([\w.\-]+)\s*$", header[1], re.MULTILINE) if header else None
    return found[1] if found else "unknown"


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no such file.

    Raises:
        CheckpointError: it holds something else.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise CheckpointError(f"{path} cannot be read as JSON: {e}") from e
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds a {type(found).__name__}; expected an object.")
    return found
