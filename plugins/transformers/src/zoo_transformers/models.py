"""Builders: one per task for any architecture of transformers, and one per checkpoint of the table."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

import zoo
from zoo import Weights, WeightsEnum
from zoo.errors import CheckpointError, InvalidArgument, InvalidKind, MissingPlugin, suggest
from zoo.files import resolved
from zoo.registry import fetch
from zoo_transformers.catalogue import CATALOGUE
from zoo_transformers.image_processing import fetched_settings, library, quietly
from zoo_transformers.repositories import (
    BY_BUILDER,
    HALVES,
    SAFETENSORS,
    SERVED,
    Kind,
    architecture,
    described,
    read_json,
)

# transformers' mappings of the classes for each task.
_AUTO = {
    "ForImageClassification": "AutoModelForImageClassification",
    "ForObjectDetection": "AutoModelForObjectDetection",
    "ForSemanticSegmentation": "AutoModelForSemanticSegmentation",
    "ForUniversalSegmentation": "AutoModelForUniversalSegmentation",
    "ForInstanceSegmentation": "AutoModelForInstanceSegmentation",
    "ForDepthEstimation": "AutoModelForDepthEstimation",
    "Model": "AutoModel",
}
# The default config of each kind: a small model.
_SMALL_VIT = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "image-classification": {"model_type": "vit", **_SMALL_VIT},
    "object-detection": {"model_type": "yolos", **_SMALL_VIT, "image_size": [224, 224]},
    "semantic-segmentation": {"model_type": "segformer"},
    "depth-estimation": {"model_type": "depth_anything"},
    "image-feature-extraction": {"model_type": "dinov2", "hidden_size": 384, "num_attention_heads": 6},
}
_UNIVERSAL = {"model_type": "mask2former"}
_HALVES = {name for _, name in HALVES.values()}


def _configured(config: Any, num_classes: int | None) -> Any:
    """transformers' configuration object.

    Raises:
        InvalidArgument: it is not a configuration, or transformers does not have the model.
    """
    transformers = library()
    if isinstance(config, str):
        config = json.loads(config)
    if isinstance(config, transformers.PretrainedConfig):
        config = config.to_dict()
    if not isinstance(config, Mapping) or not isinstance(config.get("model_type"), str):
        raise InvalidArgument(
            "config is the content of transformers' config.json: a mapping with 'model_type' and the architecture's "
            f"sizes, or a transformers.PretrainedConfig; got {config!r}."
        )
    known, kind = transformers.CONFIG_MAPPING, config["model_type"]
    if kind not in known:
        raise InvalidArgument(
            f"transformers {transformers.__version__} has no model of type {kind!r}.{suggest(kind, list(known))} "
            "Code in a repository is not executed."
        )
    labels = {} if num_classes is None else {"num_labels": num_classes}
    try:
        return known[kind].from_dict({**architecture(config), **labels})
    except (TypeError, ValueError) as e:
        raise InvalidArgument(f"{kind!r} cannot be configured with config: {e}") from e


def _class_of(configured: Any, endings: tuple[str, ...]) -> Any:
    """The class for a configuration: the one it names, if it fits the task, otherwise transformers' default."""
    transformers = library()
    named = next(iter(configured.architectures or ()), "")
    if named in _HALVES and "Model" in endings:
        return getattr(transformers, named)
    autos = [getattr(transformers, _AUTO[ending]) for ending in endings if ending in _AUTO]
    every: list[Any] = []
    for auto in autos:
        with contextlib.suppress(KeyError):
            found = auto._model_mapping[type(configured)]
            every += found if isinstance(found, tuple) else (found,)
    if not every:
        serving = ", ".join(auto.__name__ for auto in autos)
        raise InvalidArgument(f"transformers does not have {configured.model_type!r} for this task ({serving}).")
    return next((cls for cls in every if cls.__name__ == named), every[0])


def _built(cls: Any, configured: Any, **options: Any) -> nn.Module:
    try:
        with quietly():
            model: nn.Module = cls(configured, **options)
    except ImportError as e:
        raise MissingPlugin(
            f"{cls.__name__} needs a package that is not installed: {str(e).strip().splitlines()[0]}"
        ) from e
    size = getattr(configured, "image_size", None)
    if isinstance(size, int) or (isinstance(size, list | tuple) and len(size) == 2):
        model.image_size = size if isinstance(size, int) else tuple(size)  # type: ignore[assignment]
    return model


def _builder(name: str) -> Callable[..., nn.Module]:
    """The builder of a kind of models."""
    kind = BY_BUILDER[name]

    default = _UNIVERSAL if len(kind.tasks) > 1 else _DEFAULTS[kind.tasks[0]]

    def made(config: Any, num_classes: int | None = None) -> nn.Module:
        configured = _configured(default if config is None else config, num_classes)
        return _built(_class_of(configured, kind.endings), configured)

    def with_classes(config: Any = None, num_classes: int | None = None) -> nn.Module:
        return made(config, num_classes)

    def without_classes(config: Any = None) -> nn.Module:
        return made(config)

    def fill(state: Mapping[str, Any], config: Any = None, num_classes: int | None = None) -> nn.Module:
        configured = _configured(default if config is None else config, num_classes)
        return _filled(_class_of(configured, kind.endings), configured, dict(state))

    build: Callable[..., nn.Module] = with_classes if kind.has_classes else without_classes
    build.__name__ = build.__qualname__ = name
    build.__module__ = __name__
    classes = "num_classes: by default the number in ``config``. If it differs from the file's, the head is new."
    build.__doc__ = f"""A model for {kind.tasks[0]}, with any architecture that transformers has for it.

    Args:
        config: the content of ``config.json``, or a ``transformers.PretrainedConfig``; by default a small
            {default["model_type"]}.
        {classes if kind.has_classes else ""}
    """
    return zoo.builder(fill=fill)(build)


