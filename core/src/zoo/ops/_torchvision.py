"""torchvision's operators with its own schemas, implemented by :mod:`zoo.ops`; :mod:`zoo.compat` registers them.

The schemas are interfaces: `torch.ops.torchvision.*._schema` shows them. ``rois`` are ``[K, 5]``, image and xyxy.
"""
# ruff: noqa: A002  the usual name is input

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.library import Library

from zoo import ops
from zoo.errors import InvalidArgument
from zoo.ops._checks import widened
from zoo.ops.deform_conv import deform_conv2d, deform_conv2d_backward
from zoo.ops.pooling import Axis, places_of_max, table_of, unpool_sum
from zoo.ops.regions import aligned_axes, ps_aligned_axes, ps_whole_axes, whole_axes

_SIZE = "SymInt pooled_height, SymInt pooled_width"
_SHAPE = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_STEPS = ", ".join(f"SymInt {name}_{axis}" for name in ("stride", "pad", "dilation") for axis in "hw")
_TENSORS = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias"
_CONV = f"{_TENSORS}, {_STEPS}, SymInt groups, SymInt offset_groups, bool use_mask"
_ROIS = "Tensor input, Tensor rois, float spatial_scale"
_GRAD, _MAPPED = "Tensor grad, Tensor rois", "Tensor channel_mapping, float spatial_scale"
_QUANTIZED = "float input_scale, int input_zero_point, float rois_scale, int rois_zero_point, float spatial_scale"
_ALL = f"""
    nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor
    qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor
    box_iou_rotated(Tensor boxes1, Tensor boxes2) -> Tensor
    roi_align({_ROIS}, {_SIZE}, int sampling_ratio, bool aligned) -> Tensor
    roi_pool({_ROIS}, {_SIZE}) -> (Tensor, Tensor)
    ps_roi_align({_ROIS}, {_SIZE}, int sampling_ratio) -> (Tensor, Tensor)
    ps_roi_pool({_ROIS}, {_SIZE}) -> (Tensor, Tensor)
    qroi_align(Tensor input, Tensor rois, {_QUANTIZED}, {_SIZE}, int sampling_ratio, bool aligned) -> Tensor
    deform_conv2d({_CONV}) -> Tensor
    _roi_align_backward({_GRAD}, float spatial_scale, {_SIZE}, {_SHAPE}, int sampling_ratio, bool aligned) -> Tensor
    _roi_pool_backward({_GRAD}, Tensor argmax, float spatial_scale, {_SIZE}, {_SHAPE}) -> Tensor
    _ps_roi_align_backward({_GRAD}, {_MAPPED}, {_SIZE}, int sampling_ratio, {_SHAPE}) -> Tensor
    _ps_roi_pool_backward({_GRAD}, {_MAPPED}, {_SIZE}, {_SHAPE}) -> Tensor
    _deform_conv2d_backward(Tensor grad, {_CONV}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)
    _cuda_version() -> int
"""
SCHEMAS = {line.split("(")[0].strip(): line.strip() for line in _ALL.strip().splitlines()}
DEVICES = ("CPU", "CUDA", "MPS")

# ------------------------------------------------------------------------------------------------ kernels


def _split(rois: Tensor) -> tuple[Tensor, Tensor]:
    """Images ``[K]`` and boxes ``[K, 4]``."""
    return rois[:, 0].long(), widened(rois[:, 1:])


def _mapping(out: Tensor) -> Tensor:
    """The channel ``[K, C, h, w]`` that each position-sensitive cell reads."""
    K, C, h, w = out.shape
    return torch.arange(C * h * w, dtype=torch.int32, device=out.device).view(C, h, w).repeat(K, 1, 1, 1)


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return ops.nms(dets, scores, iou_threshold)


def qnms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return ops.nms(dets.float(), scores.float(), iou_threshold)  # an IoU has no scale


