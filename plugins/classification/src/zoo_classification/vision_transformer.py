"""Vision Transformer (ViT): `An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale
<https://arxiv.org/abs/2010.11929>`_."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import CheckpointError, InvalidArgument
from zoo.nn import (
    MLP,
    Conv2dNormActivation,
    captured,
    check_count,
    check_images,
    check_probability,
    input_channels,
    join_heads,
    linear_head,
    patch_grid,
)
from zoo_classification.weights.vision_transformer import (
    ViT_B_16_Weights,
    ViT_B_32_Weights,
    ViT_H_14_Weights,
    ViT_L_16_Weights,
    ViT_L_32_Weights,
)

POSITIONS = "encoder.pos_embedding"
Size = int | Sequence[int]  # side of a square, or (height, width)
layer_norm = partial(nn.LayerNorm, eps=1e-6)


class ConvStemConfig(NamedTuple):
    """One convolution of a stem that replaces the patch projection, as in `Early Convolutions Help
    Transformers See Better <https://arxiv.org/abs/2106.14881>`_."""

    out_channels: int
    kernel_size: int
    stride: int
    norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d
    activation_layer: Callable[..., nn.Module] = nn.ReLU


class SelfAttention(nn.MultiheadAttention):
    """torch's attention, batch first: queries, keys and values [N, L, dim] → ([N, L, dim], attention weights or None).

    If all three are one tensor, nothing is masked and no weights are needed, it uses one projection and a fused kernel.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(dim, num_heads, dropout=dropout, batch_first=True)

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        **options: Any,
    ) -> tuple[Tensor, Tensor | None]:
        one = query is key is value
        if need_weights or not one or key_padding_mask is not None or attn_mask is not None or options:
            return super().forward(query, key, value, key_padding_mask, need_weights, attn_mask, **options)
        N, L, _ = query.shape
        qkv = F.linear(query, self.in_proj_weight, self.in_proj_bias).view(N, L, 3, self.num_heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [N, heads, L, dim / heads]
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.out_proj(join_heads(x)), None


class MLPBlock(MLP):
    """The MLP of a transformer's block, [..., in_dim] → [..., in_dim], initialised as in the ViT paper's code."""

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float = 0.0) -> None:
        super().__init__(in_dim, [mlp_dim, in_dim], activation_layer=nn.GELU, dropout=dropout)
        for m in self:
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.normal_(m.bias, std=1e-6)


