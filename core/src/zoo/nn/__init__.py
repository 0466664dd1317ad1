"""Blocks that several model families share, and the checks on what users pass to models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.nn.checks import (
    at_least,
    captured,
    check_clips,
    check_count,
    check_images,
    check_probability,
    first_channels,
    input_channels,
)
from zoo.nn.conv import Conv2dNormActivation, Conv3dNormActivation, SqueezeExcitation, make_divisible
from zoo.nn.drop import (
    DropBlock2d,
    DropBlock3d,
    StochasticDepth,
    drop_block2d,
    drop_block3d,
    stochastic_depth,
)
from zoo.nn.mlp import MLP, Permute, linear_head
from zoo.nn.norm import FrozenBatchNorm2d, LayerNorm2d

if TYPE_CHECKING:
    from zoo.nn.fpn import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "DropBlock2d",
    "DropBlock3d",
    "FeaturePyramidNetwork",
    "FrozenBatchNorm2d",
    "LastLevelMaxPool",
    "LastLevelP6P7",
    "LayerNorm2d",
    "Permute",
    "SqueezeExcitation",
    "StochasticDepth",
    "at_least",
    "captured",
    "check_clips",
    "check_count",
    "check_images",
    "check_probability",
    "drop_block2d",
    "drop_block3d",
    "first_channels",
    "input_channels",
    "linear_head",
    "make_divisible",
    "stochastic_depth",
]


def __getattr__(name: str) -> Any:
    if name in ("FeaturePyramidNetwork", "LastLevelMaxPool", "LastLevelP6P7"):
        from zoo.nn import fpn

        return getattr(fpn, name)
    raise AttributeError(f"module 'zoo.nn' has no attribute {name!r}")
