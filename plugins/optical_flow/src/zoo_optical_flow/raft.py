"""RAFT: correlations of the features of two frames, looked up by a recurrent unit that refines the flow.

`RAFT: Recurrent All-Pairs Field Transforms for Optical Flow <https://arxiv.org/abs/2003.12039>`_
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import zoo
from zoo.errors import InvalidArgument, suggest
from zoo.nn import Conv2dNormActivation, check_count, check_images, input_channels
from zoo_optical_flow.weights.raft import Raft_Large_Weights, Raft_Small_Weights

Norm = Callable[..., nn.Module] | None
Lookup = Callable[[Tensor], Tensor]
Step = Callable[[Tensor, Tensor], Tensor]

CORRELATIONS = ("auto", "full", "local")
FULL_UP_TO = 2**31  # bytes of the full correlation volume above which "auto" uses "local"
CHUNK = 2**19  # numbers gathered at once by the local correlation: 2 MB, which fit into caches


# ── features of a frame ──────────────────────────────────────────────────────────────────────────────────────────


def conv(in_channels: int, out_channels: int, kernel: int, norm: Norm, stride: int = 1) -> Conv2dNormActivation:
    return Conv2dNormActivation(in_channels, out_channels, kernel, stride, norm_layer=norm, bias=True)


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's instance norm, computed as group norm with one group per channel: equal, and three times as fast on
    CPUs."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return F.group_norm(input, self.num_features, eps=self.eps)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a skip connection: [N, in, H, W] → [N, out, H / stride, W / stride]."""

    def __init__(
        self, in_channels: int, out_channels: int, *, norm_layer: Norm, stride: int = 1, always_project: bool = False
    ) -> None:
        super().__init__()
        self.convnormrelu1 = conv(in_channels, out_channels, 3, norm_layer, stride)
        self.convnormrelu2 = conv(out_channels, out_channels, 3, norm_layer)
        self.downsample = shortcut(in_channels, out_channels, norm_layer, stride, always_project)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(x) + self.convnormrelu2(self.convnormrelu1(x))
        return out.relu_()


