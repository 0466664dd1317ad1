"""Builders of timm's architectures, created on first access: ``zoo_timm.models.resnet50``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

import zoo
from zoo.compat import torchvision_operators
from zoo_timm.weights import CATALOGUE

torchvision_operators()  # timm imports torchvision, whose wheel may not fit the installed torch

import timm  # noqa: E402

# Families whose feature_info names modules that return something else than the map, or that are never called: the map
# comes from forward_intermediates. zoo itself detects modules that do not exist.
_GIVE_MAPS = "coat crossvit deepseek_vit efficientvim pit qwen3_vit selecsls tnt".split()
HEAD = "head.fc"  # the classifier of most models


def _options(
    num_classes: int | None, in_channels: int | None, image_size: Any, dropped: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    """Convert zoo's argument names to timm's; arguments that are None are omitted."""
    named = {"num_classes": num_classes, "in_chans": in_channels, "img_size": image_size, **dropped}
    return {**{key: value for key, value in named.items() if value is not None}, **more}


def _stages(made: nn.Module) -> Any:
    """timm's description of the stages of ``made``, corrected."""
    said: Any = getattr(made, "feature_info", None)
    family = type(made).__module__.rpartition(".")[2]
    if family in _GIVE_MAPS and isinstance(said, list):
        return [{**stage, "module": ""} for stage in said]
    if family == "tresnet" and isinstance(said, list):
        return [stage for stage in said if stage["module"]]  # nothing has the first one's stride of 2
    return said


def _described(made: nn.Module, options: dict[str, Any]) -> nn.Module:
    """``made`` with the attributes that zoo expects: its channels, and its image size if it is fixed."""
    config: Any = made.pretrained_cfg
    size = options.get("img_size", config["input_size"][1:])
    any_size = options.get("dynamic_img_size") or not options.get("strict_img_size", True)
    made.in_channels = options.get("in_chans", config["input_size"][0])
    made.feature_info = _stages(made)
    if config["fixed_input_size"] and not any_size:
        made.image_size = (size, size) if isinstance(size, int) else tuple(size)  # type: ignore[assignment]
    return made


def _builder(model: str) -> Callable[..., nn.Module]:
    row = CATALOGUE[model]

    def name_of(tag: str | None) -> str:
        return f"{model}.{tag}" if tag else model

    def build(
        *,
        num_classes: int | None = None,
        in_channels: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
        tag: str | None = None,
        **kwargs: Any,
    ) -> nn.Module:
        dropped = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        options = _options(num_classes, in_channels, image_size, dropped, kwargs)
        return _described(timm.create_model(name_of(tag), **options), options)

    def fill(
        state: dict[str, Tensor],
        *,
        num_classes: int | None = None,
        in_channels: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
        tag: str | None = None,
        **kwargs: Any,
    ) -> nn.Module:
        """timm's own loading: adapts input channels, position embeddings for the image size, and older layouts."""
        dropped = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        options = _options(num_classes, in_channels, image_size, dropped, kwargs)
        overlay = {"state_dict": state, "custom_load": False}
        made: nn.Module = timm.create_model(name_of(tag), pretrained=True, pretrained_cfg_overlay=overlay, **options)
        made.pretrained_cfg.pop("state_dict", None)  # type: ignore[operator,union-attr]
        return _described(made, options)

    build.__name__ = build.__qualname__ = model
    build.__doc__ = f"""timm's {model}.

    Args:
        num_classes: by default those of the weights; 0 for features only.
        in_channels: number of image channels; timm adapts the weights.
        image_size: for models with a fixed size, timm's ``img_size``.
        drop_rate: dropout rate of the classifier.
        drop_path_rate: stochastic depth rate, for models that support it.
        tag: the pretrained tag whose settings are used; weights set theirs.
        **kwargs: further arguments of ``timm.create_model``.
    """
    head = row.get("head", HEAD)
    paths = (head,) if isinstance(head, str) else tuple(head)
    made: Callable[..., nn.Module] = zoo.builder(CATALOGUE.enum(model), head=paths, fill=fill)(build)
    return made


def __getattr__(name: str) -> Callable[..., nn.Module]:
    if name.startswith("__"):
        raise AttributeError(name)
    found = globals()[name] = _builder(CATALOGUE.built_by(name))
    return found
