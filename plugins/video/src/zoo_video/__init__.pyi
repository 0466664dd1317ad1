# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.
from collections.abc import Callable, Sequence
from os import PathLike

from torch import nn

from zoo.contract import Weights
from zoo_video import plugin as plugin, weights as weights
from zoo_video.mvit import MViT as MViT, Norm, Size
from zoo_video.resnet import VideoResNet as VideoResNet
from zoo_video.s3d import S3D as S3D, Norm as Norm_
from zoo_video.swin3d import Size as Size_, SwinTransformer3d as SwinTransformer3d
from zoo_video.weights.mvit import MViT_V1_B_Weights as MViT_V1_B_Weights, MViT_V2_S_Weights as MViT_V2_S_Weights
from zoo_video.weights.resnet import (
    MC3_18_Weights as MC3_18_Weights,
    MC3_Tiny_Weights as MC3_Tiny_Weights,
    R2Plus1D_18_Weights as R2Plus1D_18_Weights,
    R3D_18_Weights as R3D_18_Weights,
)
from zoo_video.weights.s3d import S3D_Weights as S3D_Weights
from zoo_video.weights.swin3d import (
    Swin3D_B_Weights as Swin3D_B_Weights,
    Swin3D_S_Weights as Swin3D_S_Weights,
    Swin3D_T_Weights as Swin3D_T_Weights,
)

def mc3_18(
    *,
    weights: MC3_18_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int = 400,
    zero_init_residual: bool = False,
    in_channels: int = 3,
    width: int = 64,
) -> VideoResNet: ...
def mc3_tiny(
    *,
    weights: MC3_Tiny_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    width: int = 16,
    num_classes: int = 400,
    zero_init_residual: bool = False,
    in_channels: int = 3,
) -> VideoResNet: ...
def mvit_v1_b(
    *,
    weights: MViT_V1_B_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    temporal_size: int = 16,
    spatial_size: Sequence[int] = ...,
    stochastic_depth_prob: float = 0.2,
    dropout: float = 0.5,
    attention_dropout: float = 0.0,
    num_classes: int = 400,
    block: Callable[..., nn.Module] | None = None,
    norm_layer: Norm | None = None,
    patch_embed_kernel: Size = ...,
    patch_embed_stride: Size = ...,
    patch_embed_padding: Size = ...,
    in_channels: int = 3,
) -> MViT: ...
def mvit_v2_s(
    *,
    weights: MViT_V2_S_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    temporal_size: int = 16,
    spatial_size: Sequence[int] = ...,
    stochastic_depth_prob: float = 0.2,
    dropout: float = 0.5,
    attention_dropout: float = 0.0,
    num_classes: int = 400,
    block: Callable[..., nn.Module] | None = None,
    norm_layer: Norm | None = None,
    patch_embed_kernel: Size = ...,
    patch_embed_stride: Size = ...,
    patch_embed_padding: Size = ...,
    in_channels: int = 3,
) -> MViT: ...
def r2plus1d_18(
    *,
    weights: R2Plus1D_18_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int = 400,
    zero_init_residual: bool = False,
    in_channels: int = 3,
    width: int = 64,
) -> VideoResNet: ...
def r3d_18(
    *,
    weights: R3D_18_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int = 400,
    zero_init_residual: bool = False,
    in_channels: int = 3,
    width: int = 64,
) -> VideoResNet: ...
def s3d(
    *,
    weights: S3D_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    num_classes: int = 400,
    dropout: float = 0.2,
    norm_layer: Norm_ | None = None,
    in_channels: int = 3,
) -> S3D: ...
def swin3d_b(
    *,
    weights: Swin3D_B_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    window_size: Size_,
    mlp_ratio: float = 4.0,
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
    stochastic_depth_prob: float = 0.1,
    num_classes: int = 400,
    norm_layer: Callable[..., nn.Module] | None = None,
    block: Callable[..., nn.Module] | None = None,
    downsample_layer: Callable[..., nn.Module] = ...,
    patch_embed: Callable[..., nn.Module] | None = None,
    in_channels: int = 3,
) -> SwinTransformer3d: ...
def swin3d_s(
    *,
    weights: Swin3D_S_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    window_size: Size_,
    mlp_ratio: float = 4.0,
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
    stochastic_depth_prob: float = 0.1,
    num_classes: int = 400,
    norm_layer: Callable[..., nn.Module] | None = None,
    block: Callable[..., nn.Module] | None = None,
    downsample_layer: Callable[..., nn.Module] = ...,
    patch_embed: Callable[..., nn.Module] | None = None,
    in_channels: int = 3,
) -> SwinTransformer3d: ...
def swin3d_t(
    *,
    weights: Swin3D_T_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    window_size: Size_,
    mlp_ratio: float = 4.0,
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
    stochastic_depth_prob: float = 0.1,
    num_classes: int = 400,
    norm_layer: Callable[..., nn.Module] | None = None,
    block: Callable[..., nn.Module] | None = None,
    downsample_layer: Callable[..., nn.Module] = ...,
    patch_embed: Callable[..., nn.Module] | None = None,
    in_channels: int = 3,
) -> SwinTransformer3d: ...
