"""MaxViT: `Multi-Axis Vision Transformer <https://arxiv.org/abs/2204.01697>`_."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import (
    Conv2dNormActivation,
    SqueezeExcitation,
    StochasticDepth,
    captured,
    check_count,
    check_images,
    check_probability,
    input_channels,
    join_heads,
)
from zoo_classification.swin_transformer import relative_position_index, resize_position_table
from zoo_classification.vision_transformer import Size, as_pair
from zoo_classification.weights.maxvit import MaxVit_T_Weights


class MBConv(nn.Module):
    """Inverted residual block with squeeze-excitation: [N, in_channels, H, W] → [N, out_channels, H', W']."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion_ratio: float,
        squeeze_ratio: float,
        stride: int,
        activation_layer: Callable[..., nn.Module],
        norm_layer: Callable[..., nn.Module],
        p_stochastic_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pool = [nn.AvgPool2d(kernel_size=3, stride=stride, padding=1)] if stride != 1 else []
            self.proj = nn.Sequential(*pool, nn.Conv2d(in_channels, out_channels, kernel_size=1))
        self.stochastic_depth = StochasticDepth(p_stochastic_dropout, "row")
        hidden = int(out_channels * expansion_ratio)
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation_layer, inplace=None)
        self.layers = nn.Sequential(
            OrderedDict(
                pre_norm=norm_layer(in_channels),
                conv_a=conv(in_channels, hidden, kernel_size=1),
                conv_b=conv(hidden, hidden, kernel_size=3, stride=stride, groups=hidden),
                squeeze_excitation=SqueezeExcitation(hidden, int(out_channels * squeeze_ratio), activation=nn.SiLU),
                conv_c=nn.Conv2d(hidden, out_channels, kernel_size=1),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x) + self.stochastic_depth(self.layers(x))
        return x


class RelativePositionalAttention(nn.Module):
    """Self-attention with a learnt bias for each offset, within partitions: [N, partitions, size², dim] → the same.

    Args:
        feat_dim: dim.
        head_dim: width of a head.
        max_seq_len: pixels of a partition, size².
    """

    relative_position_index: Tensor

    def __init__(self, feat_dim: int, head_dim: int, max_seq_len: int) -> None:
        super().__init__()
        dim, size = feat_dim, math.isqrt(max_seq_len)
        if size**2 != max_seq_len:
            raise InvalidArgument(f"max_seq_len is {max_seq_len}; expected the pixels of a square partition.")
        if dim % check_count("head_dim", head_dim, 1):
            raise InvalidArgument(f"A width of {dim} cannot be split into heads of head_dim={head_dim}; use a divisor.")
        self.n_heads, self.head_dim, self.size = dim // head_dim, head_dim, size
        self.scale_factor = dim**-0.5  # of the full width, not of one head, as in the published models
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * size - 1) ** 2, self.n_heads))
        self.register_buffer("relative_position_index", relative_position_index((size, size)))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def get_relative_positional_bias(self) -> Tensor:
        """[1, heads, size², size²]."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.to_qkv(x).view(-1, self.size**2, 3, self.n_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [N * partitions, heads, size², head_dim]
        bias = self.get_relative_positional_bias()
        attended = F.scaled_dot_product_attention(q, k, v, bias, scale=self.scale_factor)
        x = self.merge(join_heads(attended).reshape(x.shape))
        return x


class PartitionAttention(nn.Module):
    """Attention and an MLP within partitions of size × size pixels: [N, C, H, W] → the same.

    With ``"window"`` a partition consists of neighbouring pixels, with ``"grid"`` of pixels spread evenly over the
    image. ``grid_size`` is the expected height and width of the input; other sizes work as well.
    """

    def __init__(
        self,
        in_channels: int,
        head_dim: int,
        partition_size: int,
        partition_type: str,
        grid_size: tuple[int, int],
        mlp_ratio: float,
        activation_layer: Callable[..., nn.Module],
        norm_layer: Callable[..., nn.Module],
        attention_dropout: float,
        mlp_dropout: float,
        p_stochastic_dropout: float,
    ) -> None:
        super().__init__()
        self.partition_size, self.partition_type = partition_size, partition_type
        self.attn_layer = nn.Sequential(
            norm_layer(in_channels),
            RelativePositionalAttention(in_channels, head_dim, partition_size**2),
            nn.Dropout(attention_dropout),
        )
        self.mlp_layer = nn.Sequential(
            nn.LayerNorm(in_channels),
            nn.Linear(in_channels, int(in_channels * mlp_ratio)),
            activation_layer(),
            nn.Linear(int(in_channels * mlp_ratio), in_channels),
            nn.Dropout(mlp_dropout),
        )
        self.stochastic_dropout = StochasticDepth(p_stochastic_dropout, "row")

    def forward(self, x: Tensor) -> Tensor:
        p, (_, C, H, W) = self.partition_size, x.shape
        # Rows and columns are split into two dimensions; which of the two indexes the partitions decides between window
        # and grid.
        if self.partition_type == "window":
            x = x.view(-1, C, H // p, p, W // p, p).permute(0, 2, 4, 3, 5, 1)
        else:
            x = x.view(-1, C, p, H // p, p, W // p).permute(0, 3, 5, 2, 4, 1)
        x = x.reshape(-1, (H // p) * (W // p), p * p, C)
        x = x + self.stochastic_dropout(self.attn_layer(x))
        x = x + self.stochastic_dropout(self.mlp_layer(x))
        x = x.view(-1, H // p, W // p, p, p, C)
        x = x.permute(0, 5, 1, 3, 2, 4) if self.partition_type == "window" else x.permute(0, 5, 3, 1, 4, 2)
        return x.reshape(-1, C, H, W)


class MaxVitLayer(nn.Module):
    """Convolution, attention within windows, attention across a grid: [N, in_channels, H, W] → [N, out_channels, H',
    W']. The arguments are those of :class:`MaxVit`; ``grid_size`` is (H', W') of its images."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        squeeze_ratio: float,
        expansion_ratio: float,
        stride: int,
        norm_layer: Callable[..., nn.Module],
        activation_layer: Callable[..., nn.Module],
        head_dim: int,
        mlp_ratio: float,
        mlp_dropout: float,
        attention_dropout: float,
        p_stochastic_dropout: float,
        partition_size: int,
        grid_size: tuple[int, int],
    ) -> None:
        super().__init__()

        def attention(kind: str) -> PartitionAttention:
            return PartitionAttention(
                out_channels,
                head_dim,
                partition_size,
                kind,
                grid_size,
                mlp_ratio,
                activation_layer,
                nn.LayerNorm,
                attention_dropout,
                mlp_dropout,
                p_stochastic_dropout,
            )

        ratios = expansion_ratio, squeeze_ratio
        self.layers = nn.Sequential(
            OrderedDict(
                MBconv=MBConv(
                    in_channels, out_channels, *ratios, stride, activation_layer, norm_layer, p_stochastic_dropout
                ),
                window_attention=attention("window"),
                grid_attention=attention("grid"),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        return x


class MaxVitBlock(nn.Module):
    """One stage: its first layer halves the resolution. [N, in_channels, H, W] → [N, out_channels, ⌈H / 2⌉, ⌈W / 2⌉].

    The arguments are those of :class:`MaxVitLayer`; ``input_grid_size`` is (H, W), and ``p_stochastic`` contains the
    rate of each of the ``n_layers`` layers. The attribute ``grid_size`` is that of the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        squeeze_ratio: float,
        expansion_ratio: float,
        norm_layer: Callable[..., nn.Module],
        activation_layer: Callable[..., nn.Module],
        head_dim: int,
        mlp_ratio: float,
        mlp_dropout: float,
        attention_dropout: float,
        partition_size: int,
        input_grid_size: tuple[int, int],
        n_layers: int,
        p_stochastic: Sequence[float],
    ) -> None:
        super().__init__()
        if len(p_stochastic) != n_layers:
            raise InvalidArgument(
                f"p_stochastic has {len(p_stochastic)} rates; expected one for each of {n_layers} layers."
            )
        height, width = input_grid_size
        self.grid_size = (-(-height // 2), -(-width // 2))
        self.layers = nn.Sequential()
        for i, p in enumerate(p_stochastic):
            self.layers.append(
                MaxVitLayer(
                    out_channels if i else in_channels,
                    out_channels,
                    squeeze_ratio,
                    expansion_ratio,
                    1 if i else 2,
                    norm_layer,
                    activation_layer,
                    head_dim,
                    mlp_ratio,
                    mlp_dropout,
                    attention_dropout,
                    p,
                    partition_size,
                    self.grid_size,
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        return x


class MaxVit(nn.Module):
    """MaxViT: images [N, in_channels, H, W] → logits [N, num_classes].

    Images may have any size that ``partition_size`` divides at every stage; multiples of
    ``partition_size * 2 ** (1 + stages)`` always work (224 for the published models).

    Args:
        input_size: (height, width) of the images; checked here so that errors are raised early.
        stem_channels: width of the two convolutions before the first stage.
        partition_size: side of the windows and grids of attention. Published weights of another size are loaded
            with their position biases interpolated.
        block_channels: width of each stage.
        block_layers: number of layers of each stage.
        head_dim: width of an attention head; must divide the width of every stage.
        stochastic_depth_prob: drop probability of the last layer, in [0, 1]; it grows linearly over the layers.
        norm_layer: norm of the convolutions, called with the width; batch norm by default.
        activation_layer: activation of the convolutions and MLPs.
        squeeze_ratio: width of the squeeze-excitation relative to the stage's.
        expansion_ratio: width within the inverted residual blocks relative to the stage's.
        mlp_ratio: hidden width of the MLPs relative to the stage's.
        mlp_dropout: dropout probability of the MLPs, in [0, 1].
        attention_dropout: dropout probability of attention outputs, in [0, 1].
        num_classes: number of logits; 0 gives the features before the last layer instead.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the images cannot be partitioned.
    """

    in_channels = input_channels("stem")

    def __init__(
        self,
        input_size: Size,
        stem_channels: int,
        partition_size: int,
        block_channels: Sequence[int],
        block_layers: Sequence[int],
        head_dim: int,
        stochastic_depth_prob: float,
        norm_layer: Callable[..., nn.Module] | None = None,
        activation_layer: Callable[..., nn.Module] = nn.GELU,
        squeeze_ratio: float = 0.25,
        expansion_ratio: float = 4,
        mlp_ratio: float = 4,
        mlp_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_probability("stochastic_depth_prob", stochastic_depth_prob)
        check_probability("mlp_dropout", mlp_dropout)
        check_probability("attention_dropout", attention_dropout)
        check_count("num_classes", num_classes)
        if len(block_channels) != len(block_layers) or not block_layers:
            raise InvalidArgument(
                f"block_channels={list(block_channels)} and block_layers={list(block_layers)}; expected one number per "
                "stage in each."
            )
        self.partition_size = check_count("partition_size", partition_size, 1)
        self.block_channels = list(block_channels)
        self.check_size("input_size", *as_pair("input_size", input_size))

        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        conv = partial(Conv2dNormActivation, kernel_size=3, inplace=None)
        self.stem = nn.Sequential(
            conv(in_channels, stem_channels, stride=2, norm_layer=norm_layer, activation_layer=activation_layer),
            conv(stem_channels, stem_channels, norm_layer=None, activation_layer=None),
        )
        total = sum(block_layers)
        drop_rates = iter(stochastic_depth_prob * i / max(total - 1, 1) for i in range(total))
        self.blocks = nn.Sequential()
        width, (height, columns) = stem_channels, as_pair("input_size", input_size)
        grid = (-(-height // 2), -(-columns // 2))
        for dim, depth in zip(block_channels, block_layers, strict=True):
            block = MaxVitBlock(
                width,
                dim,
                squeeze_ratio,
                expansion_ratio,
                norm_layer,
                activation_layer,
                head_dim,
                mlp_ratio,
                mlp_dropout,
                attention_dropout,
                partition_size,
                grid,
                depth,
                list(islice(drop_rates, depth)),
            )
            self.blocks.append(block)
            width, grid = dim, block.grid_size
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, num_classes, bias=False) if num_classes else nn.Identity(),
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def check_size(self, name: str, height: int, width: int) -> None:
        """Raise InvalidArgument unless the partitions divide the features of every stage."""
        unit = self.partition_size * 2 ** (1 + len(self.block_channels))
        h, w = -(-height // 2), -(-width // 2)  # of the stem's output
        for i in range(len(self.block_channels)):
            h, w = -(-h // 2), -(-w // 2)
            if h % self.partition_size or w % self.partition_size:
                raise InvalidArgument(
                    f"{name} is {height}×{width}; the features of stage {i} would be {h}×{w}, which partitions of "
                    f"{self.partition_size}×{self.partition_size} do not divide. Use a multiple of {unit}, which "
                    "always works, or another partition_size."
                )

    @property
    def feature_info(self) -> list[Stage]:
        """The stages."""
        return [Stage(f"blocks.{i}", dim, 4 * 2**i) for i, dim in enumerate(self.block_channels)]

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        if not captured(x):
            self.check_size("The images' size", x.shape[2], x.shape[3])
        x = self.classifier(self.blocks(self.stem(x)))
        return x


def adapt(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Adapt position biases that were learnt with another partition size to the model's."""
    for name, m in model.named_modules():
        table = f"{name}.relative_position_bias_table"
        if (
            isinstance(m, RelativePositionalAttention)
            and table in state
            and state[table].shape[0] != m.relative_position_bias_table.shape[0]
        ):
            state[table] = resize_position_table(state[table], (m.size, m.size))
            state[f"{name}.relative_position_index"] = relative_position_index((m.size, m.size))
    return state


@zoo.builder(MaxVit_T_Weights, head="classifier.5", stem="stem.0.0", convert=adapt)
def maxvit_t(
    *,
    input_size: Size = (224, 224),
    partition_size: int = 7,
    stochastic_depth_prob: float = 0.2,
    **kwargs: Any,
) -> MaxVit:
    """MaxViT-T from `MaxViT: Multi-Axis Vision Transformer <https://arxiv.org/abs/2204.01697>`_."""
    return MaxVit(
        input_size,
        stem_channels=64,
        partition_size=partition_size,
        block_channels=[64, 128, 256, 512],
        block_layers=[2, 2, 5, 2],
        head_dim=32,
        stochastic_depth_prob=stochastic_depth_prob,
        **kwargs,
    )
