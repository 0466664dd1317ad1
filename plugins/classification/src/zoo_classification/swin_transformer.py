"""Swin Transformer: `Hierarchical Vision Transformer using Shifted Windows <https://arxiv.org/abs/2103.14030>`_, and
Swin Transformer V2: `Scaling Up Capacity and Resolution <https://arxiv.org/abs/2111.09883>`_."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import CheckpointError, InvalidArgument
from zoo.nn import (
    Permute,
    StochasticDepth,
    at_least,
    check_count,
    check_images,
    check_probability,
    input_channels,
    join_heads,
    linear_head,
)
from zoo_classification.vision_transformer import MLPBlock, Size, as_pair
from zoo_classification.weights.swin_transformer import (
    Swin_B_Weights,
    Swin_S_Weights,
    Swin_T_Weights,
    Swin_V2_B_Weights,
    Swin_V2_S_Weights,
    Swin_V2_T_Weights,
)


def relative_position_index(window: Sequence[int]) -> Tensor:
    """For every pair of tokens in a window of any number of dimensions, the row in the table of relative positions.

    The table has one row for each offset, ``-(w - 1)`` to ``w - 1`` along every dimension, the last one fastest:
    ``prod(2 * w - 1)`` rows in total. Returns int64, [tokens, tokens].
    """
    grid = torch.meshgrid(*(torch.arange(w) for w in window), indexing="ij")
    index = torch.zeros(1, dtype=torch.int64)
    for w, coordinate in zip(window, grid, strict=True):
        coordinate = coordinate.flatten()
        index = index * (2 * w - 1) + coordinate[:, None] - coordinate + w - 1
    return index


def window_of(index: Tensor, dimensions: int = 2) -> tuple[int, ...]:
    """The size of the window whose :func:`relative_position_index` this is; a one-dimensional window is taken for one
    row of tokens.

    Raises:
        CheckpointError: no window has this index.
    """
    tokens = math.isqrt(index.numel())
    window: tuple[int, ...] = ()
    offsets, step = index.flatten()[:tokens], 1  # from the first token; along a row they shrink by one
    while len(window) < dimensions - 1:
        ends = (offsets.diff() != -step).nonzero()
        length = int(ends[0]) + 1 if len(ends) else len(offsets)
        window = (length, *window)
        offsets, step = offsets[::length], step * (2 * length - 1)
    window = (len(offsets), *window)
    if not torch.equal(index.flatten(), relative_position_index(window).flatten().to(index.dtype)):
        raise CheckpointError(
            f"The checkpoint's relative_position_index, of shape {list(index.shape)}, does not belong to any window."
        )
    return window


def resize_position_table(table: Tensor, window: Sequence[int], trained: Sequence[int] | None = None) -> Tensor:
    """Resize a table of relative position biases to another window, by bicubic interpolation, linear along time.

    Args:
        table: [(2 * height - 1) * (2 * width - 1), heads] of the old window; with time, (2 * time - 1) times as many
            rows.
        window: height and width of the new window, or time, height and width.
        trained: size of the old window; by default it is a square.

    Returns:
        The table of the new window, of the same dtype.

    Raises:
        CheckpointError: the table does not fit the old window, or, without ``trained``, a square window.
    """
    side = math.isqrt(table.shape[0])
    old = [side, side] if trained is None else [2 * w - 1 for w in trained]
    if math.prod(old) != table.shape[0] or old[0] % 2 == 0:
        raise CheckpointError(
            f"The checkpoint's relative position biases have shape {list(table.shape)}; expected [(2w - 1)², heads] of "
            "a square window, or a relative_position_index beside them that gives the window."
        )
    heads, size = table.shape[1], [2 * w - 1 for w in window]
    pictures = table.float().T.reshape(1, -1, *old[-2:])
    pictures = F.interpolate(pictures, size[-2:], mode="bicubic", align_corners=True)
    if len(old) > 2:
        over_time = pictures.view(heads, old[0], -1).transpose(1, 2)
        pictures = F.interpolate(over_time, size[0], mode="linear", align_corners=True).transpose(1, 2)
    return pictures.reshape(heads, -1).T.to(table.dtype)


def log_spaced_offsets(window: Sequence[int], trained: Sequence[int] | None = None) -> Tensor:
    """Offsets between the tokens of a window, in the log-spaced coordinates of Swin V2: [1, 2h - 1, 2w - 1, 2].

    ``trained`` is the window that weights were trained with, by default ``window`` itself: its largest offset is about
    1; larger windows have larger offsets.
    """
    offsets = [torch.arange(1 - w, w) / max(t - 1, 1) for w, t in zip(window, trained or window, strict=True)]
    table = torch.stack(torch.meshgrid(*offsets, indexing="ij"), dim=-1)[None]
    return table.sign() * torch.log2(8 * table.abs() + 1) / 3


def to_windows(x: Tensor, window: Sequence[int]) -> Tensor:
    """[N, H, W, C] → [N * windows, tokens, C]; H and W are multiples of the window's height and width."""
    N, H, W, C = x.shape
    h, w = window
    return x.view(N, H // h, h, W // w, w, C).transpose(2, 3).reshape(-1, h * w, C)


def from_windows(x: Tensor, window: Sequence[int], size: Sequence[int]) -> Tensor:
    """The inverse of :func:`to_windows`; ``size`` is (H, W)."""
    (h, w), (H, W), C = window, size, x.shape[-1]
    return x.view(-1, H // h, W // w, h, w, C).transpose(2, 3).reshape(-1, H, W, C)


def shift_mask(size: Sequence[int], window: Sequence[int], shift: Sequence[int], like: Tensor) -> Tensor:
    """The mask added to the attention logits of shifted windows: [windows, tokens, tokens], of ``like``'s dtype and
    device.

    Rolling the image by ``shift`` moves its first rows and columns into the same windows as its last ones; -100
    separates them (not -inf: the weights were trained with -100).
    """
    wrapped = [torch.arange(L, device=like.device) >= L - s for L, s in zip(size, shift, strict=True)]
    region = (wrapped[0][:, None] * 2 + wrapped[1])[None, ..., None]
    region = to_windows(region, window)
    return (region != region.transpose(-2, -1)).to(like.dtype) * -100.0


# The following functions depend on the size of their input. Each is one node in a torch.fx graph.
for name in ("partition", "join", "shifted_bias", "merge_neighbours"):
    torch.fx.wrap(name)


def padded(size: Sequence[int], window: Sequence[int]) -> list[int]:
    """``size`` rounded up to multiples of the window."""
    return [n + -n % w for n, w in zip(size, window, strict=True)]


def shifts(size: Sequence[int], window: Sequence[int], shift: Sequence[int]) -> list[int]:
    """The shift of the windows along each dimension: 0 where the input fits into one window."""
    return [s if n > w else 0 for s, n, w in zip(shift, padded(size, window), window, strict=True)]


def partition(x: Tensor, window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """[N, H, W, C], padded with zeros below and on the right, as shifted windows [N * windows, tokens, C]."""
    _, H, W, _ = x.shape
    height, width = padded((H, W), window)
    if height > H or width > W:
        x = F.pad(x, (0, 0, 0, width - W, 0, height - H))
    down, right = shifts((H, W), window, shift)
    return to_windows(x.roll((-down, -right), dims=(1, 2)) if down or right else x, window)


def join(x: Tensor, size: Sequence[int], window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """The inverse of :func:`partition`; ``size`` is (H, W)."""
    x = from_windows(x, window, padded(size, window))
    moved = shifts(size, window, shift)
    return (x.roll(moved, dims=(1, 2)) if any(moved) else x)[:, : size[0], : size[1]]


def shifted_bias(bias: Tensor, batch: int, size: Sequence[int], window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """The bias for images of ``size``: [1, heads, tokens, tokens], or, if windows are shifted, with their mask added:
    [batch * windows, heads, tokens, tokens]."""
    moved = shifts(size, window, shift)
    if not any(moved):
        return bias
    mask = shift_mask(padded(size, window), window, moved, like=bias)[:, None]
    return (bias + mask).repeat(batch, 1, 1, 1)


def merge_neighbours(x: Tensor) -> Tensor:
    """[N, H, W, C] → [N, ⌈H / 2⌉, ⌈W / 2⌉, 4C]; odd sizes are padded with zeros."""
    N, H, W, C = x.shape
    if H % 2 or W % 2:
        x = F.pad(x, (0, 0, 0, W % 2, 0, H % 2))
    x = x.view(N, (H + 1) // 2, 2, (W + 1) // 2, 2, C)
    return x.permute(0, 1, 3, 4, 2, 5).flatten(3)  # top left, bottom left, top right, bottom right


class ShiftedWindowAttention(nn.Module):
    """Self-attention among the tokens of a window, with a learnt bias for each offset: [N, H, W, C] → the same.

    Images are padded with zeros, at the bottom and on the right, to multiples of the window. Dimensions that fit into
    one window are not shifted.

    Args:
        dim: C, a multiple of ``num_heads``.
        window_size: height and width in tokens.
        shift_size: shift of the windows, in tokens.
        qkv_bias: whether queries, keys and values have a bias; ``proj_bias``, whether the output has.
        attention_dropout: dropout probability of the attention weights.
        dropout: dropout probability of the output.
    """

    relative_position_index: Tensor

    def __init__(
        self,
        dim: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        num_heads: int,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise InvalidArgument(f"A width of {dim} cannot be split over {num_heads} heads; expected a multiple.")
        self.window_size, self.shift_size = list(window_size), list(shift_size)
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.define_relative_position_bias_table()
        self.define_relative_position_index()

    def define_relative_position_bias_table(self) -> None:
        rows = math.prod(2 * w - 1 for w in self.window_size)
        self.relative_position_bias_table = nn.Parameter(torch.empty(rows, self.num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def define_relative_position_index(self) -> None:
        self.register_buffer("relative_position_index", relative_position_index(self.window_size).flatten())

    def get_relative_position_bias(self) -> Tensor:
        """[1, heads, tokens, tokens]"""
        return self.look_up(self.relative_position_bias_table)

    def look_up(self, table: Tensor) -> Tensor:
        tokens = math.prod(self.window_size)
        return table[self.relative_position_index].view(1, tokens, tokens, -1).permute(0, 3, 1, 2)

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """[windows, tokens, C] → the same, before the projection; ``mask`` is added to the attention logits."""
        q, k, v = self.split_heads(self.qkv(x))
        return self.attention(q, k, v, mask)

    def split_heads(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[windows, tokens, 3C] → queries, keys and values, each [windows, heads, tokens, C / heads]"""
        windows, tokens, _ = qkv.shape
        q, k, v = qkv.view(windows, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        return q, k, v

    def attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float | None = None) -> Tensor:
        p = self.attention_dropout if self.training else 0.0
        return join_heads(F.scaled_dot_product_attention(q, k, v, mask, dropout_p=p, scale=scale))

    def adapt(self, state: dict[str, Tensor], prefix: str) -> None:
        """Adapt the positions in ``state``, learnt with another window, to this one."""
        table, index = f"{prefix}relative_position_bias_table", f"{prefix}relative_position_index"
        state[table] = resize_position_table(
            state[table], self.window_size, window_of(state[index], len(self.window_size))
        )

    def forward(self, x: Tensor) -> Tensor:
        N, H, W, _ = x.shape
        windows = self.window_size, self.shift_size
        x = self.proj(
            self.attend(partition(x, *windows), shifted_bias(self.get_relative_position_bias(), N, (H, W), *windows))
        )
        return join(F.dropout(x, self.dropout, self.training), (H, W), *windows)


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Cosine attention with a learnt scale; a small network computes the biases from the offsets."""

    relative_coords_table: Tensor

    def define_relative_position_bias_table(self) -> None:
        self.logit_scale = nn.Parameter(torch.full((self.num_heads, 1, 1), math.log(10.0)))
        self.cpb_mlp = nn.Sequential(
            nn.Linear(2, 512), nn.ReLU(inplace=True), nn.Linear(512, self.num_heads, bias=False)
        )
        self.register_buffer("relative_coords_table", log_spaced_offsets(self.window_size))

    def get_relative_position_bias(self) -> Tensor:
        return self.look_up(16 * self.cpb_mlp(self.relative_coords_table).flatten(0, 2).sigmoid())

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        bias: Tensor | None = self.qkv.bias
        if bias is not None:  # keys have no bias, although the files contain one
            q_bias, k_bias, v_bias = bias.chunk(3)
            bias = torch.cat([q_bias, torch.zeros_like(k_bias), v_bias])
        q, k, v = self.split_heads(F.linear(x, self.qkv.weight, bias))
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        unit = partial(F.normalize, dim=-1, eps=1e-6)  # keys of padding are zero, and 1e-12 is zero in half precision
        return self.attention(unit(q) * scale, unit(k), v, mask, scale=1.0)

    def adapt(self, state: dict[str, Tensor], prefix: str) -> None:
        # With offsets in units of the old window, the network extrapolates beyond it.
        table = f"{prefix}relative_coords_table"
        trained = [(side + 1) // 2 for side in state[table].shape[1:3]]
        state[table] = log_spaced_offsets(self.window_size, trained).to(state[table].dtype)


class SwinTransformerBlock(nn.Module):
    """Window attention, then an MLP, each normalised before and added to its input: [N, H, W, C] → the same."""

    attention: Callable[..., nn.Module] = ShiftedWindowAttention

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Sequence[int],
        shift_size: Sequence[int],
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.0,
        norm_layer: Callable[..., nn.Module] = nn.LayerNorm,
        attn_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = (attn_layer or self.attention)(
            dim, window_size, shift_size, num_heads, attention_dropout=attention_dropout, dropout=dropout
        )
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.norm2 = norm_layer(dim)
        self.mlp = MLPBlock(dim, int(dim * mlp_ratio), dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.attn(self.norm1(x)))
        x = x + self.stochastic_depth(self.mlp(self.norm2(x)))
        return x


class SwinTransformerBlockV2(SwinTransformerBlock):
    """The same with the norms after attention and MLP, which keeps large models stable."""

    attention = ShiftedWindowAttentionV2

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.stochastic_depth(self.norm1(self.attn(x)))
        x = x + self.stochastic_depth(self.norm2(self.mlp(x)))
        return x


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width: [N, H, W, C] → [N, ⌈H / 2⌉, ⌈W / 2⌉, 2C]."""

    def __init__(self, dim: int, norm_layer: Callable[..., nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.dim = dim
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = norm_layer(4 * dim)

    def merge(self, x: Tensor) -> Tensor:
        return merge_neighbours(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduction(self.norm(self.merge(x)))
        return x


class PatchMergingV2(PatchMerging):
    """The same with the norm at the end."""

    def __init__(self, dim: int, norm_layer: Callable[..., nn.Module] = nn.LayerNorm) -> None:
        super().__init__(dim, norm_layer)
        self.norm = norm_layer(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.reduction(self.merge(x)))
        return x


class SwinTransformer(nn.Module):
    """Swin Transformer: images [N, in_channels, H, W] of any size → logits [N, num_classes].

    Args:
        patch_size: height and width of the patches that become tokens.
        embed_dim: width of the first stage; each further stage doubles it.
        depths: number of blocks of each stage.
        num_heads: attention heads of each stage.
        window_size: height and width of a window, in tokens. Published weights of another window size are loaded
            with their position biases adapted.
        mlp_ratio: hidden width of the MLPs relative to the token's.
        dropout: dropout probability of attention outputs and MLPs, in [0, 1].
        attention_dropout: dropout probability of the attention weights, in [0, 1].
        stochastic_depth_prob: drop probability of the last block, in [0, 1]; it grows linearly over the blocks.
        num_classes: number of logits; 0 gives the pooled features instead.
        norm_layer: creates a norm, called with the width; layer norm by default.
        block: SwinTransformerBlock, the default, or SwinTransformerBlockV2.
        downsample_layer: PatchMerging, the default, or PatchMergingV2.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        patch_size: Size,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_size: Size,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth_prob: float = 0.1,
        num_classes: int = 1000,
        norm_layer: Callable[..., nn.Module] | None = None,
        block: Callable[..., nn.Module] | None = None,
        downsample_layer: Callable[..., nn.Module] = PatchMerging,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        patch, window = as_pair("patch_size", patch_size), as_pair("window_size", window_size)
        check_count("embed_dim", embed_dim, 1)
        check_probability("dropout", dropout)
        check_probability("attention_dropout", attention_dropout)
        check_probability("stochastic_depth_prob", stochastic_depth_prob)
        if len(depths) != len(num_heads) or not depths:
            raise InvalidArgument(
                f"depths={list(depths)} and num_heads={list(num_heads)}; expected one number per stage in each."
            )
        block = block or SwinTransformerBlock
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-5)
        self.patch_size, self.num_classes = patch, num_classes
        self.widths = [embed_dim * 2**i for i in range(len(depths))]

        conv = nn.Conv2d(in_channels, embed_dim, patch, stride=patch)
        layers: list[nn.Module] = [nn.Sequential(conv, Permute([0, 2, 3, 1]), norm_layer(embed_dim))]
        total = sum(depths)
        drop_rates = iter(stochastic_depth_prob * i / max(total - 1, 1) for i in range(total))
        for i, (dim, depth, heads) in enumerate(zip(self.widths, depths, num_heads, strict=True)):
            if i > 0:
                layers.append(downsample_layer(dim // 2, norm_layer))
            stage = nn.Sequential()
            for j in range(depth):
                stage.append(
                    block(
                        dim,
                        heads,
                        window_size=window,
                        shift_size=[0 if j % 2 == 0 else w // 2 for w in window],
                        mlp_ratio=mlp_ratio,
                        dropout=dropout,
                        attention_dropout=attention_dropout,
                        stochastic_depth_prob=next(drop_rates),
                        norm_layer=norm_layer,
                    )
                )
            layers.append(stage)
        self.features = nn.Sequential(*layers)
        self.norm = norm_layer(self.widths[-1])
        self.permute = Permute([0, 3, 1, 2])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten(1)
        self.head = linear_head(self.widths[-1], num_classes)
        for m in self.modules():  # including the MLPs, which have another initialisation by default
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    @property
    def feature_info(self) -> list[Stage]:
        """The stages, channels last."""
        stride = self.patch_size[0]
        return [Stage(f"features.{2 * i + 1}", dim, stride * 2**i, "NHWC") for i, dim in enumerate(self.widths)]

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        with at_least(x, self.patch_size):
            x = self.permute(self.norm(self.features(x)))
            x = self.head(self.flatten(self.avgpool(x)))
            return x


def adapt(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Adapt relative positions that were learnt with another window size to the model's windows."""
    for name, m in model.named_modules():
        index = f"{name}.relative_position_index"
        if isinstance(m, ShiftedWindowAttention) and index in state:
            own = relative_position_index(m.window_size).flatten()
            # Different windows may have the same number of tokens.
            if not torch.equal(state[index].flatten(), own.to(state[index].dtype)):
                m.adapt(state, f"{name}.")
                state[index] = own.view_as(m.relative_position_index)
    return state


V2: dict[str, Any] = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}


def swin(
    embed_dim: int,
    depths: Sequence[int],
    num_heads: Sequence[int],
    window_size: Size,
    stochastic_depth_prob: float,
    **kwargs: Any,
) -> SwinTransformer:
    """A Swin Transformer with patches of 4 × 4 pixels, as in all published models."""
    return SwinTransformer(
        4, embed_dim, depths, num_heads, window_size, stochastic_depth_prob=stochastic_depth_prob, **kwargs
    )


@zoo.builder(Swin_T_Weights, head="head", stem="features.0.0", convert=adapt)
def swin_t(*, window_size: Size = 7, stochastic_depth_prob: float = 0.2, **kwargs: Any) -> SwinTransformer:
    """Swin-T from `Swin Transformer: Hierarchical Vision Transformer using Shifted Windows
    <https://arxiv.org/abs/2103.14030>`_."""
    return swin(96, [2, 2, 6, 2], [3, 6, 12, 24], window_size, stochastic_depth_prob, **kwargs)


@zoo.builder(Swin_S_Weights, head="head", stem="features.0.0", convert=adapt)
def swin_s(*, window_size: Size = 7, stochastic_depth_prob: float = 0.3, **kwargs: Any) -> SwinTransformer:
    """Swin-S from `Swin Transformer: Hierarchical Vision Transformer using Shifted Windows
    <https://arxiv.org/abs/2103.14030>`_."""
    return swin(96, [2, 2, 18, 2], [3, 6, 12, 24], window_size, stochastic_depth_prob, **kwargs)


@zoo.builder(Swin_B_Weights, head="head", stem="features.0.0", convert=adapt)
def swin_b(*, window_size: Size = 7, stochastic_depth_prob: float = 0.5, **kwargs: Any) -> SwinTransformer:
    """Swin-B from `Swin Transformer: Hierarchical Vision Transformer using Shifted Windows
    <https://arxiv.org/abs/2103.14030>`_."""
    return swin(128, [2, 2, 18, 2], [4, 8, 16, 32], window_size, stochastic_depth_prob, **kwargs)


@zoo.builder(Swin_V2_T_Weights, head="head", stem="features.0.0", convert=adapt)
def swin_v2_t(*, window_size: Size = 8, stochastic_depth_prob: float = 0.2, **kwargs: Any) -> SwinTransformer:
    """Swin-T V2 from `Swin Transformer V2: Scaling Up Capacity and Resolution
    <https://arxiv.org/abs/2111.09883>`_."""
    return swin(96, [2, 2, 6, 2], [3, 6, 12, 24], window_size, stochastic_depth_prob, **V2, **kwargs)


@zoo.builder(Swin_V2_S_Weights, head="head", stem="features.0.0", convert=adapt)
def swin_v2_s(*, window_size: Size = 8, stochastic_depth_prob: float = 0.3, **kwargs: Any) -> SwinTransformer:
    """Swin-S V2 from `Swin Transformer V2: Scaling Up Capacity and Resolution
    <https://arxiv.org/abs/2111.09883>`_."""
    return swin(96, [2, 2, 18, 2], [3, 6, 12, 24], window_size, stochastic_depth_prob, **V2, **kwargs)


@zoo.builder(Swin_V2_B_Weights, head="head", stem="features.0.0", convert=adapt)
def swin_v2_b(*, window_size: Size = 8, stochastic_depth_prob: float = 0.5, **kwargs: Any) -> SwinTransformer:
    """Swin-B V2 from `Swin Transformer V2: Scaling Up Capacity and Resolution
    <https://arxiv.org/abs/2111.09883>`_."""
    return swin(128, [2, 2, 18, 2], [4, 8, 16, 32], window_size, stochastic_depth_prob, **V2, **kwargs)
