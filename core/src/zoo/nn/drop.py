"""Regularisation by dropping whole branches (stochastic depth) or blocks of features (DropBlock)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo.nn.checks import check_count, check_features, check_probability, refuse_script

for name in ("stochastic_depth", "drop_block2d", "drop_block3d"):  # each is one node in a graph of torch.fx
    torch.fx.wrap(name)


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:  # noqa: A002
    """Zero a residual branch at random and scale it up otherwise, so that its expectation is unchanged.

    From `Deep Networks with Stochastic Depth <https://arxiv.org/abs/1603.09382>`_.

    Args:
        input: output of the branch, [N, …], floating point.
        p: probability of dropping, in [0, 1].
        mode: ``"batch"`` drops all samples or none, ``"row"`` decides for each sample.
        training: if False, ``input`` is returned unchanged.

    Raises:
        InvalidArgument: ``p`` or ``mode`` is invalid.
    """
    check_probability("p", p)
    check_features(input)
    if mode not in ("batch", "row"):
        raise InvalidArgument(f"mode is {mode!r}; expected 'batch' or 'row'.")
    if not training or p == 0:
        return input
    rows = input.shape[0] if mode == "row" else 1
    keep = torch.empty((rows,) + (1,) * (input.dim() - 1), dtype=input.dtype, device=input.device).bernoulli_(1 - p)
    if p < 1:
        keep.div_(1 - p)
    return input * keep


class StochasticDepth(nn.Module):
    """:func:`stochastic_depth` as a module, active in training."""

    __prepare_scriptable__ = refuse_script

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        if mode not in ("batch", "row"):
            raise InvalidArgument(f"mode is {mode!r}; expected 'batch' or 'row'.")
        self.p = check_probability("p", p)
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"


def _drop_block(x: Tensor, n: int, p: float, block_size: int, inplace: bool, eps: float, training: bool) -> Tensor:
    """DropBlock over the last ``n`` dimensions of x [N, C, …]."""
    check_probability("p", p)
    check_count("block_size", block_size, minimum=1)
    check_features(x)
    if x.dim() != n + 2:
        raise InvalidArgument(f"the input has shape {list(x.shape)}; expected {n + 2} dimensions [N, C, …].")
    if not training or p == 0 or x.numel() == 0:
        return x
    space = x.shape[2:]
    block_size = min(block_size, *space)
    # Blocks are inside the image: their corners have fewer possible places than there are pixels, so each drops more
    # often.
    corners = [size - block_size + 1 for size in space]
    gamma = min(1.0, p * math.prod(space) / (block_size**n * math.prod(corners)))
    seeds = torch.empty((*x.shape[:2], *corners), dtype=x.dtype, device=x.device).bernoulli_(gamma)
    # Each seed becomes the block that starts at it.
    max_pool = F.max_pool2d if n == 2 else F.max_pool3d
    keep = 1 - max_pool(F.pad(seeds, [block_size - 1] * 2 * n), block_size, stride=1)
    keep *= keep.numel() / (keep.sum(dtype=torch.float32) + eps)
    return x.mul_(keep) if inplace else x * keep


def drop_block2d(
    input: Tensor,  # noqa: A002
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-6,
    training: bool = True,
) -> Tensor:
    """Zero square blocks of features at random and scale up the rest.

    From `DropBlock: A regularization method for convolutional networks <https://arxiv.org/abs/1810.12890>`_.

    Args:
        input: features [N, C, H, W], floating point; each channel has its own blocks.
        p: probability of a feature being dropped, in [0, 1] (approximate: blocks may overlap).
        block_size: side of a block, limited to the smaller side of the features.
        inplace: write into ``input``.
        eps: added to the number of kept features, by which the features are divided.
        training: if False, ``input`` is returned unchanged.

    Raises:
        InvalidArgument: ``p`` is outside [0, 1], ``block_size`` is below 1, or the number of dimensions is wrong.
    """
    return _drop_block(input, 2, p, block_size, inplace, eps, training)


def drop_block3d(
    input: Tensor,  # noqa: A002
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-6,
    training: bool = True,
) -> Tensor:
    """Zero cubes of features [N, C, T, H, W] at random and scale up the rest; see :func:`drop_block2d`."""
    return _drop_block(input, 3, p, block_size, inplace, eps, training)


class DropBlock2d(nn.Module):
    """:func:`drop_block2d` as a module, active in training."""

    __prepare_scriptable__ = refuse_script

    def __init__(self, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = check_probability("p", p)
        self.block_size = check_count("block_size", block_size, minimum=1)
        self.inplace = inplace
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return drop_block2d(input, self.p, self.block_size, self.inplace, self.eps, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, block_size={self.block_size}, inplace={self.inplace}"


class DropBlock3d(DropBlock2d):
    """:func:`drop_block3d` as a module, active in training."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return drop_block3d(input, self.p, self.block_size, self.inplace, self.eps, self.training)
