"""Blocks that several model families share, and checks of models' inputs."""

from __future__ import annotations

from zoo.nn.checks import (
    at_least,
    captured,
    check_clips,
    check_count,
    check_images,
    check_probability,
    first_channels,
    input_channels,
    refuse_script,
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
from zoo.nn.fpn import ExtraFPNBlock, FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7
from zoo.nn.mlp import MLP, Permute, join_heads, linear_head
from zoo.nn.norm import FrozenBatchNorm2d, LayerNorm2d, freeze_batch_norm
from zoo.nn.positions import patch_grid

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "DropBlock2d",
    "DropBlock3d",
    "ExtraFPNBlock",
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
    "freeze_batch_norm",
    "input_channels",
    "join_heads",
    "linear_head",
    "make_divisible",
    "patch_grid",
    "refuse_script",
    "stochastic_depth",
]