class EncoderBlock(nn.Module):
    """Attention, then an MLP, each normalised before and added to its input: [N, L, dim] → [N, L, dim]."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Callable[..., nn.Module] = layer_norm,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = SelfAttention(hidden_dim, num_heads, attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        attended, _ = self.self_attention(normed, normed, normed, need_weights=False)
        x = x + self.dropout(attended)
        x = x + self.mlp(self.ln_2(x))
        return x


class Encoder(nn.Module):
    """Position embeddings, the blocks, and a final norm: [N, L, dim] → [N, L, dim]."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Callable[..., nn.Module] = layer_norm,
    ) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        block = (num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer)
        self.layers = nn.Sequential()
        for i in range(num_layers):
            self.layers.add_module(f"encoder_layer_{i}", EncoderBlock(*block))
        self.ln = norm_layer(hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.ln(self.layers(self.dropout(x + self.pos_embedding)))
        return x


def as_pair(name: str, size: Size) -> tuple[int, int]:
    """(height, width) of a size given as one number or two; raises InvalidArgument otherwise."""
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2:
        raise InvalidArgument(f"{name} is {size!r}; expected a whole number, or two: (height, width).")
    return check_count(name, pair[0], 1), check_count(name, pair[1], 1)


def patches_per_side(image_size: Size, patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches in an image; raises InvalidArgument if patches do not divide it."""
    rows, columns = as_pair("image_size", image_size)
    for side in (rows, columns):
        if side % check_count("patch_size", patch_size, 1):
            lower = side // patch_size * patch_size
            near = f"{lower} or {lower + patch_size}" if lower else f"{patch_size}"
            raise InvalidArgument(
                f"image_size={image_size} cannot be cut into patches of {patch_size} pixels; expected a multiple of "
                f"patch_size={patch_size}, such as {near}."
            )
    return rows // patch_size, columns // patch_size


def conv_stem(configs: Sequence[ConvStemConfig], in_channels: int, hidden_dim: int, patch_size: int) -> nn.Sequential:
    """The convolutions of ``configs`` and a 1×1 projection to ``hidden_dim``."""
    if math.prod(c.stride for c in configs) != patch_size:
        raise InvalidArgument(
            f"conv_stem_configs has strides {[c.stride for c in configs]}; expected strides whose product is "
            f"patch_size={patch_size}."
        )
    stem = nn.Sequential()
    for i, c in enumerate(configs):
        layer = Conv2dNormActivation(
            in_channels,
            c.out_channels,
            c.kernel_size,
            c.stride,
            norm_layer=c.norm_layer,
            activation_layer=c.activation_layer,
        )
        stem.add_module(f"conv_bn_relu_{i}", layer)
        in_channels = c.out_channels
    stem.add_module("conv_last", nn.Conv2d(in_channels, hidden_dim, kernel_size=1))
    return stem


class VisionTransformer(nn.Module):
    """Vision Transformer: images [N, in_channels, height, width] → logits [N, num_classes].

    Args:
        image_size: side of the images, or (height, width), multiples of ``patch_size``. Published weights of another
            size are loaded with their position embeddings interpolated.
        patch_size: side of the square patches that become tokens.
        num_layers: number of encoder blocks.
        num_heads: attention heads per block.
        hidden_dim: width of a token, a multiple of ``num_heads``.
        mlp_dim: hidden width of the blocks' MLPs.
        dropout: dropout probability of embeddings, attention outputs and MLPs, in [0, 1].
        attention_dropout: dropout probability of the attention weights, in [0, 1].
        num_classes: number of logits; 0 gives the class token's features instead, [N, ``representation_size`` or
            ``hidden_dim``].
        representation_size: width of a tanh layer before the head; none by default.
        norm_layer: creates a norm, called with the width.
        conv_stem_configs: convolutions whose strides multiply to ``patch_size``, instead of the patch projection.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range.
    """

    in_channels = input_channels("conv_proj")

    def __init__(
        self,
        image_size: Size,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Callable[..., nn.Module] = layer_norm,
        conv_stem_configs: Sequence[ConvStemConfig] | None = None,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        grid = patches_per_side(image_size, patch_size)
        check_count("num_layers", num_layers, 1)
        check_count("mlp_dim", mlp_dim, 1)
        if check_count("hidden_dim", hidden_dim, 1) % check_count("num_heads", num_heads, 1):
            raise InvalidArgument(
                f"hidden_dim={hidden_dim} cannot be split over num_heads={num_heads}; expected a multiple of it."
            )
        check_probability("dropout", dropout)
        check_probability("attention_dropout", attention_dropout)
        self.image_size, self.patch_size = image_size, patch_size
        self.hidden_dim, self.num_classes = hidden_dim, num_classes
        self.seq_length = math.prod(grid) + 1  # plus the class token

        self.conv_proj: nn.Module
        if conv_stem_configs is None:
            self.conv_proj = nn.Conv2d(in_channels, hidden_dim, patch_size, stride=patch_size)
        else:
            self.conv_proj = conv_stem(conv_stem_configs, in_channels, hidden_dim, patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, hidden_dim))
        self.encoder = Encoder(
            self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer
        )
        self.heads = nn.Sequential()
        width = hidden_dim
        if representation_size is not None:
            width = check_count("representation_size", representation_size, 1)
            self.heads.add_module("pre_logits", nn.Linear(hidden_dim, width))
            self.heads.add_module("act", nn.Tanh())
        self.heads.add_module("head", linear_head(width, num_classes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise everything outside the encoder, whose blocks initialise themselves; the head is set to zero."""
        for name, m in {"conv_proj": self.conv_proj, **dict(self.heads.named_children())}.items():
            if isinstance(m, nn.Linear | nn.Conv2d) and m.bias is not None:
                nn.init.zeros_(m.bias)
                if name == "head":
                    nn.init.zeros_(m.weight)
                else:
                    nn.init.trunc_normal_(m.weight, std=m.weight[0].numel() ** -0.5)

    @property
    def feature_info(self) -> list[Stage]:
        """Every encoder block: the class token followed by the patches, row by row."""
        paths = (f"encoder.layers.{name}" for name, _ in self.encoder.layers.named_children())
        return [Stage(path, self.hidden_dim, self.patch_size, "NLC") for path in paths]

    def _process_input(self, x: Tensor) -> Tensor:
        """Images → tokens of their patches, row by row: [N, rows * columns, hidden_dim]."""
        check_images(x, self.in_channels)
        height, width = as_pair("image_size", self.image_size)
        if not captured(x) and x.shape[-2:] != (height, width):
            raise InvalidArgument(
                f"the images are {x.shape[-2]}×{x.shape[-1]} pixels and this model was built for {height}×{width}. "
                f"Resize them, or build the model with image_size=… (multiples of {self.patch_size}); weights are "
                "adapted."
            )
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self._process_input(x)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.heads(self.encoder(x)[:, 0])
        return x


def resize_embedding(pos: Tensor, grid: Sequence[int], mode: str = "bicubic", *, square: bool = True) -> Tensor:
    """Position embeddings [1, 1 + n, width] for a grid of (rows, columns) of patches: [1, 1 + rows * columns, width].

    The first one, the class token's, is kept; the others are resized as a picture with aligned corners.
    """
    fits = pos.ndim == 3 and pos.shape[0] == 1 and pos.shape[1] > 1
    old = patch_grid(pos[0, 1:]) if fits else (0, 0)
    if not fits or (square and old[0] != old[1]):
        raise CheckpointError(
            f"{POSITIONS} has shape {list(pos.shape)}; expected [1, 1 + {'n²' if square else 'n'}, width], the "
            f"embeddings of a class token and a{' square' if square else ''} grid of patches."
        )
    token, patches = pos[:, :1], pos[:, 1:]
    if old == tuple(grid):
        return pos
    picture = patches.mT.reshape(1, -1, *old).float()  # half precision is too coarse for interpolation
    picture = F.interpolate(picture, size=tuple(grid), mode=mode, align_corners=True)
    return torch.cat([token, picture.flatten(2).mT.to(pos.dtype)], dim=1)


def interpolate_embeddings(
    image_size: Size,
    patch_size: int,
    model_state: Mapping[str, Tensor],
    interpolation_mode: str = "bicubic",
    reset_heads: bool = False,
) -> OrderedDict[str, Tensor]:
    """The state of a ViT with its position embeddings resized to another grid of patches.

    Args:
        image_size: side of the new images in pixels, or (height, width), multiples of ``patch_size``.
        patch_size: side of a patch in pixels.
        model_state: a ViT's ``state_dict``; it is not modified.
        interpolation_mode: ``bicubic`` or ``bilinear``.
        reset_heads: omit the entries of ``heads``, so that the new model keeps its own.

    Raises:
        InvalidArgument: the patch size does not divide the image size, or the interpolation mode is unknown.
        CheckpointError: the state has no embeddings of shape [1, 1 + n², width].
    """
    if interpolation_mode not in ("bicubic", "bilinear"):
        raise InvalidArgument(f"interpolation_mode is {interpolation_mode!r}; expected 'bicubic' or 'bilinear'.")
    grid = patches_per_side(image_size, patch_size)
    if POSITIONS not in model_state:
        raise CheckpointError(f"model_state has no {POSITIONS}; expected the state_dict of a VisionTransformer.")
    state = OrderedDict((k, v) for k, v in model_state.items() if not (reset_heads and k.startswith("heads.")))
    state[POSITIONS] = resize_embedding(state[POSITIONS], grid, interpolation_mode)
    return state


def adapt(state: dict[str, Any], model: Any) -> dict[str, Any]:
    """Rename the MLP keys of older files, and resize position embeddings of another image size."""
    state = {k.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3."): v for k, v in state.items()}
    if POSITIONS in state and state[POSITIONS].shape != model.get_parameter(POSITIONS).shape:
        grid = patches_per_side(model.image_size, model.patch_size)
        state[POSITIONS] = resize_embedding(state[POSITIONS], grid, square=False)
    return state


def size_of(state: Mapping[str, Any]) -> dict[str, int]:
    """The image size that a file's position embeddings are for, if it is square."""
    patches, stem = state.get(POSITIONS), state.get("conv_proj.weight")
    if patches is None or stem is None or (side := math.isqrt(patches.shape[1] - 1)) ** 2 != patches.shape[1] - 1:
        return {}
    return {"image_size": side * stem.shape[-1]}


# Builders: image_size, patch_size, num_layers, num_heads, hidden_dim, mlp_dim.


@zoo.builder(ViT_B_16_Weights, head="heads.head", stem="conv_proj", convert=adapt, told_by_file=size_of)
def vit_b_16(*, image_size: Size = 224, **kwargs: Any) -> VisionTransformer:
    """ViT-B/16 from `An Image is Worth 16x16 Words <https://arxiv.org/abs/2010.11929>`_."""
    return VisionTransformer(image_size, 16, 12, 12, 768, 3072, **kwargs)


@zoo.builder(ViT_B_32_Weights, head="heads.head", stem="conv_proj", convert=adapt, told_by_file=size_of)
def vit_b_32(*, image_size: Size = 224, **kwargs: Any) -> VisionTransformer:
    """ViT-B/32 from `An Image is Worth 16x16 Words <https://arxiv.org/abs/2010.11929>`_."""
    return VisionTransformer(image_size, 32, 12, 12, 768, 3072, **kwargs)


@zoo.builder(ViT_L_16_Weights, head="heads.head", stem="conv_proj", convert=adapt, told_by_file=size_of)
def vit_l_16(*, image_size: Size = 224, **kwargs: Any) -> VisionTransformer:
    """ViT-L/16 from `An Image is Worth 16x16 Words <https://arxiv.org/abs/2010.11929>`_."""
    return VisionTransformer(image_size, 16, 24, 16, 1024, 4096, **kwargs)


@zoo.builder(ViT_L_32_Weights, head="heads.head", stem="conv_proj", convert=adapt, told_by_file=size_of)
def vit_l_32(*, image_size: Size = 224, **kwargs: Any) -> VisionTransformer:
    """ViT-L/32 from `An Image is Worth 16x16 Words <https://arxiv.org/abs/2010.11929>`_."""
    return VisionTransformer(image_size, 32, 24, 16, 1024, 4096, **kwargs)


@zoo.builder(ViT_H_14_Weights, head="heads.head", stem="conv_proj", convert=adapt, told_by_file=size_of)
def vit_h_14(*, image_size: Size = 224, **kwargs: Any) -> VisionTransformer:
    """ViT-H/14 from `An Image is Worth 16x16 Words <https://arxiv.org/abs/2010.11929>`_."""
    return VisionTransformer(image_size, 14, 32, 16, 1280, 5120, **kwargs)
