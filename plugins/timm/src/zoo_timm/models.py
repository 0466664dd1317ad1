"""The builders of timm's architectures, each made when it is asked for: ``zoo_timm.models.resnet50``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

import zoo
from zoo.compat import torchvision_operators
from zoo_timm.weights import CATALOGUE

torchvision_operators()  # timm imports torchvision, whose wheel may not fit the installed torch

import timm  # noqa: E402

# Families whose feature_info names modules that give something else than the map, or that are never called: their
# forward_intermediates gives it. Where a module that is named is not there, zoo finds that out by itself.
_GIVE_MAPS = "coat crossvit deepseek_vit efficientvim pit qwen3_vit selecsls tnt".split()
HEAD = "head.fc"  # where most have their classifier


def _options(
    num_classes: int | None, in_channels: int | None, image_size: Any, dropped: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    """timm's names of what zoo calls otherwise; what is None is left to timm."""
    named = {"num_classes": num_classes, "in_chans": in_channels, "img_size": image_size, **dropped}
    return {**{key: value for key, value in named.items() if value is not None}, **more}


def _stages(made: nn.Module) -> Any:
    """What timm says of ``made``'s stages, mended where it is not so."""
    said: Any = getattr(made, "feature_info", None)
    family = type(made).__module__.rpartition(".")[2]
    if family in _GIVE_MAPS and isinstance(said, list):
        return [{**stage, "module": ""} for stage in said]
    if family == "tresnet" and isinstance(said, list):
        return [stage for stage in said if stage["module"]]  # what the first one says, a stride of 2, nothing gives
    return said


def _described(made: nn.Module, options: dict[str, Any]) -> nn.Module:
    """``made`` with what zoo asks of a model: its channels, and its images' size where it takes one only."""
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
        """timm's own loading: other input channels, positions for other image sizes, older layouts."""
        dropped = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        options = _options(num_classes, in_channels, image_size, dropped, kwargs)
        overlay = {"state_dict": state, "custom_load": False}
        made: nn.Module = timm.create_model(name_of(tag), pretrained=True, pretrained_cfg_overlay=overlay, **options)
        made.pretrained_cfg.pop("state_dict", None)  # type: ignore[operator,union-attr]
        return _described(made, options)

    build.__name__ = build.__qualname__ = model
    build.__doc__ = f"""timm's {model}.

    Args:
        num_classes: by default those of the weights; 0 for features alone.
        in_channels: of the images; weights are adapted as timm does it.
        image_size: of models that take one size only, as timm's ``img_size``.
        drop_rate: of the classifier's dropout.
        drop_path_rate: how often a block is left out in training, of models that know that.
        tag: the pretrained tag whose settings are meant; weights name theirs.
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
