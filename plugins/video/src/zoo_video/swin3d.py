"""Video Swin Transformer: `Video Swin Transformer <https://arxiv.org/abs/2106.13230>`_. Windows have a third dimension,
time; the blocks and the merging of patches are those of the image model."""

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
from zoo.errors import InvalidArgument
from zoo.nn import check_clips, check_count, check_probability, input_channels, join_heads, linear_head
from zoo_classification.swin_transformer import (
    PatchMerging,
    ShiftedWindowAttention,
    SwinTransformerBlock,
    adapt,
    merge_neighbours,
)
from zoo_video.weights.swin3d import Swin3D_B_Weights, Swin3D_S_Weights, Swin3D_T_Weights

Size = Sequence[int]  # (time, height, width)


# Functions that depend on the size of their input are one node in a torch.fx graph.
for name in ("pad_to", "partition", "join", "shifted_bias", "merge_neighbours"):
    torch.fx.wrap(name)


def pad_to(x: Tensor, multiple: Size, first: int = 1) -> Tensor:
    """``x`` padded with zeros at the ends of time, height and width, its dimensions from ``first`` on, to multiples of
    ``multiple``."""
    t, h, w = (-n % m for n, m in zip(x.shape[first : first + 3], multiple, strict=True))
    behind = [0, 0] * (x.dim() - first - 3)
    return F.pad(x, (*behind, 0, w, 0, h, 0, t)) if t or h or w else x


def fitted(size: Size, window: Size, shift: Size) -> tuple[list[int], list[int], list[int]]:
    """For a clip of ``size`` tokens: its size padded to multiples of the window, the window, and its shift.

    Along a dimension that fits into one window, the window has the size of the clip and is not shifted.
    """
    cut = [min(n, w) for n, w in zip(size, window, strict=True)]
    shifts = [s if n > w else 0 for n, w, s in zip(size, window, shift, strict=True)]
    return [n + -n % w for n, w in zip(size, cut, strict=True)], cut, shifts


def partition(x: Tensor, window: Size, shift: Size) -> Tensor:
    """[N, T, H, W, C], padded with zeros at the ends, as shifted windows [N, windows, tokens, C]."""
    _, window, shifts = fitted(x.shape[1:4], window, shift)
    x = pad_to(x, window)
    return to_windows(x.roll([-s for s in shifts], dims=(1, 2, 3)) if any(shifts) else x, window)


def join(x: Tensor, size: Size, window: Size, shift: Size) -> Tensor:
    """The inverse of :func:`partition`; ``size`` is (T, H, W)."""
    padded, window, shifts = fitted(size, window, shift)
    x = from_windows(x, window, padded)
    T, H, W = size
    return (x.roll(shifts, dims=(1, 2, 3)) if any(shifts) else x)[:, :T, :H, :W]


def shifted_bias(bias: Tensor, size: Size, window: Size, shift: Size) -> Tensor:
    """The bias added to the attention logits: [windows, heads, tokens, tokens], or [1, …] without a shift.

    A window that was reduced to the clip uses the first rows and columns of the full window's bias, although its tokens
    have other offsets: the published accuracies, the authors' included, were measured in this way.
    """
    padded, window, shifts = fitted(size, window, shift)
    tokens = math.prod(window)
    bias = bias[:, :, :tokens, :tokens]
    return bias + shift_mask(padded, window, shifts, like=bias)[:, None] if any(shifts) else bias