def _filled(cls: Any, configured: Any, state: dict[str, Any]) -> nn.Module:
    """A model with a file's tensors, whose names of older versions are converted as by transformers.

    Raises:
        CheckpointError: tensors are missing or have another shape, except those that depend on the number of classes.
    """
    head = _depends_on_classes(cls, configured)
    options: dict[str, Any] = {}
    for _ in range(2):
        with quietly():
            model, told = cls.from_pretrained(
                None,
                config=configured,
                state_dict=dict(state),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
            )
        missing = set(told["missing_keys"])
        if not missing or options or not all(key.startswith("pooler.") for key in missing):
            break
        options = {"add_pooling_layer": False}  # the file has none, and a random one would be useless
    misshapen = {row[0] if isinstance(row, tuple | list) else row for row in told["mismatched_keys"]}
    if wrong := sorted((missing | misshapen) - head):
        few = f"{', '.join(wrong[:5])}{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''}"
        raise CheckpointError(
            f"The file does not fit {cls.__name__} of this config: {few} missing, or of another shape."
        )
    size = getattr(configured, "image_size", None)
    if isinstance(size, int) or (isinstance(size, list | tuple) and len(size) == 2):
        model.image_size = size if isinstance(size, int) else tuple(size)
    return model  # type: ignore[no-any-return]


def _depends_on_classes(cls: Any, configured: Any) -> set[str]:
    """Names of the tensors whose shape depends on the number of classes."""
    if "num_labels" not in dir(configured):
        return set()
    shapes = []
    for n in (configured.num_labels, configured.num_labels + 1):
        other = type(configured).from_dict(
            {**configured.to_dict(), "id2label": None, "label2id": None, "num_labels": n}
        )
        with torch.device("meta"):
            shapes.append({key: tuple(t.shape) for key, t in _built(cls, other).state_dict().items()})
    return {key for key in shapes[0] if shapes[0][key] != shapes[1].get(key)}


for _kind in SERVED:
    globals()[_kind.builder] = _builder(_kind.builder)


# ── checkpoints of the table ─────────────────────────────────────────────────────────────────────────────────────


def _checkpoint(model: str) -> Callable[..., nn.Module]:
    row = CATALOGUE[model]
    enum = cast(type[WeightsEnum], CATALOGUE.enum(model))
    generic = globals()[row["builder"]]
    classes = {"num_classes": inspect.Parameter("num_classes", inspect.Parameter.KEYWORD_ONLY, default=None)}
    classes = classes if BY_BUILDER[row["builder"]].has_classes else {}

    def build(*, weights: Any = None, progress: bool = True, mmap: bool | None = None, **options: Any) -> nn.Module:
        for name in options.keys() - classes.keys():
            raise InvalidKind(
                f"{build.__name__} takes no argument {name!r}.{suggest(name, list(taken.parameters), 1)} It takes "
                f"{', '.join(taken.parameters)}."
            )
        published = enum.verify(weights) if weights is None or _is_entry(weights, enum) else None
        given = published.value if published is not None else weights
        revision = given.url.partition("@")[2] if isinstance(given, Weights) and given.url.startswith("hf://") else ""
        known = _described(row["repository"], BY_BUILDER[row["builder"]], revision, progress)
        chosen = {name: value for name, value in options.items() if value is not None}
        if given is None:
            return generic(**{**known.config, **chosen})  # type: ignore[no-any-return]
        if published is not None:
            facts: dict[str, Any] = {"docs": given.docs, "license": given.license, "metrics": given.metrics}
            given = replace(known, **facts, num_params=given.num_params, recipe=given.recipe, unknown=given.unknown)
        arguments = {} if published is not None else dict(known.config)
        return generic(weights=given, progress=progress, mmap=mmap, **{**arguments, **chosen})  # type: ignore[no-any-return]

    build.__name__ = build.__qualname__ = enum.__name__.removesuffix("_Weights")
    build.__module__ = __name__
    build.__doc__ = f"{row['repository']}; its configuration is downloaded from the hub."
    build.weights_enum = enum  # type: ignore[attr-defined]
    own = list(inspect.signature(build).parameters.values())[:-1]
    taken = build.__signature__ = inspect.Signature([*own, *classes.values()])  # type: ignore[attr-defined]
    return build


def _is_entry(weights: Any, enum: type[WeightsEnum]) -> bool:
    if isinstance(weights, WeightsEnum):
        return True
    return isinstance(weights, str) and weights.removeprefix(f"{enum.__name__}.") in enum.__members__


def _described(repository: str, kind: Kind, revision: str, progress: bool) -> Weights:
    """The description of a repository at a revision; all files are of the same commit."""
    url = f"hf://{repository}/config.json{f'@{revision}' if revision else ''}"
    config = fetch(url, progress=progress)
    _, at, commit = resolved(url, config).partition("@")
    fetched_settings(config.parent, repository, at + commit)
    return described(config.parent, read_json(config) or {}, kind, f"hf://{repository}/{SAFETENSORS}{at}{commit}")


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = _checkpoint(CATALOGUE.built_by(name))
    globals()[name] = found
    return found
