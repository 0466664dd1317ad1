"""Multiscale Vision Transformers: `MViT <https://arxiv.org/abs/2104.11227>`_ and `MViTv2: Improved Multiscale Vision
Transformers for Classification and Detection <https://arxiv.org/abs/2112.01526>`_. Attention over pooled queries, keys
and values: the sequence gets shorter and wider over the blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.errors import CheckpointError, InvalidArgument
from zoo.nn import (
    MLP,
    StochasticDepth,
    captured,
    check_clips,
    check_count,
    check_probability,
    input_channels,
    join_heads,
    linear_head,
    patch_grid,
)
from zoo_video.weights.mvit import MViT_V1_B_Weights, MViT_V2_S_Weights

Size = tuple[int, int, int]  # (time, height, width), in tokens unless stated otherwise
Norm = Callable[[int], nn.Module]


@dataclass(frozen=True)
class MSBlockConfig:
    """One block: its heads and widths, and the pooling of queries and of keys and values.

    A kernel of one means no pooling; a stride above one shortens the sequence, for queries also in all later blocks.
    """

    num_heads: int
    input_channels: int
    output_channels: int
    kernel_q: Sequence[int] = (1, 1, 1)
    kernel_kv: Sequence[int] = (3, 3, 3)
    stride_q: Sequence[int] = (1, 1, 1)
    stride_kv: Sequence[int] = (1, 1, 1)


def pooled(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> Size:
    """``size`` after a pooling padded by half its kernel."""
    t, h, w = ((n + 2 * (k // 2) - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True))
    return t, h, w


def half(kernel: Sequence[int]) -> Size:
    t, h, w = kernel
    return t // 2, h // 2, w // 2


@torch.fx.wrap  # it depends on the number of dimensions, so a tracer must not enter it
def as_volume(patches: Tensor, thw: Size) -> Tensor:
    """Patches [N, heads, T H W, C], or without heads, as [N heads, C, T, H, W]."""
    *batch, _, C = patches.shape
    return patches.transpose(-2, -1).reshape(math.prod(batch), C, *thw)


@torch.fx.wrap
def as_patches(volume: Tensor, like: Tensor) -> Tensor:
    """A volume [N heads, C, T, H, W] as [N, heads, T H W, C], or without heads, like ``like``."""
    *batch, _, C = like.shape
    return volume.flatten(2).view(*batch, C, math.prod(volume.shape[2:])).transpose(-2, -1)


@torch.fx.wrap
def with_rows(table: Tensor, rows: int) -> Tensor:
    """A table [L, C], interpolated if its number of rows differs."""
    if table.shape[0] == rows:
        return table
    return F.interpolate(table.transpose(0, 1)[None], rows, mode="linear")[0].transpose(0, 1)


class Pool(nn.Module):
    """Pools the patches but not the class token before them, then normalises all: [N, heads, 1 + L, C] → [N,
    heads, 1 + L', C], or without heads; and the size of the patches, (T, H, W), before and after.

    Args:
        pool: a module on [N, C, T, H, W].
        norm: norm over the last dimension; with ``norm_before_pool``, applied before pooling.
        activation: activation after the norm.
    """

    def __init__(
        self,
        pool: nn.Module,
        norm: nn.Module | None,
        activation: nn.Module | None = None,
        norm_before_pool: bool = False,
    ) -> None:
        super().__init__()
        self.pool = pool
        layers = [layer for layer in (norm, activation) if layer is not None]
        self.norm_act = nn.Sequential(*layers) if layers else None
        self.norm_before_pool = norm_before_pool

    def forward(self, x: Tensor, thw: Size) -> tuple[Tensor, Size]:
        token, patches = x[..., :1, :], x[..., 1:, :]
        volume = as_volume(patches, thw)
        if self.norm_before_pool and self.norm_act is not None:
            volume = self.norm_act(volume)
        volume = self.pool(volume)
        x = torch.cat([token, as_patches(volume, patches)], dim=-2)
        if not self.norm_before_pool and self.norm_act is not None:
            x = self.norm_act(x)
        return x, (volume.shape[2], volume.shape[3], volume.shape[4])


def relative_index(q: int, k: int) -> Tensor:
    """For ``q`` queries and ``k`` keys along one side, the rows of a table of ``2 * max(q, k) - 1`` offsets: [q, k].

    Both are placed on the finer of the two grids.
    """
    q_step, k_step = max(k / q, 1.0), max(q / k, 1.0)
    offset = torch.arange(q)[:, None] * q_step - torch.arange(k) * k_step
    return (offset + (k - 1) * k_step).long()


def one_hot_places(size: Size) -> Tensor:
    """One-hot time, row and column of every patch, after zeros for the class token: [1 + L, sum(size)]."""
    grid = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    places = torch.cat([torch.eye(n)[place.flatten()] for n, place in zip(size, grid, strict=True)], dim=1)
    return F.pad(places, (0, 0, 1, 0))


class MultiscaleAttention(nn.Module):
    """Attention with pooled queries, keys and values: [N, 1 + L, C] → [N, 1 + L', output_dim]; and the size of the
    patches, (T, H, W), before and after.

    Args:
        input_size: (T, H, W) of the patches, which determines the size of the tables of relative positions.
        embed_dim: C.
        output_dim: width of all heads together.
        kernel_q, kernel_kv, stride_q, stride_kv: kernels and strides of the pooling; see :class:`MSBlockConfig`.
        residual_pool: whether the pooled queries are added to the attention output.
        residual_with_cls_embed: whether the class token's query is added too.
        rel_pos_embed: whether the attention is biased by a learnt vector for every offset.
        dropout: dropout probability of the output.
    """

    index_t: Tensor
    index_h: Tensor
    index_w: Tensor
    key_places: Tensor

    def __init__(
        self,
        input_size: Sequence[int],
        embed_dim: int,
        output_dim: int,
        num_heads: int,
        kernel_q: Sequence[int],
        kernel_kv: Sequence[int],
        stride_q: Sequence[int],
        stride_kv: Sequence[int],
        residual_pool: bool,
        residual_with_cls_embed: bool,
        rel_pos_embed: bool,
        dropout: float = 0.0,
        norm_layer: Norm = nn.LayerNorm,
    ) -> None:
        super().__init__()
        head_dim = output_dim // num_heads
        self.num_heads, self.head_dim = num_heads, head_dim
        self.residual_pool, self.residual_with_cls_embed = residual_pool, residual_with_cls_embed
        self.qkv = nn.Linear(embed_dim, 3 * output_dim)
        layers: list[nn.Module] = [nn.Linear(output_dim, output_dim)]
        if dropout > 0:
            layers.append(nn.Dropout(dropout, inplace=True))
        self.project = nn.Sequential(*layers)

        def pool(kernel: Sequence[int], stride: Sequence[int]) -> Pool | None:
            if math.prod(kernel) == math.prod(stride) == 1:
                return None
            (t, h, w), (st, sh, sw) = kernel, stride
            conv = nn.Conv3d(head_dim, head_dim, (t, h, w), (st, sh, sw), half(kernel), groups=head_dim, bias=False)
            return Pool(conv, norm_layer(head_dim))

        self.pool_q = pool(kernel_q, stride_q)
        self.pool_k = pool(kernel_kv, stride_kv)
        self.pool_v = pool(kernel_kv, stride_kv)

        self.rel_pos_embed = rel_pos_embed
        if rel_pos_embed:
            self.q_size = pooled(input_size, kernel_q, stride_q)
            self.k_size = pooled(input_size, kernel_kv, stride_kv)
            time, *spatial = (max(q, k) for q, k in zip(self.q_size, self.k_size, strict=True))
            rows = 2 * max(spatial) - 1  # the longer side's size for both, as in the published checkpoints
            self.rel_pos_h = nn.Parameter(torch.zeros(rows, head_dim))
            self.rel_pos_w = nn.Parameter(torch.zeros(rows, head_dim))
            self.rel_pos_t = nn.Parameter(torch.zeros(2 * time - 1, head_dim))
            for table in (self.rel_pos_h, self.rel_pos_w, self.rel_pos_t):
                nn.init.trunc_normal_(table, std=0.02)
            for side, q, k in zip("thw", self.q_size, self.k_size, strict=True):
                self.register_buffer(f"index_{side}", relative_index(q, k), persistent=False)
            self.register_buffer("key_places", one_hot_places(self.k_size), persistent=False)

    def forward(self, x: Tensor, thw: Size) -> tuple[Tensor, Size]:
        N, L, _ = x.shape
        q, k, v = self.qkv(x).view(N, L, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        size = thw
        if self.pool_k is not None and self.pool_v is not None:
            k, v = self.pool_k(k, thw)[0], self.pool_v(v, thw)[0]
        if self.pool_q is not None:
            q, size = self.pool_q(q, thw)
        scale = self.head_dim**-0.5
        if self.rel_pos_embed:
            x = self.attend_with_positions(q, k, v, scale)
        else:
            x = F.scaled_dot_product_attention(q, k, v, scale=scale)
        if self.residual_pool:
            x = x + q if self.residual_with_cls_embed else torch.cat([x[:, :, :1], x[:, :, 1:] + q[:, :, 1:]], dim=2)
        x = self.project(join_heads(x))
        return x, size

    def offsets(self, table: Tensor, side: int) -> Tensor:
        """One row per offset along a side (0 time, 1 height, 2 width): the table, interpolated for the shorter side."""
        return with_rows(table, 2 * max(self.q_size[side], self.k_size[side]) - 1)

    def attend_with_positions(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Attention whose logits are biased by ``q · (r_t + r_h + r_w)``, r the learnt vectors of the offsets.

        A query's bias depends only on a key's row, column and time. So it is also a product: the query's bias for every
        row, column and time, times the key's position in one-hot form. Appended to queries and keys, it does not need a
        matrix of biases. The values are padded because fused kernels require the same width everywhere.
        """
        N, heads, _, C = q.shape
        patches = q[:, :, 1:].reshape(N, heads, *self.q_size, C)
        places = torch.cat(
            [
                torch.einsum("nathwc,tkc->nathwk", patches, self.offsets(self.rel_pos_t, 0)[self.index_t]),
                torch.einsum("nathwc,hkc->nathwk", patches, self.offsets(self.rel_pos_h, 1)[self.index_h]),
                torch.einsum("nathwc,wkc->nathwk", patches, self.offsets(self.rel_pos_w, 2)[self.index_w]),
            ],
            dim=-1,
        )
        places = F.pad(places.flatten(2, 4), (0, 0, 1, 0))  # the class token has no position
        q = torch.cat([q * scale, places], dim=-1)
        k = torch.cat([k, self.key_places.to(k.dtype).expand(N, heads, -1, -1)], dim=-1)
        padded = F.pad(v, (0, sum(self.k_size)))
        return F.scaled_dot_product_attention(q, k, padded, scale=1.0)[..., : self.head_dim]


class PositionalEncoding(nn.Module):
    """Puts the class token before the patches and, without relative positions, adds a learnt vector to each:
    [N, L, C] → [N, 1 + L, C]."""

    def __init__(self, embed_size: int, spatial_size: tuple[int, int], temporal_size: int, rel_pos_embed: bool) -> None:
        super().__init__()
        (height, width), time = spatial_size, temporal_size
        self.spatial_size, self.temporal_size = spatial_size, temporal_size
        self.class_token = nn.Parameter(torch.zeros(embed_size))
        self.rel_pos_embed = rel_pos_embed
        if not rel_pos_embed:
            self.spatial_pos = nn.Parameter(torch.zeros(height * width, embed_size))
            self.temporal_pos = nn.Parameter(torch.zeros(time, embed_size))
            self.class_pos = nn.Parameter(torch.zeros(embed_size))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)
        if self.rel_pos_embed:
            return x
        patches = (self.temporal_pos[:, None] + self.spatial_pos).flatten(0, 1)
        return x + torch.cat([self.class_pos[None], patches])


class MultiscaleBlock(nn.Module):
    """Attention, then an MLP, each normalised before and added to its input: [N, 1 + L, C] → [N, 1 + L', C']; and the
    size of the patches, (T, H, W), before and after.

    If the width changes, the skip connection is projected: around the attention (``proj_after_attn``, as in MViTv2) or
    around the MLP (MViT).
    """

    def __init__(
        self,
        input_size: Sequence[int],
        cnf: MSBlockConfig,
        residual_pool: bool,
        residual_with_cls_embed: bool,
        rel_pos_embed: bool,
        proj_after_attn: bool,
        dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        norm_layer: Norm = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.proj_after_attn = proj_after_attn
        attn_dim = cnf.output_channels if proj_after_attn else cnf.input_channels
        self.pool_skip: Pool | None = None
        if math.prod(cnf.stride_q) > 1:
            t, h, w = (s + 1 if s > 1 else s for s in cnf.stride_q)
            self.pool_skip = Pool(nn.MaxPool3d((t, h, w), tuple(cnf.stride_q), half((t, h, w))), None)
        self.norm1 = norm_layer(cnf.input_channels)
        self.norm2 = norm_layer(attn_dim)
        self.attn = MultiscaleAttention(
            input_size,
            cnf.input_channels,
            attn_dim,
            cnf.num_heads,
            cnf.kernel_q,
            cnf.kernel_kv,
            cnf.stride_q,
            cnf.stride_kv,
            residual_pool,
            residual_with_cls_embed,
            rel_pos_embed,
            dropout,
            norm_layer,
        )
        self.mlp = MLP(attn_dim, [4 * attn_dim, cnf.output_channels], activation_layer=nn.GELU, dropout=dropout)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.project: nn.Module | None = None
        if cnf.input_channels != cnf.output_channels:
            self.project = nn.Linear(cnf.input_channels, cnf.output_channels)

    def forward(self, x: Tensor, thw: Size) -> tuple[Tensor, Size]:
        normed = self.norm1(x)
        skip = self.project(normed) if self.proj_after_attn and self.project is not None else x
        if self.pool_skip is not None:
            skip, _ = self.pool_skip(skip, thw)
        attended, thw = self.attn(normed, thw)
        x = skip + self.stochastic_depth(attended)
        normed = self.norm2(x)
        skip = self.project(normed) if not self.proj_after_attn and self.project is not None else x
        x = skip + self.stochastic_depth(self.mlp(normed))
        return x, thw


class MViT(nn.Module):
    """Multiscale Vision Transformer: clips [N, C, T, H, W] of a fixed length and size → logits [N, num_classes].

    Args:
        spatial_size: height and width of the frames.
        temporal_size: number of frames. Published weights of another size are loaded with their positions resized.
        block_setting: the blocks.
        residual_pool, residual_with_cls_embed, rel_pos_embed: options of the attention, see
            :class:`MultiscaleAttention`.
        proj_after_attn: position of the skip connection's projection, see :class:`MultiscaleBlock`.
        dropout: probability, before the head.
        attention_dropout: dropout probability of the outputs of attention and MLPs.
        stochastic_depth_prob: drop probability of the last block, in [0, 1]; it grows linearly over the blocks.
        num_classes: number of logits; 0 gives the features of the class token instead.
        block: MultiscaleBlock by default, or a class with its arguments.
        norm_layer: creates a norm, called with the width; by default layer norm with eps 1e-6.
        patch_embed_kernel, patch_embed_stride, patch_embed_padding: parameters of the convolution that creates patches.
        in_channels: number of channels of the frames.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of such clips.
    """

    in_channels = input_channels("conv_proj")

    def __init__(
        self,
        spatial_size: Sequence[int],
        temporal_size: int,
        block_setting: Sequence[MSBlockConfig],
        residual_pool: bool,
        residual_with_cls_embed: bool,
        rel_pos_embed: bool,
        proj_after_attn: bool,
        dropout: float = 0.5,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        num_classes: int = 400,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Norm | None = None,
        patch_embed_kernel: Size = (3, 7, 7),
        patch_embed_stride: Size = (2, 4, 4),
        patch_embed_padding: Size = (1, 3, 3),
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if not isinstance(spatial_size, Sequence) or len(spatial_size) != 2:
            raise InvalidArgument(f"spatial_size is {spatial_size!r}; expected two whole numbers: (height, width).")
        if not block_setting:
            raise InvalidArgument("block_setting is empty; expected at least one MSBlockConfig.")
        check_probability("attention_dropout", attention_dropout)
        check_probability("stochastic_depth_prob", stochastic_depth_prob)
        height, width = (check_count("spatial_size", n, 1) for n in spatial_size)
        self.clip_size = (check_count("temporal_size", temporal_size, 1), height, width)
        self.num_frames, self.image_size = temporal_size, (height, width)
        check_count("in_channels", in_channels, 1)
        block = block or MultiscaleBlock
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        dim = block_setting[0].input_channels

        self.conv_proj = nn.Conv3d(in_channels, dim, patch_embed_kernel, patch_embed_stride, patch_embed_padding)
        t, h, w = (
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(
                self.clip_size, patch_embed_kernel, patch_embed_stride, patch_embed_padding, strict=True
            )
        )
        self.grid_size = size = (t, h, w)
        self.pos_encoding = PositionalEncoding(dim, (h, w), t, rel_pos_embed)
        self.blocks = nn.ModuleList()
        for i, cnf in enumerate(block_setting):
            self.blocks.append(
                block(
                    input_size=list(size),
                    cnf=cnf,
                    residual_pool=residual_pool,
                    residual_with_cls_embed=residual_with_cls_embed,
                    rel_pos_embed=rel_pos_embed,
                    proj_after_attn=proj_after_attn,
                    dropout=attention_dropout,
                    stochastic_depth_prob=stochastic_depth_prob * i / max(len(block_setting) - 1, 1),
                    norm_layer=norm_layer,
                )
            )
            size = pooled(size, cnf.kernel_q, cnf.stride_q)
        dim = block_setting[-1].output_channels
        self.norm = norm_layer(dim)
        self.head = nn.Sequential(
            nn.Dropout(check_probability("dropout", dropout), inplace=True), linear_head(dim, num_classes)
        )
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                nn.init.zeros_(m.bias)
            elif isinstance(m, PositionalEncoding):
                for p in m.parameters():
                    nn.init.trunc_normal_(p, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        self.check_size(x)
        x = self.pos_encoding(self.conv_proj(x).flatten(2).transpose(1, 2))
        thw = self.grid_size
        for block in self.blocks:
            x, thw = block(x, thw)
        logits: Tensor = self.head(self.norm(x)[:, 0])
        return logits

    def check_size(self, x: Tensor) -> None:
        check_clips(x, self.in_channels)
        if not captured(x) and tuple(x.shape[2:]) != self.clip_size:
            (t, h, w), (frames, height, width) = self.clip_size, x.shape[2:]
            raise InvalidArgument(
                f"the clips have {frames} frame(s) of {height}×{width} and this model takes {t} of {h}×{w} pixels. "
                f"Resize or crop them, or build the model with temporal_size={frames}, spatial_size=({height}, "
                f"{width}): weights "
                "are loaded with their positions resized."
            )


def resize(positions: Tensor, size: Sequence[int], mode: str, old: Sequence[int] | None = None) -> Tensor:
    """Resize vectors [old positions, C] along a line (``linear``) or in a picture (``bicubic``; square unless ``old``
    gives its rows and columns) to another size: [positions, C]. Ends and corners stay aligned."""
    if old is None:
        old = [len(positions)] if mode == "linear" else [math.isqrt(len(positions))] * 2
    if math.prod(old) != len(positions):
        raise CheckpointError(
            f"The checkpoint's positions have shape {list(positions.shape)}; expected [n², C] of a square picture."
        )
    if list(old) == list(size):
        return positions
    picture = positions.float().T.reshape(1, -1, *old)
    return F.interpolate(picture, size, mode=mode, align_corners=True)[0].flatten(1).T.to(positions.dtype)


def adapt(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Adapt positions that were learnt on clips of another size to the model's."""
    for name, own in model.named_parameters():
        kind = name.rpartition(".")[2]
        if name not in state or state[name].shape == own.shape:
            continue
        if kind == "spatial_pos":
            encoding = cast(PositionalEncoding, model.get_submodule(name.rpartition(".")[0]))
            state[name] = resize(state[name], encoding.spatial_size, "bicubic", patch_grid(state[name]))
        elif kind == "temporal_pos" or kind.startswith("rel_pos_"):
            state[name] = resize(state[name], own.shape[:1], "linear")
    return state


# Width, output width, heads, stride of the queries and of keys and values in height and width, number of blocks.
# Time is not pooled.
Rows = tuple[tuple[int, int, int, int, int, int], ...]
V1_B: Rows = (
    (96, 192, 1, 1, 8, 1),
    (192, 192, 2, 2, 4, 1),
    (192, 384, 2, 1, 4, 1),
    (384, 384, 4, 2, 2, 1),
    (384, 384, 4, 1, 2, 9),
    (384, 768, 4, 1, 2, 1),
    (768, 768, 8, 2, 1, 1),
    (768, 768, 8, 1, 1, 1),
)
V2_S: Rows = (
    (96, 96, 1, 1, 8, 1),
    (96, 192, 2, 2, 4, 1),
    (192, 192, 2, 1, 4, 1),
    (192, 384, 4, 2, 2, 1),
    (384, 384, 4, 1, 2, 10),
    (384, 768, 8, 2, 1, 1),
    (768, 768, 8, 1, 1, 1),
)


def blocks(rows: Rows, pool_every_query: bool) -> list[MSBlockConfig]:
    """The blocks of a table; queries with stride 1 are pooled (convolved) only with ``pool_every_query``."""
    return [
        MSBlockConfig(
            heads,
            width,
            output,
            kernel_q=(3, 3, 3) if q > 1 or pool_every_query else (1, 1, 1),
            stride_q=(1, q, q),
            stride_kv=(1, kv, kv),
        )
        for width, output, heads, q, kv, repeats in rows
        for _ in range(repeats)
    ]


@zoo.builder(MViT_V1_B_Weights, head="head.1", stem="conv_proj", convert=adapt)
def mvit_v1_b(
    *,
    temporal_size: int = 16,
    spatial_size: Sequence[int] = (224, 224),
    stochastic_depth_prob: float = 0.2,
    **kwargs: Any,
) -> MViT:
    """MViT-B from `Multiscale Vision Transformers <https://arxiv.org/abs/2104.11227>`_."""
    return MViT(
        spatial_size,
        temporal_size,
        blocks(V1_B, pool_every_query=False),
        residual_pool=False,
        residual_with_cls_embed=False,
        rel_pos_embed=False,
        proj_after_attn=False,
        stochastic_depth_prob=stochastic_depth_prob,
        **kwargs,
    )


@zoo.builder(MViT_V2_S_Weights, head="head.1", stem="conv_proj", convert=adapt)
def mvit_v2_s(
    *,
    temporal_size: int = 16,
    spatial_size: Sequence[int] = (224, 224),
    stochastic_depth_prob: float = 0.2,
    **kwargs: Any,
) -> MViT:
    """MViTv2-S from `MViTv2: Improved Multiscale Vision Transformers for Classification and Detection
    <https://arxiv.org/abs/2112.01526>`_."""
    return MViT(
        spatial_size,
        temporal_size,
        blocks(V2_S, pool_every_query=True),
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        stochastic_depth_prob=stochastic_depth_prob,
        **kwargs,
    )