class BottleneckBlock(nn.Module):
    """The same at a quarter of the width: 1×1, 3×3 and 1×1 convolutions."""

    def __init__(self, in_channels: int, out_channels: int, *, norm_layer: Norm, stride: int = 1) -> None:
        super().__init__()
        self.convnormrelu1 = conv(in_channels, out_channels // 4, 1, norm_layer)
        self.convnormrelu2 = conv(out_channels // 4, out_channels // 4, 3, norm_layer, stride)
        self.convnormrelu3 = conv(out_channels // 4, out_channels, 1, norm_layer)
        self.downsample = shortcut(in_channels, out_channels, norm_layer, stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(x) + self.convnormrelu3(self.convnormrelu2(self.convnormrelu1(x)))
        return out.relu_()


def shortcut(in_channels: int, out_channels: int, norm: Norm, stride: int, always: bool = False) -> nn.Module:
    if stride == 1 and not always:
        return nn.Identity()
    return Conv2dNormActivation(in_channels, out_channels, 1, stride, norm_layer=norm, activation_layer=None, bias=True)


class FeatureEncoder(nn.Module):
    """Frames [N, 3, H, W] → features [N, ``layers[-1]``, H / 8, W / 8].

    Args:
        block: :class:`ResidualBlock` or :class:`BottleneckBlock`.
        layers: widths of the stem, of the three stages of two blocks, and of the output.
        strides: strides of the stem and of the three stages; their product is 8 in RAFT.
        norm_layer: norm after every convolution except the last; None omits it.
    """

    in_channels = input_channels("convnormrelu")

    def __init__(
        self,
        *,
        block: Callable[..., nn.Module] = ResidualBlock,
        layers: Sequence[int] = (64, 64, 96, 128, 256),
        strides: Sequence[int] = (2, 1, 2, 2),
        norm_layer: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if len(layers) != 5 or len(strides) != 4:
            raise InvalidArgument(f"layers is {layers} and strides {strides}; expected 5 widths and 4 strides.")
        stem, *stages, self.output_dim = layers
        self.downsample_factor = math.prod(strides)
        self.convnormrelu = conv(3, stem, 7, norm_layer, stride=strides[0])
        for i, (in_channels, width, stride) in enumerate(zip((stem, *stages), stages, strides[1:], strict=False), 1):
            first = block(in_channels, width, norm_layer=norm_layer, stride=stride)
            layer = nn.Sequential(first, block(width, width, norm_layer=norm_layer))
            self.add_module(f"layer{i}", layer)
        self.conv = nn.Conv2d(stages[-1], self.output_dim, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


# ── correlation ──────────────────────────────────────────────────────────────────────────────────────────────────


class CorrBlock(nn.Module):
    """Correlation of each position of the first frame with the positions around its target in the second frame.

    Called with the features of both frames, each [N, D, h, w], it returns a function: coordinates (x, y) in the second
    frame [N, 2, h, w] → correlations [N, out_channels, h, w] with the (2 ``radius`` + 1)² positions around them, at
    ``num_levels`` resolutions, each half of the previous one. The module stores no state.

    A correlation is a dot product divided by √D. It is interpolated between grid points, and 0 outside the frame.

    Args:
        correlation: ``"full"`` computes all h²w² products once and looks them up. ``"local"`` computes only those that
            are looked up, at every lookup: the same numbers, with memory proportional to h·w, but slower. ``"auto"`` is
            ``"full"`` if the products need at most 2 GiB, as for a pair of 720 × 1280 pixels in single precision.
    """

    def __init__(self, num_levels: int = 4, radius: int = 4, correlation: str = "auto") -> None:
        super().__init__()
        if correlation not in CORRELATIONS:
            names = ", ".join(map(repr, CORRELATIONS))
            raise InvalidArgument(
                f"correlation is {correlation!r}; expected one of {names}.{suggest(str(correlation), CORRELATIONS)}"
            )
        self.num_levels = check_count("num_levels", num_levels, 1)
        self.radius = check_count("radius", radius, 0)
        self.correlation = correlation
        self.out_channels = num_levels * (2 * radius + 1) ** 2

    def forward(self, fmap1: Tensor, fmap2: Tensor) -> Lookup:
        # A mean of products equals the product with the mean: pooling the features is the same as pooling the volume.
        pyramid = [fmap2]
        for _ in range(self.num_levels - 1):
            pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        sizes = [(level.shape[2], level.shape[3]) for level in pyramid]
        n, d, h, w = fmap1.shape
        first = fmap1.flatten(2).transpose(1, 2) * d**-0.5  # [N, h·w, D]
        bytes_of_full = n * h * w * sum(height * width for height, width in sizes) * first.element_size()
        if self.correlation == "full" or (self.correlation == "auto" and bytes_of_full <= FULL_UP_TO):
            volumes = [(first @ level.flatten(2)).flatten(0, 1) for level in pyramid]  # each [N·h·w, height·width]
            products = [functools.partial(volume.gather, 1) for volume in volumes]
        else:
            queries = first.flatten(0, 1).contiguous()
            batch = torch.arange(n, device=fmap1.device).repeat_interleave(h * w)
            tables = [level.permute(0, 2, 3, 1).flatten(0, 2) for level in pyramid]  # each [N·height·width, D]
            products = [
                functools.partial(gathered_products, queries, table, batch[:, None] * height * width)
                for table, (height, width) in zip(tables, sizes, strict=True)
            ]

        def look_up(coords: Tensor) -> Tensor:
            x, y = coords.transpose(0, 1).flatten(1)
            found = [
                window(of, x / 2**i, y / 2**i, *size, self.radius)
                for i, (of, size) in enumerate(zip(products, sizes, strict=True))
            ]
            return torch.cat(found, 1).view(n, h, w, self.out_channels).permute(0, 3, 1, 2).to(fmap1.dtype)

        return look_up

    def build_pyramid(self, fmap1: Tensor, fmap2: Tensor) -> None:
        """Prepare :meth:`index_pyramid`, for programs that call the two methods; stored until the next call."""
        self._look_up = self(fmap1, fmap2)

    def index_pyramid(self, centroids_coords: Tensor) -> Tensor:
        """The correlations at these coordinates, as from the function that a call returns."""
        found: Tensor = self._look_up(centroids_coords)
        return found


def looked_up(corr_block: Any, fmap1: Tensor, fmap2: Tensor) -> Lookup:
    """The lookup function of ``corr_block``; for other kinds of modules it uses their two methods."""
    methods = ("build_pyramid", "index_pyramid")
    if all(getattr(getattr(corr_block, m, None), "__func__", None) is vars(CorrBlock)[m] for m in methods):
        found: Lookup = corr_block(fmap1, fmap2)
        return found
    corr_block.build_pyramid(fmap1, fmap2)
    return lambda coords: corr_block.index_pyramid(centroids_coords=coords)


def window(products: Lookup, x: Tensor, y: Tensor, height: int, width: int, radius: int) -> Tensor:
    """Products with the positions around ``(x, y)``, each [Q] → [Q, (2 ``radius`` + 1)²], columns first.

    All positions of a window have the same offset from the grid, so its (2 ``radius`` + 2)² grid points are read once
    and interpolated along x, then along y, instead of reading four points per position.
    """
    steps = torch.arange(-radius, radius + 2, device=x.device)
    columns, rows = (v.floor().long()[:, None] + steps for v in (x, y))  # each [Q, 2 radius + 2]
    inside = ((columns >= 0) & (columns < width))[:, :, None] & ((rows >= 0) & (rows < height))[:, None, :]
    index = rows.clamp(0, height - 1)[:, None, :] * width + columns.clamp(0, width - 1)[:, :, None]
    grid = products(index.flatten(1)).view(index.shape) * inside
    along_x = torch.lerp(grid[:, :-1], grid[:, 1:], (x - x.floor()).to(grid.dtype)[:, None, None])
    return torch.lerp(along_x[:, :, :-1], along_x[:, :, 1:], (y - y.floor()).to(grid.dtype)[:, None, None]).flatten(1)


def gathered_products(first: Tensor, table: Tensor, offset: Tensor, index: Tensor) -> Tensor:
    """Dot products of each row of ``first`` [Q, D] with the rows ``offset + index`` [Q, K] of ``table`` → [Q, K].

    Computed in chunks, so that the gathered rows, D times as large as the result, are never in memory at once. They are
    not stored for the backward pass either, which gathers them again.
    """
    rows = CHUNK // (index.shape[1] * first.shape[1])
    chunks = zip(*(torch.split(t, max(rows, 1)) for t in (first, index + offset)), strict=True)
    remember_less = torch.is_grad_enabled() and (first.requires_grad or table.requires_grad)
    return torch.cat(
        [
            checkpoint(dot_rows, a, table, i, use_reentrant=False) if remember_less else dot_rows(a, table, i)
            for a, i in chunks
        ]
    )


def dot_rows(first: Tensor, table: Tensor, index: Tensor) -> Tensor:
    return (first[:, None] @ F.embedding(index, table).transpose(-2, -1)).squeeze(1)


# ── the recurrent update ─────────────────────────────────────────────────────────────────────────────────────────


class MotionEncoder(nn.Module):
    """Flow [N, 2, h, w] and correlations [N, ``in_channels_corr``, h, w] → motion features [N, ``out_channels``, h, w].

    Args:
        corr_layers: widths of the one or two convolutions on the correlations.
        flow_layers: widths of the two convolutions on the flow.
    """

    def __init__(
        self,
        *,
        in_channels_corr: int,
        corr_layers: Sequence[int] = (256, 192),
        flow_layers: Sequence[int] = (128, 64),
        out_channels: int = 128,
    ) -> None:
        super().__init__()
        if len(corr_layers) not in (1, 2) or len(flow_layers) != 2:
            raise InvalidArgument(
                f"corr_layers is {corr_layers} and flow_layers {flow_layers}; expected one or two widths for "
                "corr_layers, and two for flow_layers."
            )
        first, width, before = corr_layers[0], corr_layers[-1], flow_layers[0]
        self.convcorr1 = conv(in_channels_corr, first, 1, None)
        self.convcorr2 = conv(first, width, 3, None) if len(corr_layers) == 2 else nn.Identity()
        self.convflow1 = conv(2, before, 7, None)
        self.convflow2 = conv(before, flow_layers[1], 3, None)
        self.conv = conv(width + flow_layers[1], out_channels - 2, 3, None)
        self.out_channels = out_channels

    def forward(self, flow: Tensor, corr_features: Tensor) -> Tensor:
        seen = self.convcorr2(self.convcorr1(corr_features))
        moved = self.convflow2(self.convflow1(flow))
        return torch.cat([self.conv(torch.cat([seen, moved], 1)), flow], 1)


class ConvGRU(nn.Module):
    """A gated recurrent unit of convolutions: hidden state [N, hidden_size, h, w] and input [N, input_size, h, w] →
    next hidden state. A part of RAFT's input is the context, which is constant over the steps: see :meth:`start`."""

    def __init__(
        self, *, input_size: int, hidden_size: int, kernel_size: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        channels, self.hidden_size = hidden_size + input_size, hidden_size
        self.padding = padding
        self.convz = nn.Conv2d(channels, hidden_size, kernel_size, padding=padding)
        self.convr = nn.Conv2d(channels, hidden_size, kernel_size, padding=padding)
        self.convq = nn.Conv2d(channels, hidden_size, kernel_size, padding=padding)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        both = torch.cat([h, x], 1)
        update, reset = self.convz(both).sigmoid(), self.convr(both).sigmoid()
        return torch.lerp(h, self.convq(torch.cat([reset * h, x], 1)).tanh(), update)

    def start(self, context: Tensor) -> Step:
        """The unit for one pair of frames: hidden state [N, hidden, h, w] and new input [N, …, h, w] → next hidden
        state.

        Convolution is linear in its input's channels: the contribution of the context is the same at every step and is
        computed once here, and the two gates with the same input are one convolution.
        """
        size, padding = self.hidden_size, self.padding
        weight = torch.cat([self.convz.weight, self.convr.weight, self.convq.weight])
        bias = torch.cat([self.convz.bias, self.convr.bias, self.convq.bias])  # type: ignore[list-item]
        news_from = size + context.shape[1]
        from_context = F.conv2d(context, weight[:, size:news_from], bias, padding=padding)
        weight = torch.cat([weight[:, :size], weight[:, news_from:]], 1)
        weight_zr, weight_q = weight[: 2 * size], weight[2 * size :]
        context_zr, context_q = from_context[:, : 2 * size], from_context[:, 2 * size :]

        def step(hidden: Tensor, news: Tensor) -> Tensor:
            gates = F.conv2d(torch.cat([hidden, news], 1), weight_zr, padding=padding) + context_zr
            update, reset = gates.sigmoid().chunk(2, 1)
            proposed = F.conv2d(torch.cat([reset * hidden, news], 1), weight_q, padding=padding) + context_q
            return torch.lerp(hidden, proposed.tanh(), update)

        return step


class RecurrentBlock(nn.Module):
    """One :class:`ConvGRU` for each kernel size, one after the other: a 3×3, or a 1×5 and a 5×1."""

    def __init__(
        self,
        *,
        input_size: int,
        hidden_size: int,
        kernel_size: Sequence[tuple[int, int]] = ((1, 5), (5, 1)),
        padding: Sequence[tuple[int, int]] = ((0, 2), (2, 0)),
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        for i, (kernel, pad) in enumerate(zip(kernel_size, padding, strict=True), 1):
            unit = ConvGRU(input_size=input_size, hidden_size=hidden_size, kernel_size=kernel, padding=pad)
            self.add_module(f"convgru{i}", unit)

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        for unit in self.children():
            h = unit(h, x)
        return h

    def start(self, context: Tensor) -> Step:
        """See :meth:`ConvGRU.start`."""
        steps = [started(unit, ConvGRU, context) for unit in self.children()]

        def step(hidden: Tensor, news: Tensor) -> Tensor:
            for one in steps:
                hidden = one(hidden, news)
            return hidden

        return step


def started(unit: Any, kind: Any, context: Tensor) -> Step:
    """``unit.start(context)`` if the unit's ``forward`` is that of ``kind``, otherwise a function that calls
    ``forward``."""
    if getattr(unit.forward, "__func__", None) is kind.forward:
        step: Step = unit.start(context)
        return step
    return lambda hidden, news: unit(hidden, torch.cat([context, news], 1))


class FlowHead(nn.Module):
    """Hidden state [N, C, h, w] → change of the flow [N, 2, h, w]."""

    def __init__(self, *, in_channels: int, hidden_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, hidden_size, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden_size, 2, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(self.relu(self.conv1(x)))
        return change


class UpdateBlock(nn.Module):
    """Motion features, the recurrent unit and the flow head: one refinement of the flow."""

    def __init__(self, *, motion_encoder: nn.Module, recurrent_block: nn.Module, flow_head: nn.Module) -> None:
        super().__init__()
        self.motion_encoder = motion_encoder
        self.recurrent_block = recurrent_block
        self.flow_head = flow_head
        self.hidden_state_size = recurrent_block.hidden_size

    def forward(
        self, hidden_state: Tensor, context: Tensor, corr_features: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next hidden state, and the change of the flow."""
        news = self.motion_encoder(flow, corr_features)
        hidden_state = self.recurrent_block(hidden_state, torch.cat([context, news], 1))
        return hidden_state, self.flow_head(hidden_state)

    def start(self, context: Tensor) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The refinement for one pair: hidden state, correlations and flow → next hidden state, change of the flow."""
        recur = started(self.recurrent_block, RecurrentBlock, context)

        def step(hidden: Tensor, correlations: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
            hidden = recur(hidden, self.motion_encoder(flow, correlations))
            return hidden, self.flow_head(hidden)

        return step


def refinement(update_block: Any, context: Tensor) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """``update_block.start(context)`` if its ``forward`` is :class:`UpdateBlock`'s, otherwise a function that calls
    it."""
    if getattr(update_block.forward, "__func__", None) is UpdateBlock.forward:
        step: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = update_block.start(context)
        return step
    return lambda hidden, correlations, flow: update_block(hidden, context, correlations, flow)


# ── upsampling ───────────────────────────────────────────────────────────────────────────────────────────────────


class MaskPredictor(nn.Module):
    """Hidden state [N, C, h, w] → logits of the weights of :func:`upsample_convex`, [N, 9 · 8 · 8, h, w]."""

    def __init__(self, *, in_channels: int, hidden_size: int, multiplier: float = 0.25) -> None:
        super().__init__()
        self.convrelu = conv(in_channels, hidden_size, 3, None)
        self.conv = nn.Conv2d(hidden_size, 9 * 8 * 8, 1)
        self.multiplier = multiplier  # balances the gradients of this branch

    def forward(self, x: Tensor) -> Tensor:
        mask: Tensor = self.multiplier * self.conv(self.convrelu(x))
        return mask


def upsample_convex(flow: Tensor, mask: Tensor) -> Tensor:
    """Flow [N, 2, h, w] → [N, 2, 8 h, 8 w], of the flow's dtype: each fine position is a weighted mean of the 3×3
    coarse ones around it."""
    n, _, h, w = flow.shape
    weights = mask.to(flow.dtype).view(n, 1, 9, 64, h, w).softmax(2)
    around = F.unfold(8 * flow, 3, padding=1).view(n, 2, 9, 1, h, w)
    # Not a matrix product: those of 9 by 2 numbers are slow, and autocast would compute them in half precision.
    fine = weights[:, :, 0] * around[:, :, 0]
    for k in range(1, 9):
        fine = fine + weights[:, :, k] * around[:, :, k]
    return fine.view(n, 2, 8, 8, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 2, 8 * h, 8 * w)


def upsample_bilinear(flow: Tensor) -> Tensor:
    """Flow [N, 2, h, w] → [N, 2, 8 h, 8 w]."""
    return 8 * F.interpolate(flow.contiguous(), scale_factor=8, mode="bilinear", align_corners=True)


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────────────


class RAFT(nn.Module):
    """Two batches of frames [N, 3, H, W], values in [-1, 1] → a list of flows [N, 2, H, W], one per update.

    The last flow is the best. Channel 0 is how far a pixel of the first frame moves to the right, channel 1 how far
    down, in pixels. In training, :func:`sequence_loss` takes the complete list.

    Args:
        feature_encoder: both frames → features [N, D, H / 8, W / 8].
        context_encoder: the first frame → initial hidden state and context, together [N, …, H / 8, W / 8].
        corr_block: see :class:`CorrBlock`.
        update_block: see :class:`UpdateBlock`.
        mask_predictor: hidden state → weights of the convex upsampling; None upsamples bilinearly.

    Raises:
        InvalidArgument: in a call, if the frames are not batches of the same size, are smaller than 128×128, or have a
            height or width that is not a multiple of 8, or if there is less than one update.
    """

    in_channels = input_channels("feature_encoder")

    def __init__(
        self,
        *,
        feature_encoder: nn.Module,
        context_encoder: nn.Module,
        corr_block: nn.Module,
        update_block: nn.Module,
        mask_predictor: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.feature_encoder = feature_encoder
        self.context_encoder = context_encoder
        self.corr_block = corr_block
        self.update_block = update_block
        self.mask_predictor = mask_predictor

    def forward(self, image1: Tensor, image2: Tensor, num_flow_updates: int = 12) -> list[Tensor]:
        levels = getattr(self.corr_block, "num_levels", 0)  # each level halves the features at 1/8
        check_frames(image1, image2, 8 * 2**levels, self.in_channels)
        check_count("num_flow_updates", num_flow_updates, 1)
        features, pairs = self.feature_encoder(torch.cat([image1, image2])), image1.shape[0]
        correlate = looked_up(self.corr_block, features[:pairs], features[pairs:])  # chunk would fix a dynamic batch
        # Correlations are looked up channels last; the tensors that they are combined with have the same memory format.
        about_first = self.context_encoder(image1).contiguous(memory_format=torch.channels_last)
        hidden_size: Any = self.update_block.hidden_state_size
        hidden, context = about_first[:, :hidden_size].tanh(), about_first[:, hidden_size:].relu()
        update = refinement(self.update_block, context)

        # Positions are at least in single precision: half precision cannot represent the columns of a wide frame.
        n, _, h, w = hidden.shape
        precise = torch.promote_types(image1.dtype, torch.float32)
        y, x = (torch.arange(size, dtype=precise, device=image1.device) for size in (h, w))
        start = torch.stack([x.expand(h, w), y[:, None].expand(h, w)]).expand(n, 2, h, w)
        flow = torch.zeros_like(start).contiguous(memory_format=torch.channels_last)
        flows = []
        for _ in range(num_flow_updates):
            flow = flow.detach()  # no gradient between updates
            hidden, change = update(hidden, correlate(start + flow), flow.to(hidden.dtype))
            flow = flow + change
            if self.mask_predictor is None:
                fine = upsample_bilinear(flow)
            else:
                fine = upsample_convex(flow, self.mask_predictor(hidden))
            flows.append(fine.to(image1.dtype))  # single precision under autocast, like the frames
        return flows


def check_frames(image1: Tensor, image2: Tensor, smallest: int = 128, channels: int | None = 3) -> None:
    """Raise unless RAFT can take these frames, of at least ``smallest`` pixels. Skipped in a captured graph."""
    if torch.compiler.is_compiling():
        return
    for image in (image1, image2):
        check_images(image, channels, smallest)
    if image1.shape != image2.shape:
        raise InvalidArgument(
            f"the frames have the shapes {list(image1.shape)} and {list(image2.shape)}; expected two of the same shape."
        )
    height, width = image1.shape[2:]
    if height % 8 or width % 8:
        raise InvalidArgument(
            f"the frames are {height}×{width}; expected a height and a width that are multiples of 8. Pad them with "
            "zoo_optical_flow.pad_frames and crop the flow with crop_flow, or use zoo.pipeline(…), which does both."
        )


def sequence_loss(
    flows: list[Tensor],
    target: Tensor,
    valid: Tensor | None = None,
    gamma: float = 0.8,
    max_flow: float | None = 400,
) -> Tensor:
    """The paper's loss: absolute errors of all predictions, with larger weights for later ones.

    Args:
        flows: what the model returned, each [N, 2, H, W].
        target: the true flow [N, 2, H, W], in pixels.
        valid: where the truth is known [N, H, W], bool or 0 and 1; None means everywhere.
        gamma: weight of an update relative to the next one; the last has weight 1.
        max_flow: pixels whose motion is at least this long, in pixels, are ignored; None uses all pixels.

    Returns:
        Σ γ^(K - k) |flowₖ - target|, averaged over the pixels that are not ignored and both channels; 0 if all are. At
        least in single precision.

    Raises:
        InvalidArgument: there are no predictions, or the shapes do not match.
    """
    shapes = [list(flow.shape) for flow in flows]
    if not shapes or any(shape != list(target.shape) for shape in shapes):
        raise InvalidArgument(
            f"the flows have the shapes {shapes} and the target {list(target.shape)}; expected the same shape."
        )
    if valid is None:
        valid = torch.ones_like(target[:, 0])
    elif list(valid.shape) != [target.shape[0], *target.shape[2:]]:
        raise InvalidArgument(f"valid has shape {list(valid.shape)}; expected [N, H, W] of {list(target.shape)}.")
    target = target.to(torch.promote_types(target.dtype, torch.float32))  # half precision overflows in sums
    known = valid[:, None] > 0
    if max_flow is not None:
        known = known & (target.norm(dim=1, keepdim=True) < max_flow)
    # Selected, not multiplied by 0: the truth may be NaN where it is unknown.
    errors = [torch.where(known, (flow - target).abs(), 0).sum() for flow in flows]
    weighted = [gamma ** (len(flows) - 1 - k) * error for k, error in enumerate(errors)]
    return torch.stack(weighted).sum() / (known.sum() * target.shape[1]).clamp(min=1)


@zoo.builder(Raft_Large_Weights, legacy="C_T_SKHT_V2")
def raft_large(*, correlation: str = "auto", **parts: Any) -> RAFT:
    """RAFT from `RAFT: Recurrent All-Pairs Field Transforms for Optical Flow <https://arxiv.org/abs/2003.12039>`_.

    Args:
        correlation: how correlations are computed, see :class:`CorrBlock`: ``"full"``, ``"local"`` or ``"auto"``.
        **parts: arguments of :class:`RAFT` that replace this model's parts.
    """
    corr_block = CorrBlock(num_levels=4, radius=4, correlation=correlation)
    return RAFT(
        **{
            "feature_encoder": FeatureEncoder(norm_layer=InstanceNorm2d),
            "context_encoder": FeatureEncoder(),
            "corr_block": corr_block,
            "update_block": UpdateBlock(
                motion_encoder=MotionEncoder(in_channels_corr=corr_block.out_channels),
                recurrent_block=RecurrentBlock(input_size=128 + 128, hidden_size=128),
                flow_head=FlowHead(in_channels=128, hidden_size=256),
            ),
            "mask_predictor": MaskPredictor(in_channels=128, hidden_size=256),
            **parts,
        }
    )


@zoo.builder(Raft_Small_Weights, legacy="C_T_V2")
def raft_small(*, correlation: str = "auto", **parts: Any) -> RAFT:
    """RAFT-S from `RAFT: Recurrent All-Pairs Field Transforms for Optical Flow <https://arxiv.org/abs/2003.12039>`_.

    It has a fifth of the parameters of :func:`raft_large`, and the same arguments.
    """
    corr_block = CorrBlock(num_levels=4, radius=3, correlation=correlation)
    return RAFT(
        **{
            "feature_encoder": FeatureEncoder(
                block=BottleneckBlock, layers=(32, 32, 64, 96, 128), norm_layer=InstanceNorm2d
            ),
            "context_encoder": FeatureEncoder(block=BottleneckBlock, layers=(32, 32, 64, 96, 160), norm_layer=None),
            "corr_block": corr_block,
            "update_block": UpdateBlock(
                motion_encoder=MotionEncoder(
                    in_channels_corr=corr_block.out_channels, corr_layers=(96,), flow_layers=(64, 32), out_channels=82
                ),
                recurrent_block=RecurrentBlock(
                    input_size=64 + 82, hidden_size=96, kernel_size=((3, 3),), padding=((1, 1),)
                ),
                flow_head=FlowHead(in_channels=96, hidden_size=128),
            ),
            **parts,
        }
    )