def box_iou_rotated(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    return ops.box_iou(boxes1, boxes2, fmt="cxcywhr")


def roi_align(
    input: Tensor, rois: Tensor, scale: float, height: int, width: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    return ops.roi_align(input, rois, (height, width), scale, sampling_ratio, aligned).contiguous()


def qroi_align(
    input: Tensor,
    rois: Tensor,
    input_scale: float,
    input_zero: int,
    rois_scale: float,
    rois_zero: int,
    *arguments: Any,
) -> Tensor:
    out = roi_align((input.float() - input_zero) * input_scale, (rois.float() - rois_zero) * rois_scale, *arguments)
    limits = torch.iinfo(input.dtype)
    return (out / input_scale + input_zero).round().clamp(limits.min, limits.max).to(input.dtype)


def roi_pool(input: Tensor, rois: Tensor, scale: float, height: int, width: int) -> tuple[Tensor, Tensor]:
    (images, boxes), (H, W) = _split(rois), input.shape[2:]
    table = table_of(input)
    rows = places_of_max(table, *whole_axes(images, boxes, (height, width), scale, (H, W)))
    channel = torch.arange(input.shape[1], device=input.device)[:, None, None]
    out = torch.where(rows >= 0, table[rows.clamp(min=0), channel], 0).to(input.dtype)
    argmax = torch.where(rows >= 0, rows - (images * (H * W))[:, None, None, None], -1)
    return out.contiguous(), argmax.int().contiguous()


def ps_roi_align(
    input: Tensor, rois: Tensor, scale: float, height: int, width: int, sampling_ratio: int
) -> tuple[Tensor, Tensor]:
    out = ops.ps_roi_align(input, rois, (height, width), scale, sampling_ratio).contiguous()
    return out, _mapping(out)


def ps_roi_pool(input: Tensor, rois: Tensor, scale: float, height: int, width: int) -> tuple[Tensor, Tensor]:
    out = ops.ps_roi_pool(input, rois, (height, width), scale).contiguous()
    return out, _mapping(out)


def deform(input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *arguments: Any) -> Tensor:
    sy, sx, py, px, dy, dx, _, _, use_mask = arguments
    return deform_conv2d(
        input, offset, weight, bias, (sy, sx), (py, px), (dy, dx), mask if use_mask else None
    ).contiguous()


# ------------------------------------------------------------------------------------------------ gradients


def _unpooled(grad: Tensor, axes: tuple[Axis, Axis], cells: int, shape: Sequence[int]) -> Tensor:
    """The gradient ``[N, C, H, W]`` of the table that was read, which has ``cells`` rows per pixel."""
    N, C, H, W = shape
    rows = unpool_sum(grad, *axes, N * H * W * cells)
    return rows.view(N, H, W, cells, C // cells).permute(0, 4, 3, 1, 2).reshape(N, C, H, W).to(grad.dtype).contiguous()


def roi_align_backward(grad: Tensor, rois: Tensor, scale: float, height: int, width: int, *rest: Any) -> Tensor:
    N, C, H, W, sampling_ratio, aligned = rest
    images, boxes = _split(rois)
    h, w = (boxes.new_full(boxes.shape[:1], length) for length in (H, W))
    axes = aligned_axes(boxes, images * (H * W), h, w, scale, (height, width), sampling_ratio, aligned)
    return _unpooled(grad, axes, 1, (N, C, H, W))


def roi_pool_backward(grad: Tensor, rois: Tensor, argmax: Tensor, *rest: Any) -> Tensor:
    N, C, H, W = rest[3:]
    image, channel = rois[:, 0].long()[:, None, None, None], torch.arange(C, device=grad.device)[:, None, None]
    places = (image * C + channel) * (H * W) + argmax.clamp(min=0)
    found = torch.where(argmax >= 0, grad, 0)
    return grad.new_zeros(N * C * H * W).index_add_(0, places.flatten(), found.flatten()).view(N, C, H, W)


def ps_roi_align_backward(grad: Tensor, rois: Tensor, mapping: Tensor, *rest: Any) -> Tensor:
    scale, height, width, sampling_ratio, *shape = rest
    axes = ps_aligned_axes(*_split(rois), (height, width), scale, sampling_ratio, shape[2:])
    return _unpooled(grad, axes, height * width, shape)


def ps_roi_pool_backward(grad: Tensor, rois: Tensor, mapping: Tensor, *rest: Any) -> Tensor:
    scale, height, width, *shape = rest
    axes = ps_whole_axes(*_split(rois), (height, width), scale, shape[2:])
    return _unpooled(grad, axes, height * width, shape)


def deform_backward(
    grad: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *arguments: Any
) -> tuple[Tensor, ...]:
    sy, sx, py, px, dy, dx, _, _, use_mask = arguments
    wide_mask = widened(mask) if use_mask else None
    of_input, of_offset, of_weight, of_mask = deform_conv2d_backward(
        widened(grad), widened(input), widened(offset), widened(weight), wide_mask, (sy, sx), (py, px), (dy, dx)
    )
    of_mask = torch.zeros_like(mask) if of_mask is None else of_mask
    grads = (of_input, of_weight, of_offset, of_mask, grad.sum((0, 2, 3)))
    return tuple(g.to(t.dtype) for g, t in zip(grads, (input, weight, offset, mask, bias), strict=True))


KERNELS: dict[str, Callable[..., Any]] = {
    "nms": nms,
    "qnms": qnms,
    "box_iou_rotated": box_iou_rotated,
    "roi_align": roi_align,
    "roi_pool": roi_pool,
    "ps_roi_align": ps_roi_align,
    "ps_roi_pool": ps_roi_pool,
    "qroi_align": qroi_align,
    "deform_conv2d": deform,
    "_roi_align_backward": roi_align_backward,
    "_roi_pool_backward": roi_pool_backward,
    "_ps_roi_align_backward": ps_roi_align_backward,
    "_ps_roi_pool_backward": ps_roi_pool_backward,
    "_deform_conv2d_backward": deform_backward,
}

# ------------------------------------------------------------------------------------------------ output sizes


def _kept(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return dets.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


def _regions(input: Tensor, rois: Tensor, scale: float, height: int, width: int, *rest: Any) -> Tensor:
    return input.new_empty(rois.shape[0], input.shape[1], height, width)


def _regions_of_cells(input: Tensor, rois: Tensor, scale: float, height: int, width: int, *rest: Any) -> Any:
    out = input.new_empty(rois.shape[0], input.shape[1] // (height * width), height, width)
    return out, torch.empty_like(out, dtype=torch.int32)


def _convolved(input: Tensor, weight: Tensor, offset: Tensor, *rest: Any) -> Tensor:
    return input.new_empty(input.shape[0], weight.shape[0], *offset.shape[2:])


FAKES: dict[str, Callable[..., Any]] = {
    "nms": _kept,
    "qnms": _kept,
    "box_iou_rotated": lambda a, b: a.new_empty(*a.shape[:-1], b.shape[-2]),
    "roi_align": _regions,
    "roi_pool": lambda *args: (_regions(*args), torch.empty_like(_regions(*args), dtype=torch.int32)),
    "ps_roi_align": _regions_of_cells,
    "ps_roi_pool": _regions_of_cells,
    "qroi_align": lambda *given: _regions(*given[:2], *given[6:]),
    "deform_conv2d": _convolved,
    "_roi_align_backward": lambda grad, *rest: grad.new_empty(rest[4:8]),
    "_roi_pool_backward": lambda grad, *rest: grad.new_empty(rest[-4:]),
    "_ps_roi_align_backward": lambda grad, *rest: grad.new_empty(rest[-4:]),
    "_ps_roi_pool_backward": lambda grad, *rest: grad.new_empty(rest[-4:]),
    "_deform_conv2d_backward": lambda grad, *tensors: tuple(torch.empty_like(t) for t in tensors[:5]),
}

# ------------------------------------------------------------------------------------------------ autograd


def _op(name: str) -> Any:
    return getattr(torch.ops.torchvision, name)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Save from ``(input, rois, …)`` the regions, the second output if there is one, and the numbers."""
    ctx.save_for_backward(inputs[1], *(output[1:] if isinstance(output, tuple) else ()))
    ctx.shape, ctx.rest = inputs[0].shape, inputs[2:]


def _differentiate(name: str) -> Callable[..., Any]:
    def backward(ctx: Any, grad: Tensor, *of_places: Any) -> tuple[Any, ...]:
        rest = ctx.rest
        numbers = (*rest[:3], *ctx.shape, *rest[3:]) if name == "roi_align" else (*rest, *ctx.shape)
        found = _op(f"_{name}_backward")(grad, *ctx.saved_tensors, *numbers)
        return (found, None, *(None for _ in rest))

    return backward


def _keep_all(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.rest = inputs[5:]


def _differentiate_deform(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return (*_op("_deform_conv2d_backward")(grad, *ctx.saved_tensors, *ctx.rest), *(None for _ in ctx.rest))


def _refuse(ctx: Any, *grads: Any) -> Any:
    raise InvalidArgument("torchvision's operators are differentiable only once; those of zoo.ops any number of times.")


_REGIONS = ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
AUTOGRAD: dict[str, tuple[Callable[..., Any] | None, Callable[..., Any]]] = {
    **{name: (_keep, _differentiate(name)) for name in _REGIONS},
    "deform_conv2d": (_keep_all, _differentiate_deform),
    **{f"_{name}_backward": (None, _refuse) for name in (*_REGIONS, "deform_conv2d")},
}

# ------------------------------------------------------------------------------------------------ registration


def _has(name: str, key: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"torchvision::{name}", key)


def register() -> Any:
    """Define the missing operators, and replace the kernels of existing ones.

    They exist as long as the returned library.
    """
    library: Any = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
            if name == "_cuda_version":
                library.impl(name, lambda: -1, "CompositeImplicitAutograd")
    over = {"allow_override": True} if "allow_override" in inspect.signature(Library.impl).parameters else {}
    for name, kernel in KERNELS.items():
        for device in DEVICES:
            library.impl(name, kernel, device, **over)
    return library


def complete() -> Any:
    """Register gradients and sizes for operators that have none: torchvision may register them itself, depending on its
    version."""
    library: Any = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, (keep, backward) in AUTOGRAD.items():
        if not _has(name, "Autograd"):
            torch.library.register_autograd(f"torchvision::{name}", backward, setup_context=keep, lib=library)
    for name, fake in FAKES.items():
        if not _has(name, "Meta"):
            torch.library.register_fake(f"torchvision::{name}", fake, lib=library)
    return library