def to_windows(x: Tensor, window: Size) -> Tensor:
    """[N, T, H, W, C] → [N, windows, tokens, C]; T, H and W are multiples of the window's sizes."""
    N, T, H, W, C = x.shape
    t, h, w = window
    x = x.view(N, T // t, t, H // h, h, W // w, w, C).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(N, T // t * (H // h) * (W // w), t * h * w, C)


def from_windows(x: Tensor, window: Size, size: Size) -> Tensor:
    """The inverse of :func:`to_windows`; ``size`` is (T, H, W)."""
    (t, h, w), (T, H, W), (N, *_, C) = window, size, x.shape
    x = x.view(N, T // t, H // h, W // w, t, h, w, C).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(N, T, H, W, C)


def shift_mask(size: Size, window: Size, shift: Size, like: Tensor) -> Tensor:
    """The mask added to the attention logits of shifted windows: [windows, tokens, tokens], of ``like``'s dtype and
    device.

    Rolling a clip by ``shift`` moves its beginnings into the same windows as its ends; -100 separates them (not -inf:
    the weights were trained with -100).
    """
    region = torch.zeros(1, dtype=torch.int64, device=like.device)
    for n, s in zip(size, shift, strict=True):
        wrapped = torch.arange(n, device=like.device) >= n - s
        region = region[..., None] * 2 + wrapped
    region = to_windows(region[..., None], window)[0]
    return (region != region.transpose(-2, -1)).to(like.dtype) * -100.0


class ShiftedWindowAttention3d(ShiftedWindowAttention):
    """Self-attention among the tokens of a window, with a learnt bias for each offset: [N, T, H, W, C] → the same.

    See :func:`fitted` for the windows of small clips.
    """

    def __init__(self, dim: int, window_size: Size, *args: Any, **kwargs: Any) -> None:
        super().__init__(dim, window_size, *args, **kwargs)
        tokens = math.prod(window_size)
        self.relative_position_index = self.relative_position_index.view(tokens, tokens)  # the shape in the files

    def get_relative_position_bias(self, window_size: Sequence[int] | None = None) -> Tensor:
        """The bias added to the attention logits in a window, by default the full window: [1, heads, tokens,
        tokens]."""
        tokens = math.prod(self.window_size if window_size is None else window_size)
        rows = self.relative_position_bias_table[self.relative_position_index[:tokens, :tokens].flatten()]
        return rows.view(1, tokens, tokens, -1).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        N, T, H, W, _ = x.shape
        place = self.window_size, self.shift_size
        mask = shifted_bias(self.get_relative_position_bias(self.window_size), (T, H, W), *place)
        # Masks differ between windows but not between clips: with windows and heads in one dimension, the masks are
        # broadcast over the clips of a batch instead of repeated.
        x = partition(x, *place)
        _, windows, tokens, _ = x.shape
        heads, dim = self.num_heads, self.head_dim
        qkv = self.qkv(x).view(N, windows, tokens, 3, heads, dim).permute(3, 0, 1, 4, 2, 5)
        q, k, v = qkv.reshape(3, N, windows * heads, tokens, dim)
        mask = mask.expand(windows, -1, -1, -1).reshape(1, windows * heads, tokens, tokens)
        p = self.attention_dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=p)
        x = self.proj(join_heads(x.view(N, windows, heads, tokens, dim)))
        return join(F.dropout(x, self.dropout, self.training), (T, H, W), *place)


class SwinTransformerBlock3d(SwinTransformerBlock):
    """Window attention, then an MLP, each normalised before and added to its input: [N, T, H, W, C] → the same."""

    attention = ShiftedWindowAttention3d


class PatchMerging3d(PatchMerging):
    """Four neighbours in a frame become one token: [N, T, H, W, C] → [N, T, ⌈H / 2⌉, ⌈W / 2⌉, 2C]."""

    def forward(self, x: Tensor) -> Tensor:
        N, T, _, _, _ = x.shape
        merged = merge_neighbours(x.flatten(0, 1))
        _, H, W, C = merged.shape
        x = self.reduction(self.norm(merged.view(N, T, H, W, C)))
        return x


class PatchEmbed3d(nn.Module):
    """Patches become tokens: [N, C, T, H, W] → [N, T', H', W', embed_dim]; sizes are padded to multiples of the
    patch."""

    in_channels = input_channels("proj")

    def __init__(
        self,
        patch_size: Size,
        in_channels: int = 3,
        embed_dim: int = 96,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        t, h, w = self.patch_size = list(patch_size)
        self.proj = nn.Conv3d(in_channels, embed_dim, (t, h, w), stride=(t, h, w))
        self.norm = norm_layer(embed_dim) if norm_layer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(pad_to(x, self.patch_size, first=2))
        x = self.norm(x.permute(0, 2, 3, 4, 1))
        return x


class SwinTransformer3d(nn.Module):
    """Video Swin Transformer: clips [N, C, T, H, W] of any length and size → logits [N, num_classes].

    Args:
        patch_size: frames, height and width of the patches that become tokens.
        embed_dim: width of the first stage; each further stage doubles it.
        depths: number of blocks of each stage.
        num_heads: attention heads of each stage.
        window_size: time, height and width of a window, in tokens.
        mlp_ratio: hidden width of the MLPs relative to the token's.
        dropout: dropout probability of embeddings, attention outputs and MLPs, in [0, 1].
        attention_dropout: dropout probability of the attention weights, in [0, 1].
        stochastic_depth_prob: drop probability of the last block, in [0, 1]; it grows linearly over the blocks.
        num_classes: number of logits; 0 gives the pooled features instead.
        norm_layer: creates a norm, called with the width; layer norm by default.
        block: SwinTransformerBlock3d by default, or a class with its arguments.
        downsample_layer: PatchMerging3d, or a class with its arguments.
        patch_embed: PatchEmbed3d by default, or a class with its arguments.
        in_channels: number of channels of the frames.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of clips with ``in_channels``
            channels.
    """

    in_channels = input_channels("patch_embed")

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
        num_classes: int = 400,
        norm_layer: Callable[..., nn.Module] | None = None,
        block: Callable[..., nn.Module] | None = None,
        downsample_layer: Callable[..., nn.Module] = PatchMerging3d,
        patch_embed: Callable[..., nn.Module] | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        for name, size in (("patch_size", patch_size), ("window_size", window_size)):
            if not isinstance(size, Sequence) or len(size) != 3:
                raise InvalidArgument(f"{name} is {size!r}; expected three whole numbers: (time, height, width).")
            for side in size:
                check_count(name, side, 1)
        if len(depths) != len(num_heads) or not depths:
            raise InvalidArgument(
                f"depths={list(depths)} and num_heads={list(num_heads)}; expected one number per stage in each."
            )
        check_probability("attention_dropout", attention_dropout)
        check_probability("stochastic_depth_prob", stochastic_depth_prob)
        block = block or SwinTransformerBlock3d
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-5)
        check_count("in_channels", in_channels, 1)
        widths = [check_count("embed_dim", embed_dim, 1) * 2**i for i in range(len(depths))]

        self.patch_embed = (patch_embed or PatchEmbed3d)(
            patch_size=patch_size, in_channels=in_channels, embed_dim=embed_dim, norm_layer=norm_layer
        )
        self.pos_drop = nn.Dropout(check_probability("dropout", dropout))
        total = sum(depths)
        drop_rates = iter(stochastic_depth_prob * i / max(total - 1, 1) for i in range(total))
        layers: list[nn.Module] = []
        for i, (dim, depth, heads) in enumerate(zip(widths, depths, num_heads, strict=True)):
            if i > 0:
                layers.append(downsample_layer(dim // 2, norm_layer))
            blocks = [
                block(
                    dim,
                    heads,
                    window_size=window_size,
                    shift_size=[0 if j % 2 == 0 else w // 2 for w in window_size],
                    mlp_ratio=mlp_ratio,
                    dropout=dropout,
                    attention_dropout=attention_dropout,
                    stochastic_depth_prob=next(drop_rates),
                    norm_layer=norm_layer,
                )
                for j in range(depth)
            ]
            layers.append(nn.Sequential(*blocks))
        self.features = nn.Sequential(*layers)
        self.norm = norm_layer(widths[-1])
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.head = linear_head(widths[-1], num_classes)
        self.feature_info = [
            Stage(f"features.{2 * i}", dim, patch_size[1] * 2**i, "NTHWC") for i, dim in enumerate(widths)
        ]
        for m in self.modules():  # including the MLPs, which have another initialisation by default
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_clips(x, self.in_channels)
        x = self.norm(self.features(self.pos_drop(self.patch_embed(x))))
        logits: Tensor = self.head(self.avgpool(x.permute(0, 4, 1, 2, 3)).flatten(1))
        return logits


def swin3d(embed_dim: int, depths: Sequence[int], num_heads: Sequence[int], **kwargs: Any) -> SwinTransformer3d:
    """A Video Swin Transformer with patches of 2 frames of 4×4 pixels and windows of 8×7×7 tokens, as in all published
    models."""
    return SwinTransformer3d([2, 4, 4], embed_dim, depths, num_heads, **{"window_size": [8, 7, 7], **kwargs})


@zoo.builder(Swin3D_T_Weights, head="head", stem="patch_embed.proj", convert=adapt)
def swin3d_t(**kwargs: Any) -> SwinTransformer3d:
    """Video Swin-T from `Video Swin Transformer <https://arxiv.org/abs/2106.13230>`_."""
    return swin3d(96, [2, 2, 6, 2], [3, 6, 12, 24], **kwargs)


@zoo.builder(Swin3D_S_Weights, head="head", stem="patch_embed.proj", convert=adapt)
def swin3d_s(**kwargs: Any) -> SwinTransformer3d:
    """Video Swin-S from `Video Swin Transformer <https://arxiv.org/abs/2106.13230>`_."""
    return swin3d(96, [2, 2, 18, 2], [3, 6, 12, 24], **kwargs)


@zoo.builder(Swin3D_B_Weights, head="head", stem="patch_embed.proj", convert=adapt)
def swin3d_b(**kwargs: Any) -> SwinTransformer3d:
    """Video Swin-B from `Video Swin Transformer <https://arxiv.org/abs/2106.13230>`_."""
    return swin3d(128, [2, 2, 18, 2], [4, 8, 16, 32], **kwargs)
